"""The one script against a naive lake: whatever batches, streams, replays and crashes do, online = newest offline row."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from skewless import embedded, rows
from skewless.config import Config
from skewless.online import OnlineStore, Written, connect
from skewless.online.store import OWN_ALL_US, version_bytes
from skewless.registry.model import Feature, JoinKey, View
from tests.oracle import Lake, Row, Slot

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
VIEW = View(name="v", entity="e", join_keys=(JoinKey("k", "string"),), features=(Feature(name="a", type="int64"),))
ENTITIES = ("a", "b")
TIMES = 12
_names = itertools.count()


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    folder = Path(tempfile.mkdtemp(prefix="online"))
    config = Config(root=str(folder), project="p")
    yield config
    embedded.release(config)
    shutil.rmtree(folder)


@dataclass
class Batch:
    """What one sync sends, as of a stamp. It can be sent again, in part, in any order, at any time."""

    stamp: int
    through: int
    full: bool
    rows: list[tuple[str, Row]]
    gone: list[tuple[str, tuple[int, int], Row | None]]
    state: int
    live: set[str] = field(default_factory=set)


@dataclass
class Writer:
    """A stream's consumer: reads the ledger, writes Redis at once, appends to the lake per flush, then commits its offset."""

    committed: int = 0
    pushed: int = 0
    stamp: int = 0
    through: int = 0


class Online(RuleBasedStateMachine):
    """`streamed`: beside the batch a stream writes; else the batch owns every slot."""

    config: Config
    streamed = True

    @initialize()
    def start(self) -> None:
        self.store = OnlineStore(connect(self.config), f"n{next(_names)}.dev")
        self.lake, self.source = Lake(), dict[Slot, int]()
        self.topic: list[tuple[Slot, int, int]] = []
        self.writer = Writer()
        self.batches: list[Batch] = []
        self.synced: int | None = None
        self.clock = 100

    def key(self, entity: str) -> bytes:
        return rows.row_key(self.store.namespace, VIEW, [entity])

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    # --- the warehouse ---

    @rule(entity=st.sampled_from(ENTITIES), at=st.integers(0, TIMES), value=st.integers(0, 2))
    def put(self, entity: str, at: int, value: int) -> None:
        self.source[entity, at] = value

    @rule(entity=st.sampled_from(ENTITIES), at=st.integers(0, TIMES))
    def drop(self, entity: str, at: int) -> None:
        self.source.pop((entity, at), None)

    @rule(start=st.integers(0, TIMES), length=st.integers(1, TIMES))
    def run(self, start: int, length: int) -> None:
        """A batch run; some leave a gap, so that stored rows lie after complete_through."""
        self.lake.run(self.tick(), self.source, start, min(start + length, TIMES + 1))

    @rule()
    def catch_up(self) -> None:
        self.lake.run(self.tick(), self.source, max(0, self.lake.now.through - 3), min(self.lake.now.through + 3, TIMES + 1))

    # --- the sync ---

    def make_batch(self, full: bool) -> Batch:
        full = full or self.synced is None
        changed, gone = self.lake.changes(None if full else self.synced)
        now = self.lake.now
        if full:
            lost = {slot[0] for state in self.lake.states for slot in state.visible()} - set(now.newest())
            gone += [(entity, (0, 0), None) for entity in sorted(lost)]
        through = now.through if self.streamed else OWN_ALL_US
        batch = Batch(now.stamp, through, full, changed, gone, len(self.lake.states) - 1, set(now.newest()))
        self.batches.append(batch)
        return batch

    def deliver(self, batch: Batch, part: slice = slice(None), order: int = 0) -> None:
        """Send the items of a part; a full batch ends with the removal of what is stale."""
        items: list[tuple[str, object]] = [*(("row", r) for r in batch.rows), *(("gone", g) for g in batch.gone)]
        random.Random(order).shuffle(items)
        for kind, item in items[part]:
            if kind == "row":
                entity, row = item  # type: ignore[misc]
                self._write(entity, row, batch)
            else:
                self._retract(item, batch)  # type: ignore[arg-type]
        if batch.full and part == slice(None):
            self.reconcile(batch)

    def _write(self, entity: str, row: Row, batch: Batch) -> Written:
        raw = pa.array([self.encode(row, batch.stamp)], pa.binary())
        keys = pa.array([self.key(entity)], pa.binary())
        return self.store.write_rows(VIEW, keys, raw, through_us=batch.through, full=batch.full)

    def _retract(self, item: tuple[str, tuple[int, int], Row | None], batch: Batch) -> None:
        entity, version, left = item
        raw = rows.tombstone(VIEW, *version, batch.stamp) if left is None else self.encode(left, batch.stamp)
        self.store.retract(VIEW, [self.key(entity)], [raw], [version_bytes(*version)], through_us=batch.through)

    def reconcile(self, batch: Batch) -> None:
        for keys, headers in self.store.scan(VIEW):
            for key, raw in zip(keys, headers, strict=True):
                header = rows.read_header(raw) if raw else None
                if header and header.stamp_us < batch.stamp and header.event_timestamp_us < batch.through:
                    self.store.retract(VIEW, [key], [rows.tombstone(VIEW, 0, 0, batch.stamp)], [b""], through_us=batch.through)

    def repair(self, batch: Batch) -> None:
        newest = self.lake.states[batch.state].newest()
        suspects = self.store.suspects(VIEW)
        for entity in ENTITIES:
            if self.key(entity) in suspects:
                left = newest.get(entity)
                raw = rows.tombstone(VIEW, 0, 0, batch.stamp) if left is None else self.encode(left, batch.stamp)
                self.store.retract(VIEW, [self.key(entity)], [raw], [b""], through_us=batch.through)
        self.store.repaired(VIEW, suspects)

    @staticmethod
    def encode(row: Row, stamp: int) -> bytes:
        return rows.encode_row(VIEW, row[0], row[1], [row[2]], stamp)

    @rule(full=st.booleans(), order=st.integers(0, 3))
    def sync(self, full: bool, order: int) -> None:
        batch = self.make_batch(full)
        self.deliver(batch, order=order)
        self.repair(batch)
        self.synced = batch.state

    @rule(full=st.booleans(), upto=st.integers(0, 4), order=st.integers(0, 3))
    def sync_that_dies(self, full: bool, upto: int, order: int) -> None:
        self.deliver(self.make_batch(full), slice(0, upto), order)

    @precondition(lambda self: getattr(self, "batches", None))
    @rule(data=st.data(), whole=st.booleans(), start=st.integers(0, 3), order=st.integers(0, 3))
    def old_batch_again(self, data: st.DataObject, whole: bool, start: int, order: int) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        self.deliver(batch, slice(None) if whole else slice(start, start + 2), order)

    # --- the stream ---

    @precondition(lambda self: self.streamed)
    @rule(entity=st.sampled_from(ENTITIES), ahead=st.integers(-2, 4), value=st.integers(0, 2), as_batch=st.booleans())
    def produce(self, entity: str, ahead: int, value: int, as_batch: bool) -> None:
        """A message near the end of the batch; its broker's clock may be ahead of ours."""
        at = max(0, min(TIMES, self.lake.now.through + ahead))
        value = self.source.get((entity, at), value) if as_batch else value
        self._append((entity, at), value)

    def _append(self, slot: Slot, value: int) -> None:
        self.topic.append((slot, value, max(self.tick(), *(m[2] + 1 for m in self.topic), 0)))

    @precondition(lambda self: self.streamed and getattr(self, "topic", None))
    @rule(data=st.data())
    def produce_again(self, data: st.DataObject) -> None:
        slot, value, _ = data.draw(st.sampled_from(self.topic))
        self._append(slot, value)

    @precondition(lambda self: self.streamed)
    @rule()
    def writer_reads_the_ledger(self) -> None:
        self.writer.stamp, self.writer.through = self.lake.now.stamp, self.lake.now.through

    @precondition(lambda self: self.streamed)
    @rule(n=st.integers(1, 4))
    def writer_pushes(self, n: int) -> None:
        """Redis at once; rows before complete_through are dropped and their keys named as suspects."""
        writer = self.writer
        for slot, value, ingested in self.topic[writer.pushed : writer.pushed + n]:
            while True:
                if slot[1] < writer.through:
                    self.store.suspect(VIEW, [self.key(slot[0])])
                    break
                raw = self.encode((slot[1], ingested, value), writer.stamp)
                if not self.store.write_stream(VIEW, [self.key(slot[0])], [raw]).refresh:
                    break
                self.writer_reads_the_ledger()
            writer.pushed += 1

    @precondition(lambda self: self.streamed)
    @rule(dies=st.sampled_from(["", "", "before the flush", "after the flush", "before the offset"]))
    def writer_flushes(self, dies: str) -> None:
        """The lake, then a look at the ledger as of that flush, then the offset. A death starts over from the offset."""
        writer = self.writer
        messages = self.topic[max(writer.committed, self.lake.flushed) : writer.pushed]
        if dies != "before the flush":
            self.lake.flush(self.tick(), messages, writer.pushed)
            if dies != "after the flush":
                self.writer_reads_the_ledger()
                late = [self.key(m[0][0]) for m in self.topic[writer.committed : writer.pushed] if m[0][1] < writer.through]
                if late:
                    self.store.suspect(VIEW, late)
                if not dies:
                    writer.committed = writer.pushed
        if dies:
            self.writer = Writer(committed=writer.committed, pushed=writer.committed)
            self.writer_reads_the_ledger()

    @precondition(lambda self: self.streamed)
    @rule(back=st.integers(0, 6))
    def writer_is_rewound(self, back: int) -> None:
        """Somebody resets the consumer's offset: rows that batches have since retracted come again."""
        self.writer.committed = self.writer.pushed = max(0, self.writer.committed - back)

    # --- the law ---

    @rule(full=st.booleans(), order=st.integers(0, 3))
    def settle(self, full: bool, order: int) -> None:
        """The stream is read to its end, a last sync ends well: online = newest offline row."""
        self.writer_pushes(len(self.topic))
        self.writer_flushes("")
        self.sync(full, order)
        newest = self.lake.now.newest()
        for entity in ENTITIES:
            raw = self.store.read([self.key(entity)])[0]
            found = raw if raw and not rows.read_header(raw).tombstone else None
            wanted = self.encode(newest[entity], 0) if entity in newest else None
            assert _without_stamp(found) == _without_stamp(wanted), (entity, raw, newest.get(entity))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.settle(False, 0)


def _without_stamp(raw: bytes | None) -> tuple[bytes, bytes] | None:
    return None if raw is None else (raw[:26], raw[34:])


@pytest.mark.parametrize("streamed", [True, False], ids=["batch and stream", "batch"])
def test_online_is_the_newest_offline_row(config: Config, streamed: bool) -> None:
    machine = type("Machine", (Online,), {"config": config, "streamed": streamed})
    run_state_machine_as_test(machine, settings=settings(
        max_examples=20_000 if SOAK else 150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck),
    ))
