"""The whole house at once: source → history → Valkey → training set, against one oracle.

Laws 2, 3, 4, 6, 7 and 8 on the real lake, the real sync and a real Valkey: beside the batch a stream appends, re-sends, replays;
syncs die half way; after each sync online = newest offline row, bytes; after each join, features = oracle, rows out = rows in.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from skewless import rows
from skewless.config import Config
from skewless.online import OnlineStore, connect
from skewless.sync.batch import sync_view
from skewless.sync.feature_topic import Rows
from skewless.sync.streamed_online import StreamedOnline
from skewless.warehouse.dbt import compile_inline
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.session import memory
from tests.history_driver import VIEWS
from tests.history_project import Project
from tests.test_lake_states import AT, BEGIN, HOUR, KEYS, SOAK, History, Slot, Values, plain, streamed

DELAY_US = HOUR                         # availability_delay of the view in tests.history_project
_names = itertools.count()


class Died(Exception):
    """Stands for the death of a process in the middle of a sync."""


@functools.cache
def join_sql() -> str:
    """The product's join of the view `events` to a relation `labels`, rendered once by dbt."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "p")
        return compile_inline(
            project.config,
            "{{ skewless.point_in_time_join('labels', ['events'], statuses=true, relations={'events@1': 'skw_events'}) }}",
        )


class House(History):
    """`History` with the real online store behind it, and training sets."""

    client: redis.Redis

    @initialize(partition=st.sampled_from(["day", "month"]), delay=st.sampled_from([0, 6 * HOUR]))
    def start(self, partition: str, delay: int) -> None:
        super().start(partition=partition, delay=delay)
        self.view = replace(VIEWS[partition], streamed=True)
        self.config = Config(root=str(self.folder), project=f"house{next(_names)}", target="", lake="")
        assert self.config.lake_root == self.folder
        self.store = OnlineStore(self.client, self.config.namespace)
        self.online = StreamedOnline(self.store, LakeTable(self.config.lake_root, self.view))

    def _key(self, key: str) -> bytes:
        return rows.row_key(self.config.namespace, self.view, [key])

    def _send(self, slot: Slot, a: int | None, x: float | None, ingested: int) -> None:
        """The stream's writer, which knows the ledger as of its last row: Redis at once, then the lake, then a look."""
        row = Rows(streamed(slot, a, x, ingested), np.zeros(1), np.zeros(1))
        self.online.write(row)
        super()._send(slot, a, x, ingested)
        self.online.look()
        if slot[1] < self.online.through_us:
            self.online.disown(row)

    @precondition(lambda self: hasattr(self, "driver") and self.driver.table.exists())
    @rule(full=st.booleans(), dies=st.booleans())
    def push(self, full: bool, dies: bool) -> None:
        """A sync, perhaps after one that died; then online = newest offline row, bytes."""
        if dies:
            def die(done: int, total: int) -> None:
                raise Died

            try:
                self._push(full=full, on_progress=die)
            except Died:
                pass
        self._push(full=full)
        newest: dict[str, tuple[int, int, Values]] = {}
        for (key, at), (values, ingested) in self.oracle.visible().items():
            if key not in newest or newest[key][0] < at:
                newest[key] = (at, ingested, values)
        for key in ("a", "b", "c"):
            raw = self.store.read([self._key(key)])[0]
            found = None if raw is None or rows.read_header(raw).tombstone else raw
            wanted = self._encoded(*newest[key]) if key in newest else None
            assert _without_stamp(found) == _without_stamp(wanted), (key, raw, newest.get(key))

    def _push(self, **options: Any) -> None:
        sync_view(self.config, self.view, rows_per_second_max=0, client=self.client, **options)

    def _encoded(self, at: int, ingested: int, values: Values) -> bytes:
        a, x = values
        return rows.encode_row(self.view, at, ingested, [a, None if x is None else float(x)], 0)

    @precondition(lambda self: hasattr(self, "driver") and self.driver.table.exists())
    @rule(labels=st.lists(st.tuples(st.one_of(KEYS, st.just("nobody"), st.none()), AT), max_size=12))
    def train(self, labels: list[tuple[str | None, int]]) -> None:
        """Rows out = rows in, in order, duplicates kept; each holds the newest row that was there (laws 3, 4 and 6)."""
        times = [BEGIN + hour * HOUR for _, hour in labels]
        frame = pa.table({
            "nr": pa.array(range(len(labels)), pa.int64()), "k": pa.array([k for k, _ in labels], pa.string()),
            "label_timestamp": pa.array(times, pa.timestamp("us")),
        })
        with memory() as con:
            con.register("labels", frame)
            con.execute(f"create temp view skw_events as select * from {self.driver.table.relation()}").fetchall()
            answer = con.sql(join_sql()).to_arrow_table().to_pylist()
        assert [r["nr"] for r in answer] == list(range(len(labels)))
        for row, (key, _), at in zip(answer, labels, times, strict=True):
            wanted = self._as_of(key, at)
            assert row["events__status"] == ("missing" if wanted is None else "ok"), row
            assert plain(row["a"], row["x"]) == (wanted or (None, None)), (row, wanted)

    def _as_of(self, key: str | None, at: int) -> Values | None:
        there = [(slot[1], known[0]) for slot, known in self.oracle.visible().items() if slot[0] == key]
        there = [(event, values) for event, values in there if event + DELAY_US <= at]
        return max(there, key=lambda t: t[0])[1] if there else None


def _without_stamp(raw: bytes | None) -> tuple[bytes, bytes] | None:
    return None if raw is None else (raw[:26], raw[34:])


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    folder = Path(tempfile.mkdtemp(prefix="laws"))
    client = connect(Config(root=str(folder), project="laws"))
    yield client
    client.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_one_history_three_paths_one_answer(client: redis.Redis) -> None:
    machine = type("Machine", (House,), {"client": client})
    try:
        run_state_machine_as_test(machine, settings=settings(
            max_examples=300 if SOAK else 10, stateful_step_count=60 if SOAK else 25, deadline=None, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ))
    finally:
        os.environ.pop("SKEWLESS_CLOCK", None)


def test_a_stream_goes_on_after_a_sync_that_died_before_it_recorded_anything(client: redis.Redis) -> None:
    """The next sync raises its stamps above those of the dead one: no commit of the ledger has the stamp that its keys have."""
    house = type("Machine", (House,), {"client": client})()
    try:
        house.start(partition="day", delay=0)
        house.put(key="a", hour=1, a=1, x=1.5)
        house.plain_run()
        house.push(full=False, dies=True)
        header = rows.read_header(house.store.read([house._key("a")])[0])
        assert header.stamp_us > house.driver.table.position().r_us
        house.stream(key="a", hour=1, a=2, x=0.0, as_batch=False)
        house.push(full=False, dies=False)
    finally:
        house.teardown()
        os.environ.pop("SKEWLESS_CLOCK", None)
