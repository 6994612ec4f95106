"""Several consumers of one group, or of none: each partition is one's, and whoever comes, goes or is killed leaves both stores as
one undisturbed consumer would."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from confluent_kafka import ConsumerGroupState

from skewless import messages
from skewless.dev.stack import Stack
from skewless.warehouse.upkeep import compact
from tests.consume_events import NOON, Events, check_letters, producing, send_bad
from tests.feature_messages import Topic, answered
from tests.test_consume_command import apply, argv
from tests.waiting import eventually

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
MakeTopic = Callable[..., Topic]
_TOLD = re.compile(r"\b(reads|gives away|lost) \S+ ([\d,]+)$")


@pytest.fixture
def topic(servers: Stack, tmp_path: Path) -> MakeTopic:
    def make(**options: Any) -> Topic:
        made = Topic(servers, Path(tempfile.mkdtemp(dir=tmp_path)), **options)
        settings = {
            "project": made.config.project, "online_store": made.config.online_store,
            "kafka": {"bootstrap_servers": servers.endpoints["kafka"], "properties": {"session.timeout.ms": "6000"}},
        }
        (made.root / "skewless.yml").write_text(json.dumps(settings))
        return made

    return make


class Member:
    """`skewless stream consume` in a process of its own. `moves`: what it said of its partitions, in order."""

    def __init__(self, t: Topic, *more: str) -> None:
        self.moves: list[tuple[str, frozenset[int]]] = []
        self.said: list[str] = []
        self.messages = 0
        self.process = subprocess.Popen(
            argv(t, "--json", "--flush-seconds", "0.2", *more), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        hears: Sequence[tuple[IO[str] | None, Callable[[str], None]]]
        hears = ((self.process.stderr, self._hear), (self.process.stdout, self._count))
        self._threads = [threading.Thread(target=_each, args=pair, daemon=True) for pair in hears]
        for thread in self._threads:
            thread.start()

    def _hear(self, line: str) -> None:
        self.said.append(line)
        if found := _TOLD.search(line):
            self.moves.append((found[1], frozenset(map(int, found[2].split(",")))))

    def _count(self, line: str) -> None:
        (counts,) = json.loads(line)["views"].values()
        self.messages = counts["messages"]

    @property
    def owned(self) -> frozenset[int]:
        out: frozenset[int] = frozenset()
        for verb, places in self.moves:
            out = out | places if verb == "reads" else out - places
        return out

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit code, after everything that it said was heard."""
        self.process.send_signal(number)
        for thread in self._threads:
            thread.join(60)
        return self.process.wait(60)


def _each(pipe: IO[str], hear: Callable[[str], None]) -> None:
    for line in pipe:
        hear(line.rstrip())


class Group:
    """The members that live. After each change the brokers and the members agree: each partition is read by one of them."""

    def __init__(self, t: Topic) -> None:
        self.t, self.members = t, list[Member]()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Members come or go inside; then partitions that somebody keeps were not taken from him in between."""
        before = {member: (member.owned, len(member.moves)) for member in self.members}
        yield
        eventually(self.is_shared)
        for member in {*self.members} & {*before}:
            owned, told = before[member]
            touched = frozenset[int]().union(*(places for _, places in member.moves[told:]))
            assert not touched & owned & member.owned, member.moves

    def is_shared(self) -> bool:
        for member in self.members:
            assert member.process.poll() is None, member.said
        name = messages.group(self.t.config.namespace)
        found = answered(lambda: self.t.admin.describe_consumer_groups([name])[name].result(30))
        if found is None:
            return False
        theirs = sorted(sorted(p.partition for p in m.assignment.topic_partitions) for m in found.members)
        own = sorted(sorted(member.owned) for member in self.members)
        everything = sorted(itertools.chain.from_iterable(own)) == list(range(self.t.partitions))
        return found.state == ConsumerGroupState.STABLE and theirs == own and everything and all(own)

    def joins(self, *more: str) -> Member:
        self.members.append(Member(self.t, *more))
        return self.members[-1]

    def leaves(self, member: Member, number: int = signal.SIGKILL) -> int:
        self.members.remove(member)
        return member.end(number)

    def close(self) -> None:
        for member in [*self.members]:
            self.leaves(member)


def test_processes_of_one_group_share_the_partitions(topic: MakeTopic) -> None:
    """They join, are killed and started again under their name, killed for good, and ended, while rows come."""
    t, events = topic(partitions=6), Events(8)
    apply(t, t.view)
    group = Group(t)
    try:
        with producing(t, events):
            with group.changing():
                group.joins()
            for _ in range(8 if SOAK else 1):
                with group.changing():
                    named, second = group.joins("--member", "named"), group.joins()
                eventually(lambda: all(member.messages > 100 for member in group.members))
                with group.changing():
                    group.leaves(named)
                    named = group.joins("--member", "named")
                with group.changing():
                    assert group.leaves(second, signal.SIGTERM) == 0
                with group.changing():
                    group.leaves(named)
                eventually(lambda seen=group.members[0].messages: group.members[0].messages > seen + 200)
    finally:
        group.close()
    t.once()
    t.check()
    check_letters(t)


def test_kill_9_of_a_consumer_at_random_points(topic: MakeTopic) -> None:
    t, events = topic(), Events()
    with producing(t, events):
        for turn in range(60 if SOAK else 4):
            consumer = t.process(member="one", flush_rows=events.chance.choice([1, 50, 1000]))
            time.sleep(events.chance.uniform(0, 1.5))
            consumer.kill()
            consumer.wait()
            if turn % 2 and t.table.exists():
                compact(t.table)
    t.once(member="one")
    t.check()
    check_letters(t)


@pytest.mark.parametrize("where", ["before the history", "before the offsets"])
def test_kill_9_of_a_consumer_between_its_writes(topic: MakeTopic, where: str) -> None:
    """Its row is online and waits for the lock of the history; or its commit is there, and the store, which it looks at before it
    sends letters and commits offsets, stands still."""
    t, events = topic(), Events(22)
    t.table.create()
    valkey = t.client.info("server")["process_id"]
    for turn in range(30 if SOAK else 2):
        consumer = t.process(member="one", flush_rows=events.chance.choice([1, 50, 1000]))
        offsets, written, letters = t.offsets(), t.pending(), len(t.dead())
        try:
            with t.table.committing():
                send_bad(t, turn)
                t.send(*events.some(20), (f"new{turn}", NOON + turn, turn, 0.5))
                eventually(lambda turn=turn: f"new{turn}" in t.online())
                if where == "before the history":
                    consumer.kill()
                    consumer.wait()
                else:
                    os.kill(valkey, signal.SIGSTOP)
            if where == "before the offsets":
                eventually(lambda turn=turn: (f"new{turn}", (NOON + turn) * 1000) in t.offline())
        finally:
            consumer.kill()
            consumer.wait()
            os.kill(valkey, signal.SIGCONT)
        assert (t.pending() > written) is (where == "before the offsets")
        assert t.offsets() == offsets and len(t.dead()) == letters
        if turn % 2:
            t.once(member="one")
    t.once(member="one")
    t.check()
    check_letters(t)


def test_two_consumers_that_do_not_know_each_other(topic: MakeTopic) -> None:
    """Which of the two comes first is chance for every flush; neither writes what the other has."""
    for turn in range(20 if SOAK else 1):
        t, events = topic(), Events(9 + turn)
        with t.running(flush_rows=40) as one, t.running(group=".again", flush_rows=70) as two, producing(t, events):
            eventually(lambda one=one, two=two, t=t: one.streams and two.streams and one.streams[t.name].counts.messages > 300
                       and two.streams[t.name].counts.messages > 300)
        t.once()
        t.check()
        assert one.streams[t.name].counts.repeated + two.streams[t.name].counts.repeated > 0
