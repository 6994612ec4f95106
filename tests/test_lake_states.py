"""Laws 2 and 7: whatever a source, its corrections, a stream and crashes do, current = oracle, and every past state replays."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from skewless import clock
from skewless.clock import EPOCH, format_instant, parse_instant
from skewless.warehouse.upkeep import compact, vacuum
from tests.feed_reader import FeedReader, microseconds
from tests.history_driver import Driver
from tests.history_project import fetch

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
HOUR = 3_600_000_000
BEGIN = parse_instant("2026-01-01")
HOURS = 24 * 12
KEYS = st.sampled_from(["a", "b", "c"])
AT = st.integers(0, HOURS - 1)
NUMBER = st.one_of(st.none(), st.integers(-2, 2))
REAL = st.sampled_from([None, 0.0, -0.0, 1.5, float("nan"), float("inf")])
Slot = tuple[str, int]
Values = tuple[int | None, str | None]
Known = tuple[Values, int]


def plain(a: int | None, x: float | None) -> Values:
    """Values as the oracle compares them: NaN equals NaN, zero has no sign."""
    return a, None if x is None else repr(x + 0.0)


def streamed(slot: Slot, a: int | None, x: float | None, ingested: int) -> pa.Table:
    """One row of a stream."""
    return pa.table({
        "k": [slot[0]], "event_timestamp": pa.array([slot[1]], pa.timestamp("us")), "a": pa.array([a], pa.int64()),
        "x": pa.array([x], pa.float64()), "ingested_at": pa.array([ingested], pa.timestamp("us")),
    })


class Oracle:
    """The history in a dictionary: what the batch stored, what streams wrote, which hours are covered."""

    def __init__(self) -> None:
        self.stored: dict[Slot, Known] = {}
        self.pending: list[tuple[Slot, Values, int]] = []
        self.hours: set[int] = set()

    def through(self) -> int:
        at = BEGIN
        while at in self.hours:
            at += HOUR
        return at

    def visible(self) -> dict[Slot, Known]:
        by_slot: dict[Slot, list[tuple[int, str, Values]]] = {}
        for slot, (values, ingested) in self.stored.items():
            by_slot.setdefault(slot, []).append((ingested, repr(values), values))
        for slot, values, ingested in self.pending:
            if slot[1] >= self.through():
                by_slot.setdefault(slot, []).append((ingested, repr(values), values))
        return {slot: _winner(rows) for slot, rows in by_slot.items()}

    def window(self, start: int, end: int, stamp: int, source: dict[Slot, Values]) -> None:
        before, seen, stored = self.through(), self.visible(), dict(self.stored)
        self.hours |= set(range(start, end, HOUR))
        after = self.through()
        streamed = {slot for slot, _, _ in self.pending if before <= slot[1] < after}
        for slot in {*stored, *source, *streamed}:
            if start <= slot[1] < end:
                wanted = source.get(slot)
            elif slot in streamed:
                wanted = stored[slot][0] if slot in stored else None
            else:
                continue
            base = seen.get(slot)
            if wanted is None:
                self.stored.pop(slot, None)
            else:
                self.stored[slot] = base if base and base[0] == wanted else (wanted, stamp)
        self.pending = [p for p in self.pending if p[0][1] >= after]


def _winner(rows: list[tuple[int, str, Values]]) -> Known:
    rows = sorted(rows, key=lambda r: (r[0], r[1]))
    at = len(rows) - 1
    while at and rows[at - 1][2] == rows[at][2]:
        at -= 1
    return rows[-1][2], rows[at][0]


class History(RuleBasedStateMachine):
    """A source that changes, runs over it, a stream beside it, and a reader of the feed that also hears the stream."""

    @initialize(partition=st.sampled_from(["day", "month"]), delay=st.sampled_from([0, 6 * HOUR]))
    def start(self, partition: str, delay: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lake"))
        self.delay = delay
        self.driver = Driver(self.folder, partition, delay_us=delay)
        self.oracle = Oracle()
        self.source: dict[Slot, Values] = {}
        self.states: dict[int, dict[Slot, Known]] = {}
        self.sent: list[tuple[Slot, int | None, float | None, int]] = []
        self.reader = FeedReader(plain)
        self.offset = 0
        self.now = BEGIN + 24 * HOUR
        self._set_clock()

    def _set_clock(self) -> None:
        os.environ["SKEWLESS_CLOCK"] = format_instant(self.now)

    @rule(key=KEYS, hour=AT, a=NUMBER, x=REAL)
    def put(self, key: str, hour: int, a: int | None, x: float | None) -> None:
        """A new, late or corrected row of the source."""
        at = BEGIN + hour * HOUR
        self.drop(key, hour)
        self.driver.con.execute("insert into source values (?, make_timestamp(?), ?, ?)", [key, at, a, x]).fetchall()
        self.source[key, at] = plain(a, x)

    @rule(key=KEYS, hour=AT)
    def drop(self, key: str, hour: int) -> None:
        at = BEGIN + hour * HOUR
        self.driver.con.execute("delete from source where k = ? and seen = make_timestamp(?)", [key, at]).fetchall()
        self.source.pop((key, at), None)

    @rule(hours=st.integers(1, 72))
    def wait(self, hours: int) -> None:
        self.now += hours * HOUR
        self._set_clock()

    @rule()
    def plain_run(self) -> None:
        self._run()

    @rule(start=AT, length=st.integers(1, 100))
    def explicit_run(self, start: int, length: int) -> None:
        at = BEGIN + start * HOUR
        if not self.oracle.pending or at <= self.oracle.through():
            self._run(start_us=at, end_us=at + length * HOUR)

    @rule(steps=st.integers(1, 40))
    def killed_run(self, steps: int) -> None:
        self._run(stop_after=steps)

    def _run(self, **options: Any) -> None:
        known = len(self.driver.table.ledger())
        self.driver.run(**options)
        for entry in self.driver.table.ledger()[known:]:
            if entry.kind == "window":
                self.oracle.window(entry.window_start_us, entry.window_end_us, entry.r_us, self.source)
        if not options:
            assert self.driver.table.complete_through_us() == self.oracle.through() == self.now - self.delay
        self._remember()

    @rule(key=KEYS, hour=st.integers(-30, 30), a=NUMBER, x=REAL, as_batch=st.booleans())
    def stream(self, key: str, hour: int, a: int | None, x: float | None, as_batch: bool) -> None:
        """A stream's row near the end of the batch; some of them as the batch will have them."""
        at = max(BEGIN, self.oracle.through() + hour * HOUR)
        if as_batch and (key, at) in self.source:
            a, x = self.driver.con.execute(
                "select a, x from source where k = ? and seen = make_timestamp(?)", [key, at]
            ).fetchall()[0]
        self._send((key, at), a, x, self._fresh())

    @precondition(lambda self: getattr(self, "sent", None))
    @rule(data=st.data(), again=st.booleans())
    def resend(self, data: Any, again: bool) -> None:
        """The same row once more: redelivered as it was, or produced again later."""
        slot, a, x, ingested = data.draw(st.sampled_from(self.sent))
        self._send(slot, a, x, ingested if again else self._fresh())

    def _fresh(self) -> int:
        entries = self.driver.table.ledger()
        return max([clock.now_us(), *(e.r_us for e in entries), *(e.newest_ingested_us for e in entries)]) + 1

    def _send(self, slot: Slot, a: int | None, x: float | None, ingested: int) -> None:
        if not self.driver.table.exists():
            self.driver.table.create()
        self.offset += 1
        rows = streamed(slot, a, x, ingested)
        for first in (True, False):
            assert self.driver.table.append_pending(rows, app_id="topic-0", app_version=self.offset) is first
        self.oracle.pending.append((slot, plain(a, x), ingested))
        self.sent.append((slot, a, x, ingested))
        self.reader.hear(slot[0], (slot[1], ingested, plain(a, x)))
        self._remember()

    @precondition(lambda self: hasattr(self, "driver") and self.driver.table.exists())
    @rule()
    def sync(self) -> None:
        """After the feed the reader holds the newest row of every entity, to the microsecond of its ingested_at."""
        self.reader.follow(self.driver.table)
        newest: dict[str, tuple[int, int, Values]] = {}
        for (key, at), (values, ingested) in self.oracle.visible().items():
            if key not in newest or newest[key][0] < at:
                newest[key] = (at, ingested, values)
        assert self.reader.held == newest

    @precondition(lambda self: hasattr(self, "driver") and self.driver.table.exists())
    @rule()
    def upkeep(self) -> None:
        compact(self.driver.table)
        vacuum(self.driver.table, grace_seconds=0)
        self._remember()

    def _remember(self) -> None:
        if self.driver.table.exists():
            self.states[self.driver.table.position().r_us] = self.oracle.visible()

    @invariant()
    def current_is_the_oracle_and_the_past_replays(self) -> None:
        if not hasattr(self, "driver") or not self.driver.table.exists():
            return
        table = self.driver.table
        rows = fetch(f"select k, event_timestamp, a, x, ingested_at from {table.relation()}")
        assert _as_states(rows) == self.oracle.visible() and len(rows) == len(self.oracle.visible())
        versions = fetch(f"select k, event_timestamp, a, x, ingested_at, superseded_at from {table.relation('versions')}")
        for stamp, state in list(self.states.items())[-12:]:
            at = EPOCH + timedelta(microseconds=stamp)
            known = [v[:5] for v in versions if v[4] <= at and (v[5] is None or v[5] > at)]
            assert len(known) == len(state) and _as_states(known) == state

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        os.environ.pop("SKEWLESS_CLOCK", None)


def _as_states(rows: list[tuple[Any, ...]]) -> dict[Slot, Known]:
    return {(k, microseconds(at)): (plain(a, x), microseconds(ingested)) for k, at, a, x, ingested in rows}


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=400 if SOAK else 12, stateful_step_count=60 if SOAK else 22, deadline=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)
