"""Claim: a view streams 25 000 events a second into windows; what its checks cost beside SQL by hand that has none of them.

Real broker, Flink and Valkey on this machine, all sharing its cores with the producer. Tables: a backlog worked off, beside
the same features in SQL written by hand; a steady stream into windows.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fastavro
import psutil
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench import events, project, report
from bench.measure import cpu_s, p50_p99, process_s, sample
from skewless.dev.stack import Stack

BACKLOG = 500_000
EVENTS_PER_SECOND = 1_000           # of event time, in the backlog
LIVE_PER_SECOND, LIVE_SECONDS = 25_000, 75.0        # a minute's window ends within
_QUIET_SECONDS = 10.0
_HEAD = fastavro.parse_schema({                   # the first fields of any message of the three views, which is all that is read
    "type": "record", "name": "head",
    "fields": [{"name": "user_id", "type": "string"}, {"name": "event_timestamp", "type": "long"}],
})


class Bench:
    """Kafka and Flink of our own, and the project whose views stream."""

    def __init__(self, root: Path, servers: tuple[str, ...] = ("kafka", "flink")) -> None:
        self.root, self.stack = root, Stack(root / "dev", servers)
        places = self.stack.start()
        self.brokers, self.gateway = places["kafka"], places["gateway"]
        settings = f"kafka: {{bootstrap_servers: '{self.brokers}'}}\nflink: {{gateway: '{self.gateway}'}}\n"
        settings += f"online_store: {places['valkey']}\n" if "valkey" in places else ""
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        events.create(root / "p", settings)

    def topic(self, name: str, *, stamped_by: str = "LogAppendTime") -> None:
        """A new, empty topic of that name."""
        if name in self.admin.list_topics(timeout=10).topics:
            self.admin.delete_topics([name])[name].result()
            time.sleep(1)
        settings = {"message.timestamp.type": stamped_by, "retention.ms": "-1"}
        self.admin.create_topics([NewTopic(name, events.PARTITIONS, 1, config=settings)])[name].result()

    def start_job(self, statements: Sequence[str]) -> str:
        """The id of the job that the last of the statements starts."""
        from skewless.stream.gateway import Gateway

        with Gateway(self.gateway) as session:
            return session.submit(statements)

    def ours(self, view: str) -> tuple[list[str], str]:
        """The statements of a view's script, and its topic, new."""
        from skewless.stream.script import statements

        topic = f"bench.dev.{view}.v1"
        self.topic(topic)
        self.topic(f"{topic}.dead-letters")
        return statements(project.skewless(self.root / "p", "stream", "emit", view, "--kafka", self.brokers)), topic

    def by_hand(self, view: str) -> tuple[list[str], str]:
        """As `ours`, of the hand-written SQL."""
        topic = f"naive.{view}"
        self.topic(topic)
        return events.naive(view, self.brokers, topic), topic

    def cancel(self, job: str) -> None:
        from urllib.request import Request, urlopen

        urlopen(Request(f"{self.stack.endpoints['flink']}/jobs/{job}?mode=cancel", method="PATCH"), timeout=30).close()

    def count(self, topic: str) -> int:
        """Messages in a topic, ever."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "bench-count"})
        try:
            return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(events.PARTITIONS))
        finally:
            consumer.close()

    def pids(self) -> dict[str, int]:
        """The servers' processes, beneath those that hold them."""
        held = {s.name: psutil.Process(s.pid).children() for s in self.stack.servers}
        return {name: children[0].pid for name, children in held.items() if children}


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-stream-") as folder:
        bench = Bench(Path(folder))
        try:
            backlog(bench)
            live(bench)
        finally:
            bench.stack.stop()


def backlog(bench: Bench) -> None:
    """Events that wait in the topic, and how fast a fresh job has worked them off."""
    bench.topic(events.TOPIC, stamped_by="CreateTime")
    first_us = time.time_ns() // 1000 - 86_400_000_000
    _produce(bench, ((n, first_us + n * 1_000_000 // EVENTS_PER_SECOND) for n in range(BACKLOG)), stamped=True)
    rows = []
    warm, topic = bench.by_hand("user_minute")
    job = bench.start_job(warm)
    _drained(bench, topic, time.monotonic())
    bench.cancel(job)
    for view in events.VIEWS:
        for kind, (statements, topic) in (("generated", bench.ours(view)), ("by hand", bench.by_hand(view))):
            worker = bench.pids()["taskmanager"]
            spent = process_s(worker)
            with sample(kind, pids=tuple(bench.pids().values())) as s:
                started = time.monotonic()
                job = bench.start_job(statements)
                done, ended = _drained(bench, topic, started)
            bench.cancel(job)
            rows.append({
                "what": view, "SQL": kind, "rows out": done, "s": ended, "events/s": int(BACKLOG / ended),
                "worker µs an event": (process_s(worker) - spent) / BACKLOG * 1e6, "foreign cores": s.foreign_cores,
            })
    report.table("stream-backlog", rows)


def _drained(bench: Bench, topic: str, started: float) -> tuple[int, float]:
    """Rows that came out, and the seconds until the last of them."""
    seen, changed, before = 0, time.monotonic(), 0.0
    while time.monotonic() - changed < _QUIET_SECONDS or not seen:
        count = bench.count(topic)
        if count != seen:
            seen, changed = count, time.monotonic()
            before = changed - started
        time.sleep(0.1)
    return seen, before


def live(bench: Bench) -> None:
    """Windows over a steady stream: when each row is in its topic, after the end of its window and the lateness."""
    rows = []
    for kind, start in (("generated", bench.ours), ("by hand", bench.by_hand)):
        bench.topic(events.TOPIC)
        jobs, topics = [], []
        for view in ("user_minute", "user_sliding"):
            statements, topic = start(view)
            jobs.append(bench.start_job(statements))
            topics.append(topic)
        time.sleep(5)
        before = cpu_s(bench.pids())
        with sample("live", pids=tuple(bench.pids().values())) as s:
            numbers = events.paced(LIVE_PER_SECOND, LIVE_SECONDS)
            sent = _produce(bench, ((n, time.time_ns() // 1000) for n in numbers), stamped=False)
        cores = {f"{name} cores": (spent - before[name]) / s.wall_s for name, spent in cpu_s(bench.pids()).items()}
        time.sleep(2 + events.LATENESS_MS / 1000)
        rows += [
            {"what": view, "SQL": kind, "events/s": int(sent / s.wall_s), **_told(bench, topic), **cores,
             "foreign cores": s.foreign_cores}
            for view, topic in zip(("user_minute", "user_sliding"), topics, strict=True)
        ]
        for job in jobs:
            bench.cancel(job)
    report.table("stream-live", rows)


def _told(bench: Bench, topic: str) -> dict[str, float]:
    found = list(head_waits(bench, topic))
    waits, newest = sorted(wait for _, wait in found), max(end for end, _ in found)
    last = sorted(wait for end, wait in found if end == newest)
    return {"rows": len(waits), **p50_p99(waits), "last window p50 ms": last[len(last) // 2]}


def head_waits(bench: Bench, topic: str) -> Iterator[tuple[int, int]]:
    """The event time of each row, or its window's end, and the milliseconds beyond the lateness until the broker had the row."""
    for message in _messages(bench, topic):
        row: Any = fastavro.schemaless_reader(io.BytesIO(message.value()), _HEAD, None)
        yield row["event_timestamp"], message.timestamp()[1] - row["event_timestamp"] - events.LATENESS_MS


def _messages(bench: Bench, topic: str) -> Iterator[Any]:
    """All messages that a topic holds now."""
    consumer = Consumer({"bootstrap.servers": bench.brokers, "group.id": "bench-read", "enable.partition.eof": True})
    try:
        left = set(range(events.PARTITIONS))
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        while left:
            for message in consumer.consume(10_000, timeout=1):
                if message.error() is None:
                    yield message
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    left.discard(message.partition() or 0)
    finally:
        consumer.close()


def _produce(bench: Bench, numbered: Iterable[tuple[int, int]], *, stamped: bool) -> int:
    """Sends (number, time in microseconds) as events; `stamped` gives the record the event's time. How many."""
    settings = {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000, "log_level": 0}
    producer = Producer({"bootstrap.servers": bench.brokers, **settings})
    sent = 0
    for number, at_us in numbered:
        while True:
            try:
                part, stamp = number % events.PARTITIONS, at_us // 1000 if stamped else 0
                producer.produce(events.TOPIC, events.event(number, at_us), partition=part, timestamp=stamp)
                break
            except BufferError:
                producer.poll(0.05)
        sent += 1
        if sent % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return sent
