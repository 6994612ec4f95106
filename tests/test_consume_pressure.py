"""Stores that are slow, full, locked or silent hold the consumer up: it reads no further than it may, and loses nothing."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from fastavro import parse_schema, schemaless_writer

from skewless import messages
from skewless.sync import consume
from tests.consume_events import Events
from tests.consume_member import Member
from tests.feature_messages import NOON, Topic
from tests.history_project import fetch
from tests.test_consume_command import apply
from tests.waiting import eventually

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
MEGABYTE = 2**20
ENTITIES, MESSAGE_BYTES = 50, 1500
MakeTopic = Callable[..., Topic]


class SlowWay:
    """An address on the way to a server, over which every answer takes so many seconds."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.target, self.seconds, self.answers = (host, port), seconds, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target)
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, slowly: bool) -> None:
        with suppress(OSError), source, target:
            while some := source.recv(65536):
                if slowly:
                    self.answers += 1
                    time.sleep(self.seconds)
                target.sendall(some)

    def close(self) -> None:
        self._listener.close()


def fill(t: Topic, start: int, end: int) -> None:
    """So many messages of one and a half kilobytes, each of a slot of its own."""
    schema, headers = parse_schema(messages.avro_schema(t.view)), [(messages.HEADER, messages.header(t.view))]
    for i in range(start, end):
        out = io.BytesIO()
        row = {"k": f"{i % ENTITIES:02}" + "k" * MESSAGE_BYTES, messages.EVENT_TIMESTAMP: NOON + i, "a": i, "x": i / 4}
        schemaless_writer(out, schema, row)
        t.producer.produce(t.name, out.getvalue(), b"{}", i % ENTITIES % t.partitions, headers=headers)
        t.producer.poll(0)
    assert not t.producer.flush(60)


def test_a_slow_online_store_beside_a_fast_topic(topic: MakeTopic) -> None:
    """In hand are no more than two flushes and two reads, in memory not much more than after a few messages: the rest waits in
    Kafka, and all of it arrives."""
    t, few, many, flush_rows = topic(), 20_000, 1_000_000 if SOAK else 160_000, 2_000
    apply(t, t.view)
    valkey = t.client.connection_pool.connection_kwargs
    way = SlowWay(valkey["host"], valkey["port"], 0.1)
    peaks = []
    try:
        for start, end, address in ((0, few, t.store_url), (few, few + many, f"redis://127.0.0.1:{way.port}/0")):
            fill(t, start, end)
            t.configure(address)
            member = Member(t, "--flush-rows", str(flush_rows))
            try:
                eventually(lambda end=end: sum(t.offsets().values()) == end, 1800 if SOAK else 300)
                peaks.append(member.peak_bytes)
                assert member.end(signal.SIGTERM) == 0, member.said
            finally:
                member.end()
            for flush in member.flushes:
                (counts,) = flush["views"].values()
                assert counts["messages"] - counts["offline"] <= 2 * (flush_rows + consume.MESSAGES_PER_READ)
    finally:
        way.close()
    assert member.flushes[0]["lag"] > many / 2 and way.answers > many / consume.MESSAGES_PER_READ
    assert peaks[1] - peaks[0] < 180 * MEGABYTE < many * MESSAGE_BYTES * 0.8
    found = fetch(f"select count(*), count(distinct event_timestamp), sum(a), max(a) from {t.table.relation()}")
    assert found == [(few + many, few + many, sum(range(few + many)), few + many - 1)]
    assert sorted(row[2][0] for row in t.online().values()) == list(range(few + many - ENTITIES, few + many))


@contextmanager
def full(store: redis.Redis) -> Iterator[None]:
    """It has no memory left, and evicts nothing."""
    store.config_set("maxmemory", 1)
    try:
        yield
    finally:
        store.config_set("maxmemory", 0)


@contextmanager
def unable_to_save(store: redis.Redis) -> Iterator[None]:
    """Its snapshot cannot take its place, so it takes no writes."""
    place = Path(store.config_get("dir")["dir"], store.config_get("dbfilename")["dbfilename"])
    place.mkdir()
    store.config_set("save", "3600 1")

    def saved() -> bool:
        found = store.info("persistence")
        if not found["rdb_bgsave_in_progress"] and not found["aof_rewrite_in_progress"]:
            store.bgsave()
        return bool(found["rdb_last_bgsave_status"] == "ok")

    try:
        eventually(lambda: not saved())
        yield
    finally:
        place.rmdir()
        eventually(saved)
        store.config_set("save", "")
        place.unlink()


@pytest.mark.parametrize(("refusing", "word"), [(full, "maxmemory"), (unable_to_save, "MISCONF")])
def test_an_online_store_that_takes_no_writes_is_waited_for(
    topic: MakeTopic, refusing: Callable[[redis.Redis], AbstractContextManager[None]], word: str
) -> None:
    """It answers, and refuses each write: nothing is committed until it takes them again, also what is read meanwhile."""
    t, events = topic(), Events(24)
    with t.running(flush_rows=20) as consumer:
        t.send(*events.some(50))
        eventually(lambda: sum(t.offsets().values()) == 50)
        with refusing(t.client):
            t.send(*events.some(50))
            eventually(lambda: any(word in said and "waiting, nothing is lost" in said for said in t.said))
            t.send(*events.some(50))
            time.sleep(1)
            assert sum(t.offsets().values()) == 50 == consumer.streams[t.name].counts.offline
        eventually(lambda: sum(t.offsets().values()) == 150)
    t.check()


def test_a_store_that_stands_still_holds_the_consumer_up(topic: MakeTopic) -> None:
    t, events = topic(patience=0.3), Events(13)
    valkey = t.client.info("server")["process_id"]
    with t.running() as consumer:
        t.send(*events.some(50))
        eventually(lambda: consumer.streams and consumer.streams[t.name].counts.offline == 50)
        os.kill(valkey, signal.SIGSTOP)
        try:
            t.send(*events.some(50))
            eventually(lambda: any("the online store" in said and "waiting" in said for said in t.said))
            assert consumer.streams[t.name].counts.offline == 50
        finally:
            os.kill(valkey, signal.SIGCONT)
        eventually(lambda: consumer.streams[t.name].counts.offline == 100)
    t.check()


def test_a_history_that_cannot_be_written_bounds_what_is_held(topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consume, "MESSAGES_PER_READ", 50)
    t, events = topic(), Events(14)
    t.table.create()
    with t.running(flush_rows=100) as consumer:
        eventually(lambda: len(consumer.partitions) == 2)
        with t.table.committing():
            t.send(*events.some(3000))
            eventually(lambda: consumer.streams[t.name].counts.messages > 150)
            time.sleep(1)
            assert consumer.streams[t.name].counts.messages <= 300
        eventually(lambda: consumer.streams[t.name].counts.offline == 3000)
    t.check()


def test_a_disk_that_refuses_is_waited_for(topic: MakeTopic) -> None:
    t, events = topic(), Events(15)
    apply(t, t.view)
    member = Member(t)
    try:
        eventually(lambda: member.owned)
        resource.prlimit(member.process.pid, resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        t.send(*events.some(100))
        eventually(lambda: any("the history of events@1" in line and "waiting" in line for line in member.said))
        assert set(t.offsets().values()) == {-1001}
        resource.prlimit(member.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        eventually(lambda: sum(t.offsets().values()) == 100)
    finally:
        assert member.end(signal.SIGTERM) == 0, member.said
    t.check()
