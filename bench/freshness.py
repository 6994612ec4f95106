"""Claim: an event is served within its lateness and 0.8 s, with an OVER over the last hour, at 2 000 events a second.

Broker, Flink, consumer, Valkey, server, producer and whoever asks share this machine. Marked events, ten a second, each
of an entity of its own, are asked for over HTTP every few milliseconds until they are there. Then the worker of Flink is killed.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from bench import events, project, report
from bench.measure import process_s, sample
from bench.online import free_port, wait_for
from bench.stream import Bench

RATES, SECONDS, WARM_SECONDS = (500, 2_000), 30.0, 10.0
PROBES_PER_SECOND = 10
VIEW = "user_hour"


class Probes:
    """Asks the server for the marked entities that are not there yet, and notes when each appears."""

    def __init__(self, port: int) -> None:
        self.port, self.sent, self.waits, self.done = port, dict[str, float](), list[float](), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.done.is_set() or self.sent:
            users = list(self.sent)[:100]
            if users:
                body = {"features": [f"{VIEW}@1:events"], "format": "compact", "entities": [{"user_id": u} for u in users]}
                connection.request("POST", "/online-features/batch", json.dumps(body))
                found = json.loads(connection.getresponse().read())["results"]
                now = time.time()
                for user, one in zip(users, found, strict=True):
                    if one["status"][0] == "ok":
                        self.waits.append((now - self.sent.pop(user)) * 1000 - events.LATENESS_MS)
            time.sleep(0.004)

    def end(self, seconds: float = 30.0) -> list[float]:
        """Milliseconds beyond the lateness of each, sorted; stops when all are there."""
        self.done.set()
        self._thread.join(seconds)
        assert not self.sent, f"{len(self.sent)} events are not served after {seconds} s"
        return sorted(self.waits)


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-freshness-") as folder:
        bench = Bench(Path(folder), ("kafka", "flink", "valkey"))
        try:
            _measure(bench)
        finally:
            bench.stack.stop()


def _measure(bench: Bench) -> None:
    root, rows = bench.root / "p", []
    os.environ.pop("SKEWLESS_CLOCK", None)
    project.CLOCK = ""
    project.register(root)
    bench.topic(events.TOPIC)
    project.skewless(root, "stream", "submit", VIEW)
    port = free_port()
    with _running(root, "stream", "consume", VIEW) as consumer, _running(root, "serve", "--port", str(port)) as server:
        wait_for(lambda: _answers(port))
        ours = {"consumer": consumer.pid, "server": server.pid}
        for rate in RATES:
            pids = {**bench.pids(), **ours}
            before = {name: process_s(pid) for name, pid in pids.items()}
            with sample(f"{rate} events/s", pids=tuple(pids.values())) as s:
                waits = _load(bench, rate, port)
            rows.append(_row(s, waits) | {
                f"{n} cores": (process_s(pid) - before[n]) / s.wall_s for n, pid in pids.items() if n != "gateway"
            })
        memory = {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in {**bench.pids(), **ours}.items()}
        recovered = _kill(bench, port)
    report.table("stream-freshness", rows)
    report.table("stream-memory", [{"what": name, "MB": value} for name, value in memory.items()])
    report.table("stream-recovery", [{"what": "kill -9 of Flink's worker", "s until an event after it is served": recovered}])


def _row(s: Any, waits: list[float]) -> dict[str, Any]:
    return {
        "what": s.name, "probes": len(waits), "p50 ms": waits[len(waits) // 2], "p99 ms": waits[len(waits) * 99 // 100],
        "max ms": waits[-1], "foreign cores": s.foreign_cores,
    }


def _load(bench: Bench, rate: int, port: int) -> list[float]:
    """Milliseconds from a marked event until it is served, beyond the lateness; those of the first seconds do not count."""
    producer = Producer({"bootstrap.servers": bench.brokers, "linger.ms": 1, "log_level": 0})
    probes, started, marked = Probes(port), time.monotonic(), 0
    for number in events.paced(rate, WARM_SECONDS + SECONDS):
        at = time.time()
        user = ""
        if time.monotonic() - started > WARM_SECONDS + marked / PROBES_PER_SECOND:
            marked += 1
            user = f"probe-{rate}-{marked}"
            probes.sent[user] = at
        _send(producer, number, at, user)
    threading.Thread(target=_keep_going, args=(producer, probes), daemon=True).start()
    return probes.end()


def _keep_going(producer: Producer, probes: Probes) -> None:
    """The last rows wait for a watermark, which needs events."""
    number = 0
    while probes.sent:
        _send(producer, number, time.time(), "")
        number += 1
        time.sleep(0.01)
    producer.flush()


def _send(producer: Producer, number: int, at: float, user: str) -> None:
    message = events.event(number, int(at * 1e6), user)
    producer.produce(events.TOPIC, message, partition=number % events.PARTITIONS)
    producer.poll(0)


def _kill(bench: Bench, port: int) -> float:
    """Seconds from a kill -9 of the TaskManager until an event of after it is served; it is started again as `dev up` does."""
    producer = Producer({"bootstrap.servers": bench.brokers, "linger.ms": 1, "log_level": 0})
    os.kill(bench.pids()["taskmanager"], signal.SIGKILL)
    killed, probes = time.time(), Probes(port)
    probes.sent["after-the-kill"] = killed
    time.sleep(0.5)
    _send(producer, 1, time.time(), "after-the-kill")
    threading.Thread(target=_keep_going, args=(producer, probes), daemon=True).start()
    threading.Thread(target=_watch, args=(bench, probes), daemon=True).start()
    return (probes.end(120.0)[0] + events.LATENESS_MS) / 1000


def _watch(bench: Bench, probes: Probes) -> None:
    while probes.sent:
        bench.stack.watch()
        time.sleep(0.2)


@contextmanager
def _running(root: Path, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "skewless.cli", *args]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
