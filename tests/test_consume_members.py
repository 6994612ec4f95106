"""Several consumers of one group, or of none: each partition is one's, and whoever comes, goes or is killed leaves both stores as
one undisturbed consumer would."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupState

from skewless import messages
from skewless.warehouse.upkeep import compact
from tests.consume_events import Events, check_letters, producing, send_bad
from tests.consume_member import Member
from tests.feature_messages import NOON, Topic, answered
from tests.test_consume_command import apply
from tests.waiting import eventually

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
MakeTopic = Callable[..., Topic]


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


def member_one(t: Topic, events: Events) -> Member:
    """One that has its partitions back at once."""
    return Member(t, "--member", "one", "--flush-rows", str(events.chance.choice([1, 50, 1000])), flush_seconds=0.1)


def test_kill_9_of_a_consumer_at_random_points(topic: MakeTopic) -> None:
    t, events = topic(), Events()
    apply(t, t.view)
    with producing(t, events):
        for turn in range(60 if SOAK else 4):
            member = member_one(t, events)
            eventually(lambda member=member: member.owned)
            time.sleep(events.chance.uniform(0, 1.5))
            member.end()
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
    apply(t, t.view)
    t.table.create()
    valkey = t.client.info("server")["process_id"]
    for turn in range(30 if SOAK else 2):
        member = member_one(t, events)
        t.send(*events.some(20))
        eventually(lambda turn=turn: sum(t.offsets().values()) == turn * 22 + 20)       # with what the one before it left
        offsets, written, letters = t.offsets(), t.pending(), len(t.dead())
        try:
            with t.table.committing():
                t.send((f"new{turn}", NOON, turn, 0.5))
                eventually(lambda turn=turn: f"new{turn}" in t.online())
                send_bad(t, turn)
                assert not t.producer.flush(30)
                if where == "before the history":
                    time.sleep(1.2)             # it commits what it may once a second
                    member.end()
                else:
                    os.kill(valkey, signal.SIGSTOP)
            if where == "before the offsets":
                eventually(lambda written=written: t.pending() > written)
        finally:
            member.end()
            os.kill(valkey, signal.SIGCONT)
        assert (t.pending() > written) is (where == "before the offsets")
        assert t.offsets() == offsets and len(t.dead()) == letters
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
