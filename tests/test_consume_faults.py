"""Whatever dies, stops or comes twice: afterwards both stores hold what an undisturbed consumer would have written."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures

from skewless import messages
from skewless.audit import audit_view
from skewless.clock import format_instant
from skewless.dev.stack import Stack
from skewless.online import OnlineStore
from skewless.sync import consume
from skewless.sync.batch import sync_view
from skewless.sync.consume import Consumer, Options
from skewless.sync.view_stream import Counts, ViewStream
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.pending import Part
from skewless.warehouse.upkeep import compact
from tests.consume_events import Events, check_letters, producing
from tests.feature_messages import NOON, Topic, newest, streamed, table_of
from tests.history_driver import Driver
from tests.test_lake_states import BEGIN, HOUR, Oracle, plain
from tests.waiting import eventually

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
MakeTopic = Callable[..., Topic]


def test_offsets_that_are_set_back_while_rows_come(topic: MakeTopic) -> None:
    t, events = topic(partitions=1), Events(10)
    for _ in range(20 if SOAK else 3):
        t.send(*events.some(200))
        t.once(flush_rows=events.chance.choice([17, 60, 1000]))
        t.check()
        t.rewind(p0=events.chance.randrange(t.offsets()[0]))
    t.once()
    t.check()


def restarted(stack: Stack, name: str) -> None:
    """Starts what was killed again, and waits until it takes work."""
    (server,) = [s for s in stack.servers if s.name == name]
    eventually(lambda: not server.alive)
    eventually(stack.watch)
    server.wait_ready(60)


def broker(stack: Stack) -> int:
    for path in Path("/proc").iterdir():
        try:
            line = (path / "cmdline").read_bytes()
            if b"kafka.Kafka" in line and b"lifeline" not in line and os.readlink(path / "cwd").startswith(str(stack.folder)):
                return int(path.name)
        except OSError:
            continue
    raise AssertionError("there is no broker")


def test_valkey_is_killed_and_comes_back_with_its_log(topic: MakeTopic, servers: Stack) -> None:
    t, events = topic(), Events(11)
    with t.running() as consumer, producing(t, events):
        for _ in range(10 if SOAK else 2):
            eventually(lambda: consumer.streams and consumer.streams[t.name].counts.offline)
            os.kill(t.client.info("server")["process_id"], signal.SIGKILL)
            restarted(servers, "valkey")
            seen = consumer.streams[t.name].counts.offline
            eventually(lambda seen=seen: consumer.streams[t.name].counts.offline > seen + 200)
    t.once()
    t.check()
    check_letters(t)


def test_the_broker_is_killed_and_comes_back(topic: MakeTopic, servers: Stack) -> None:
    t, events = topic(), Events(12)
    with t.running() as consumer, producing(t, events):
        for _ in range(5 if SOAK else 1):
            eventually(lambda: consumer.streams and consumer.streams[t.name].counts.offline)
            os.kill(broker(servers), signal.SIGKILL)
            restarted(servers, "kafka")
            seen = consumer.streams[t.name].counts.offline
            eventually(lambda seen=seen: consumer.streams[t.name].counts.offline > seen + 200)
    t.once()
    t.check()
    check_letters(t)


def damaged(table: LakeTable) -> Callable[[], None]:
    """Makes the table's log unreadable; the action that repairs it."""
    last = max((table.path / "_delta_log").glob("*.json"))
    before = last.read_bytes()
    last.write_bytes(b"{ no json")

    def repair() -> None:
        last.write_bytes(before)

    return repair


def test_a_damaged_history_holds_up_its_own_view_alone(topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged while the consumer runs, and from the start; what waits is bounded, and nothing of it is lost."""
    monkeypatch.setattr(consume, "DRAIN_SECONDS_MAX", 3.0)
    one, events, others = topic(), Events(17), Events(18)
    two = Topic(one.stack, one.root, view=streamed(version=2), said=one.said)
    two.config, two.name = one.config, messages.topic(one.config.namespace, two.view)
    two.make()

    @contextmanager
    def running() -> Iterator[dict[str, Counts]]:
        options = Options(flush_rows=100, flush_seconds=0.2)
        made = Consumer(one.config, [one.view, two.view], one.brokers, options, say=one.said.append)
        failed: list[BaseException] = []

        def live() -> None:
            try:
                made.run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            yield eventually(lambda: len(made.streams) == 2 and {t.name: made.streams[t.name].counts for t in (one, two)})
        finally:
            made.stop.set()
            thread.join(90)
            ended.append(failed)

    ended: list[list[BaseException]] = []
    with running() as counts:
        one.send(*events.some(50))
        two.send(*others.some(50))
        eventually(lambda: sum(one.offsets().values()) == 50 and sum(two.offsets().values()) == 50)
        repair = damaged(one.table)
        one.send(*events.some(3000))
        for at in range(100, 400, 50):
            two.send(*others.some(50))
            eventually(lambda at=at: counts[two.name].offline == at)
        two.check()
        eventually(lambda: any("the history of events@1: SK513" in said and "waiting" in said for said in one.said))
        assert counts[one.name].offline == 50 and sum(one.offsets().values()) == 50
        two.send(*others.some(20))
    two.check()
    assert "SK864" in str(ended.pop()), "the other view's rows are written all the same"
    with running() as counts:
        two.send(*others.some(30))
        eventually(lambda: counts[two.name].offline == 30)
        two.check()
        assert counts[one.name].offline == 0
        repair()
        eventually(lambda: sum(one.offsets().values()) == 3050)
    assert not ended.pop()
    one.check()
    two.check()


def lie_there(table: LakeTable) -> set[str]:
    return {path.name for path in table.path.rglob("*.parquet")}


def test_a_flush_that_fails_leaves_no_files(tmp_path: Path) -> None:
    """The file of an earlier day is complete when that of a later one does not fit."""
    table, chance = LakeTable(tmp_path, streamed()), random.Random(3)
    table.create()
    small = [(f"k{i}", NOON * 1000 + i, 1, 1.0, 10) for i in range(10)]
    large = [(f"k{i}", NOON * 1000 + 40 * 24 * HOUR + i, chance.getrandbits(60), chance.random(), 10) for i in range(30_000)]
    part = Part("t:0", table_of(table.view, small + large), pa.array(range(30_010)), 30_010)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(duckdb.IOException):
            table.append_parts([part])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lie_there(table) == set()
    assert table.append_parts([part]).rows == 30_010 and len(lie_there(table)) == 2


def test_a_commit_that_is_refused_leaves_no_files(tmp_path: Path) -> None:
    """Another tool has given the table a feature that we cannot write."""
    table = LakeTable(tmp_path, streamed())
    part = Part("t:0", table_of(table.view, [("k", NOON * 1000, 1, 1.0, 10)]), pa.array([0]), 1)
    table.append_parts([part])
    before = lie_there(table)
    DeltaTable(table.path).alter.add_feature(TableFeatures.IdentityColumns, allow_protocol_versions_increase=True)
    with pytest.raises(Exception, match="(?i)commit|feature"):
        table.append_parts([replace(part, offsets=pa.array([1]), end=2)])
    assert lie_there(table) == before


def test_a_history_that_is_restated_between_a_flush_and_its_end(topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that belonged to the batch when they were flushed do not any more."""
    t = topic(view=streamed(begin_us=BEGIN), partitions=1)
    driver = Driver(t.config.lake_root, "month")
    driver.table = LakeTable(t.config.lake_root, t.view)
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(BEGIN + 3 * HOUR))
    driver.run()
    t.send(("a", BEGIN // 1000 + 60_000, 1, 1.0), ("b", BEGIN // 1000 + 120_000, 2, 2.0))
    stream = ViewStream(
        t.config, t.view, lambda view: None, store=OnlineStore(t.client, t.config.namespace), offline=True
    )
    rows, _, _ = stream.write(t.read())
    doubtful = stream.append([((t.name, 0), 2, [rows])], lambda name: "")
    assert doubtful is not None and len(doubtful) == 2
    t.table.mark_applied("d2", restate=True)
    stream.settle(doubtful)
    assert stream.counts.late == 0
    driver.close()


def test_a_batch_that_corrects_and_retracts_while_the_stream_goes_on(topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws 2 and 8: history = oracle after every step, and after a sync the online store = the newest rows of the history."""
    t = topic(view=streamed(begin_us=BEGIN), partitions=1)
    driver = Driver(t.config.lake_root, "month", allow_retract=True, chunk_us=31 * 86_400_000_000)
    driver.table = LakeTable(t.config.lake_root, t.view)
    driver.table.create()
    chance, oracle, source = random.Random(16), Oracle(), dict[tuple[str, int], tuple[int, float]]()
    now, sent, counted = BEGIN + 24 * HOUR, 0, 0

    def send(rows: list[tuple[str, int, int, float]]) -> None:
        nonlocal sent
        t.send(*((k, at // 1000, a, x) for k, at, a, x in rows))
        sent += len(rows)

    def run() -> None:
        monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(now))
        known = len(driver.table.ledger())
        driver.run()
        for e in driver.table.ledger()[known:]:
            if e.kind == "window":
                values = {slot: plain(*v) for slot, v in source.items()}
                oracle.window(e.window_start_us, e.window_end_us, e.r_us, values)

    for step in range(60 if SOAK else 5):
        for _ in range(6):
            slot = (chance.choice("abc"), BEGIN + chance.randrange(max(1, (now - BEGIN) // HOUR)) * HOUR)
            driver.con.execute("delete from source where k = ? and seen = make_timestamp(?)", list(slot)).fetchall()
            if source.pop(slot, None) is None or chance.random() < 0.6:
                source[slot] = (chance.randrange(3), 0.5)
                driver.con.execute("insert into source values (?, make_timestamp(?), ?, ?)", [*slot, *source[slot]]).fetchall()
        rows = []
        for _ in range(chance.randrange(12)):
            slot = (chance.choice("abc"), max(BEGIN, oracle.through() + chance.randrange(-12, 24) * HOUR))
            rows.append((*slot, *(source[slot] if slot in source and chance.random() < 0.5 else (chance.randrange(3), 0.5))))
        send(rows)
        if chance.random() < 0.3:
            t.rewind(p0=chance.randrange(counted + 1))         # what was read; further on it would be a leap
        meanwhile = chance.random() < 0.5
        if meanwhile:
            with t.running(flush_seconds=0.02):
                run()
        t.once()
        for message, (k, at, a, x) in zip(t.read()[counted:], rows, strict=True):
            oracle.pending.append(((k, at), plain(a, x), message.timestamp()[1] * 1000))
        counted = sent
        if not meanwhile and chance.random() < 0.6:
            run()
        now += chance.randrange(1, 20) * HOUR
        if chance.random() < 0.3:
            compact(driver.table)
        found = {slot: (plain(*values), ingested) for slot, (values, ingested) in t.offline().items()}
        if not meanwhile:
            assert found == oracle.visible(), step
        else:       # the run may have come before or after each row: what counts now is what the history says
            oracle.stored, oracle.pending = dict(found), []
        sync_view(t.config, t.view, full=chance.random() < 0.2)
        assert t.online() == newest(t.offline()), step
        assert audit_view(t.config, t.view).clean, step
    driver.close()
