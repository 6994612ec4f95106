"""A reader that looks all the time, while a consumer flushes, `skewless compact` folds, and `dbt run` corrects and retracts:
at every instant each row is there exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pytest

from skewless.audit import audit_view
from skewless.clock import format_instant, parse_instant
from skewless.dev.stack import Stack
from skewless.registry.model import Streaming, View
from skewless.sync.batch import sync_view
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.streamed import fold
from skewless.warehouse.upkeep import compact, vacuum
from tests.consume_member import Member
from tests.feature_messages import Topic, newest, streamed
from tests.feed_reader import FeedReader
from tests.history_driver import statements
from tests.history_project import NOW, Project, Row
from tests.test_consume_command import apply
from tests.test_materialize import call
from tests.waiting import eventually, repeating

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
HOUR = 3_600_000_000
BEGIN, DELAY = parse_instant("2026-02-01"), HOUR
Slot = tuple[str, int]
Values = tuple[int | None, float | None]
Known = tuple[Values, int]
Made = Callable[[str], tuple[Project, Topic]]
Look = list[tuple[str, int, int | None, float | None, int]]


class Reader:
    """Reads the history over and over, with a connection of its own, each time as somebody who comes for the first time, and the
    feed of its changes. `looks`: what it saw, in order; `texts`: some of the relations that it read, and what they gave."""

    def __init__(self, root: Path, view: View) -> None:
        self.root, self.view = root, view
        self.looks: list[Look] = []
        self.texts: list[tuple[str, Look]] = []
        self.feed = FeedReader(lambda a, x: (a, x))

    def reading(self) -> AbstractContextManager[None]:
        return repeating(lambda: (self.look(), self.hear()), 0.25)

    def look(self) -> None:
        table = LakeTable(self.root, self.view)
        if table.exists():
            text = table.relation()
            self.looks.append(self.fetch(text))
            if len(self.looks) % 3 == 1:
                self.texts.append((text, self.looks[-1]))

    @staticmethod
    def fetch(text: str) -> Look:
        with duckdb.connect() as con:
            con.execute("set timezone = 'UTC'")
            return con.execute(f"select k, epoch_us(event_timestamp), a, x, epoch_us(ingested_at) from {text}").fetchall()

    def hear(self) -> None:
        table = LakeTable(self.root, self.view)
        if table.exists():
            self.feed.follow(table)

    def check_texts(self) -> None:
        """Whoever opened a relation at any time still reads the same rows from it, old as its files may be."""
        table = LakeTable(self.root, self.view)
        for path in table.path.rglob("*.parquet"):
            os.utime(path, (0, 0))
        vacuum(table)
        assert len(self.texts) > 1
        for text, look in self.texts:
            assert sorted(self.fetch(text), key=repr) == sorted(look, key=repr)


@pytest.fixture
def made(servers: Stack, tmp_path: Path) -> Made:
    """A project with a view that streams, with this in its block, and the view's topic."""

    def make(block: str) -> tuple[Project, Topic]:
        project = Project(tmp_path / "p", block=block)
        t = Topic(servers, project.root, partitions=1)
        t.configure()
        assert project.config.lake_root == t.config.lake_root
        return project, t

    return make


class Numbered:
    """Messages in one partition, each of them with its number in `a`: a new slot, or other values for an earlier one."""

    def __init__(self, t: Topic) -> None:
        self.t, self.chance, self.slots = t, random.Random(31), list[Slot]()

    def send(self, n: int) -> None:
        earlier = self.chance.sample(self.slots, n // 5) if len(self.slots) > n else []
        fresh = range(len(self.slots), len(self.slots) + n - len(earlier))
        several = [*earlier, *((f"e{i % 7}", BEGIN + i % 3 * 24 * HOUR + i * 1000) for i in fresh)]
        self.chance.shuffle(several)
        self.t.send(*((k, at // 1000, number, 0.5) for number, (k, at) in enumerate(several, len(self.slots))))
        self.slots += several

    def check(self, looks: list[Look]) -> int:
        """Each look is what the first so many messages give, never fewer than the look before; how many such states were seen."""
        state: dict[Slot, int] = {}
        n, seen = 0, set()
        for look in looks:
            end = max((a for _, _, a, _, _ in look if a is not None), default=-1) + 1
            assert end >= n
            state.update({slot: number for number, slot in enumerate(self.slots[n:end], n)})
            n = end
            seen.add(n)
            assert len(look) == len(state) and {(k, at): a for k, at, a, _, _ in look} == state
        assert n == len(self.slots)
        return len(seen)

    def sending(self) -> AbstractContextManager[None]:
        return repeating(lambda: self.send(40), 0.15)


def test_while_a_consumer_flushes_and_compact_folds(made: Made) -> None:
    """One partition: each look is what the messages up to some point give, and the next one not less."""
    project, t = made(", stream: {enabled: true, only: true}")
    t.view = streamed(stream=Streaming(only=True))
    apply(t, t.view)
    messages, reader = Numbered(t), Reader(t.config.lake_root, t.view)
    consumer, folded = Member(t, flush_seconds=0.5), 0
    try:
        with reader.reading(), messages.sending():
            eventually(lambda: t.table.exists() and t.table.statistics()["pending"])
            done = call(project, "compact", "--json")
            assert done.returncode == 0 and json.loads(done.stdout)[0]["rows_folded"], done.stderr
            for _ in range(60 if SOAK else 2):
                eventually(lambda: t.table.statistics()["pending"])
                folded += fold(t.table, statements("month"))
                compact(t.table)
        assert consumer.end(signal.SIGTERM) == 0, consumer.said
    finally:
        consumer.end()
    t.once()
    reader.look()
    reader.hear()
    assert folded and messages.check(reader.looks) > 5
    reader.check_texts()
    assert t.offline() == t.expected() and t.online() == newest(t.expected()) == reader.feed.held


class World:
    """A source that changes, a stream beside it, and what of both is certain, whatever comes when.

    `fixed`: slots before the first run's end that never change. `agreed`: slots that the stream sends with the values that the
    source has. `ever`: all values that a slot had anywhere.
    """

    def __init__(self, project: Project, t: Topic) -> None:
        self.project, self.t, self.chance, self.senders = project, t, random.Random(32), random.Random(33)
        self.now = parse_instant(NOW)
        self.source: dict[Slot, Values] = {}
        self.fixed: dict[Slot, Values] = {}
        self.agreed: dict[Slot, Values] = {}
        self.ever: dict[Slot, set[str]] = {}
        for _ in range(100):
            self.fixed[f"f{self.chance.randrange(5)}", self.at(self.now - 20 * 24 * HOUR, self.now - DELAY)] = self.values()
        for hour in range(24 * (20 if SOAK else 2)):
            for k in "ab":
                self.agreed[f"s{k}", self.now - DELAY + hour * HOUR + self.chance.randrange(3600) * 1_000_000] = self.values()
        self.put({**self.fixed, **self.agreed})
        self.change()

    def at(self, start: int, end: int, chance: random.Random | None = None) -> int:
        return start + (chance or self.chance).randrange((end - start) // 1_000_000) * 1_000_000

    def values(self, chance: random.Random | None = None) -> Values:
        found = chance or self.chance
        return found.choice([None, *range(9)]), found.choice([None, 0.5, 1e300])

    def put(self, some: dict[Slot, Values]) -> None:
        for slot, values in some.items():
            self.ever.setdefault(slot, set()).add(repr(values))
        self.source.update(some)

    def change(self) -> None:
        """Rows that come late, corrections, deletions, and rows that only the batch has."""
        moving = sorted(slot for slot in self.source if slot[0].startswith("c"))
        for slot in self.chance.sample(moving, len(moving) // 4):
            del self.source[slot]
        some = [(f"c{self.chance.randrange(4)}", self.at(self.now - 20 * 24 * HOUR, self.now)) for _ in range(80)]
        self.put({slot: self.values() for slot in [*some, *self.chance.sample(moving, len(moving) // 4)]})
        rows: list[Row] = [(k, format_instant(at), *values) for (k, at), values in sorted(self.source.items())]
        self.project.rows(rows)

    def send(self) -> None:
        """What the batch will confirm, what it will correct or retract, what comes too late, in one topic."""
        near = [slot for slot in self.agreed if abs(slot[1] - self.now) < 8 * HOUR]
        rows = {slot: self.agreed[slot] for slot in self.senders.sample(near, min(3, len(near)))}
        for _ in range(3):
            slot = (f"c{self.senders.randrange(4)}", self.at(self.now - 4 * HOUR, self.now + 12 * HOUR, self.senders))
            rows[slot] = self.values(self.senders)
            self.ever.setdefault(slot, set()).add(repr(rows[slot]))
        self.t.send(*((k, at // 1000, *values) for (k, at), values in rows.items()))

    def sending(self) -> AbstractContextManager[None]:
        return repeating(self.send, 0.15)

    def check_looks(self, looks: list[Look], settled: int) -> None:
        """Each slot once, with values that it had somewhere; what is certain never goes, and keeps its `ingested_at`. From the
        look `settled` on, the first run is at its end."""
        certain: dict[Slot, Known] = {}
        for look in looks:
            found = {(k, at): ((a, x), ingested) for k, at, a, x, ingested in look}
            assert len(found) == len(look)
            assert not [slot for slot, (values, _) in found.items() if repr(values) not in self.ever[slot]]
            assert not [slot for slot, known in certain.items() if found.get(slot) != known]
            certain.update({slot: known for slot, known in found.items() if slot in self.agreed or slot in self.fixed})
        assert {*self.fixed} <= {(row[0], row[1]) for row in looks[settled]}
        assert {slot: values for slot, (values, _) in certain.items()} == {**self.fixed, **{
            slot: values for slot, values in self.agreed.items() if slot in certain
        }}

    def check(self) -> None:
        """Before complete_through there is what the source has, from there on what streamed."""
        through, messages = self.now - DELAY, self.t.expected()
        assert self.t.table.complete_through_us() == through
        stored = {slot: values for slot, values in self.source.items() if slot[1] < through}
        ahead = {slot: known for slot, known in messages.items() if slot[1] >= through}
        offline = self.t.offline()
        assert stored and ahead and offline.keys() == {*stored, *ahead}
        assert not [slot for slot, known in ahead.items() if offline[slot] != known and slot not in self.t.tied]
        assert not [slot for slot, values in stored.items() if offline[slot][0] != values]
        sent = self.t.sent().items()
        arrived = {slot: {at for at, _, values in some if values == stored[slot]} for slot, some in sent if slot in stored}
        stamps = {entry.r_us for entry in self.t.table.ledger()}
        assert not [slot for slot in stored if offline[slot][1] not in stamps | arrived.get(slot, set())]
        online = self.t.online()
        assert {k: row[0] for k, row in online.items()} == {k: max(at for e, at in offline if e == k) for k, _ in offline}
        assert not [k for k, row in online.items() if (row[2], row[1]) != offline[k, row[0]]]


def test_while_dbt_run_corrects_and_retracts_and_the_stream_goes_on(made: Made) -> None:
    project, t = made(", stream: {enabled: true}, overlap: 60d, retract_limit: 1")
    apply(t, t.view)
    world, reader = World(project, t), Reader(t.config.lake_root, t.view)
    consumer, settled = Member(t, flush_seconds=0.5), 0
    try:
        with reader.reading(), world.sending():
            eventually(lambda: reader.looks and reader.looks[-1])
            for turn in range(20 if SOAK else 2):
                if turn:
                    world.now += 6 * HOUR
                    world.change()
                run = project.run(now=format_instant(world.now))
                assert run.ok, run.lines
                sync_view(t.config, t.view)
                settled = settled or len(reader.looks) + 1
                eventually(lambda seen=consumer.messages: consumer.messages > seen + 50)
        assert consumer.end(signal.SIGTERM) == 0, consumer.said
    finally:
        consumer.end()
    t.once()
    sync_view(t.config, t.view)
    reader.look()
    reader.hear()
    world.check()
    world.check_looks(reader.looks, settled)
    reader.check_texts()
    assert reader.feed.held == newest(t.offline()) and audit_view(t.config, t.view).clean
    runs = [entry for entry in t.table.ledger() if entry.kind == "window"]
    assert sum(entry.rows_corrected for entry in runs) > 5 < sum(entry.rows_retracted for entry in runs)
