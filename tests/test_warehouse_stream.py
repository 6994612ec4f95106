"""The materialization of views that stream: where a batch ends, what it leaves alone, and views that no batch computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from msgspec import structs

from skewless.cli.status import notes
from skewless.clock import parse_instant
from skewless.errors import SkewlessError
from skewless.registry.model import Selected, Streaming
from skewless.status import Status, ViewStatus
from skewless.training.history import open_histories
from skewless.training.labels import LabelFrame
from skewless.warehouse import canary
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.run import request_of
from skewless.warehouse.streamed import fold
from skewless.warehouse.upkeep import compact
from tests.history_driver import Driver, statements
from tests.history_project import DAY_US, NOW, Project, current, fetch, view
from tests.test_lake_states import SOAK, History

HOUR = 3_600_000_000
BEGIN, AT = parse_instant("2026-01-01"), parse_instant(NOW)
NAMED = ("k", "event_timestamp", "a", "x", "ingested_at")
Row = tuple[str, int, int | None, float | None, int]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    made = streaming(Driver(tmp_path / "lake", "month", chunk_us=31 * DAY_US, delay_us=HOUR), only=False)
    yield made
    made.close()


def streaming(driver: Driver, *, only: bool) -> Driver:
    """The driver with a view that streams."""
    table = driver.table
    driver.table = LakeTable(
        table.path.parents[2], structs.replace(table.view, streamed=True, stream=Streaming(only=only))
    )
    return driver


def flush(driver: Driver, offset: int, *rows: Row) -> None:
    """The consumer's write of these rows."""
    if not driver.table.exists():
        driver.table.create()
    types = (pa.string(), pa.timestamp("us"), pa.int64(), pa.float64(), pa.timestamp("us"))
    columns = zip(NAMED, types, zip(*rows, strict=True), strict=True)
    assert driver.table.append_pending(
        pa.table({name: pa.array(values, type_) for name, type_, values in columns}), app_id="t", app_version=offset
    )


def put(driver: Driver, *rows: tuple[str, int, int | None, float | None]) -> None:
    for row in rows:
        driver.con.execute("insert into source values (?, make_timestamp(?), ?, ?)", row).fetchall()


def rows_of(driver: Driver, states: str = "current") -> list[tuple[Any, ...]]:
    kind: Any = states
    columns = "k, epoch_us(event_timestamp), a, x, epoch_us(ingested_at)"
    return fetch(f"select {columns} from {driver.table.relation(kind)} order by all")


def test_a_batch_ends_at_now_less_the_delay_and_leaves_what_is_later_to_the_stream(driver: Driver) -> None:
    through = AT - HOUR
    put(driver, ("a", through - 1, 1, 1.0), ("b", through, 2, 2.0), ("b", through + 1, 3, 3.0))
    driver.run()
    assert driver.table.complete_through_us() == through
    assert [row[:2] for row in rows_of(driver)] == [("a", through - 1)]
    # one that belongs to the batch, one at the very instant where the stream takes over, one that the warehouse has not yet
    flush(driver, 1, ("a", through - 1, 9, 9.0, AT + 1), ("b", through, 8, 8.0, AT + 2), ("c", through + HOUR, 7, 7.0, AT + 3))
    streamed = [("b", through, 8, 8.0, AT + 2), ("c", through + HOUR, 7, 7.0, AT + 3)]
    assert [row for row in rows_of(driver) if row[0] != "a"] == streamed
    driver.run()
    assert [row for row in rows_of(driver) if row[0] != "a"] == streamed
    assert {row[2] for row in rows_of(driver) if row[0] == "a"} == {1}
    ledger = driver.table.ledger()
    assert driver.table.statistics()["pending"] == 2 and sum(e.late_rows for e in ledger) == 1
    assert not any(e.rows_corrected or e.rows_retracted for e in ledger)


def test_when_the_batch_gets_there_equal_rows_keep_their_arrival(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    through = AT - HOUR
    put(driver, *[(k, through + HOUR + i, i, 0.5) for i, k in enumerate("abc")])
    driver.run()
    flush(driver, 1, *[(k, through + HOUR + i, i, 0.5, AT + 10 + i) for i, k in enumerate("ab")],
          ("c", through + HOUR + 2, 99, 0.5, AT + 12), ("d", through + HOUR, 1, None, AT + 13))
    monkeypatch.setenv("SKEWLESS_CLOCK", "2026-03-10T15:00:00Z")
    totals = driver.run()
    assert totals and (totals.inserted, totals.corrected, totals.retracted) == (0, 1, 1)
    held = {row[0]: row for row in rows_of(driver)}
    assert held.keys() == {"a", "b", "c"} and (held["a"][4], held["b"][4]) == (AT + 10, AT + 11)
    assert held["c"][2] == 2 and held["c"][4] == driver.table.ledger()[-1].r_us
    assert driver.table.statistics()["pending"] == 0


def test_an_explicit_window_is_cut_there_too(driver: Driver) -> None:
    put(driver, ("a", AT - HOUR // 2, 1, None))
    driver.run(start_us=BEGIN, end_us=AT)
    assert driver.table.complete_through_us() == AT - HOUR and rows_of(driver) == []
    driver.run(start_us=AT - HOUR, end_us=AT)
    assert driver.table.complete_through_us() == AT - HOUR


def test_the_delay_is_an_hour_unless_the_block_says_otherwise() -> None:
    options: dict[str, Any] = {"sql": "", "statements": {}, "definition_hash": ""}
    assert request_of({}, view(), **options).delay_us == 0
    assert request_of({}, view(streamed=True, stream=Streaming()), **options).delay_us == HOUR
    assert request_of({}, view(streamed=True, stream=Streaming(batch_delay_us=5)), **options).delay_us == 5


def test_a_view_that_only_streams_is_never_computed(driver: Driver) -> None:
    streaming(driver, only=True)
    driver.con.execute("drop table source").fetchall()
    assert driver.run() is not None and rows_of(driver) == []
    flush(driver, 1, ("a", AT - DAY_US, 1, 0.0, AT), ("a", AT - DAY_US, 2, 0.0, AT + 5), ("b", BEGIN - DAY_US, 3, None, AT + 6))
    flush(driver, 2, ("a", AT - DAY_US, 2, 0.0, AT + 9))
    before, versions = rows_of(driver), rows_of(driver, "versions")
    assert before == [("a", AT - DAY_US, 2, 0.0, AT + 5), ("b", BEGIN - DAY_US, 3, None, AT + 6)] and len(versions) == 3
    position = driver.table.position()
    driver.run()
    figures = driver.table.statistics()
    assert (figures["current"], figures["superseded"], figures["pending"]) == (2, 1, 0)
    assert rows_of(driver) == before and rows_of(driver, "versions") == versions
    assert driver.table.changes(position).retracted.num_rows == 0 and driver.table.complete_through_us() is None
    at = driver.table.position()
    driver.run(start_us=BEGIN, end_us=AT)
    assert driver.table.position() == at
    flush(driver, 3, ("a", AT - DAY_US, 1, 0.0, AT), ("c", AT - 2 * DAY_US, 4, None, AT + 7))
    driver.run()
    assert rows_of(driver) == [*before, ("c", AT - 2 * DAY_US, 4, None, AT + 7)] and len(rows_of(driver, "versions")) == 4
    compact(driver.table)
    assert len(rows_of(driver, "versions")) == 4


class OnlyStreamed(History):
    """The same history without a batch: whatever is flushed counts for ever."""

    @initialize(partition=st.sampled_from(["day", "month"]), delay=st.just(0))
    def start(self, partition: str, delay: int) -> None:
        super().start(partition, delay)
        streaming(self.driver, only=True)

    def _run(self, **options: Any) -> None:
        self.driver.run(**options)
        if "stop_after" not in options:
            assert self.driver.table.statistics()["pending"] == 0
        assert self.driver.table.complete_through_us() is None
        self._remember()

    @precondition(lambda self: hasattr(self, "driver") and self.driver.table.exists())
    @rule()
    def upkeep(self) -> None:
        """As `skewless compact` does it for such a view."""
        fold(self.driver.table, statements(self.driver.name))
        assert self.driver.table.statistics()["pending"] == 0
        super().upkeep()


TestOnlyStreamed = OnlyStreamed.TestCase
TestOnlyStreamed.settings = settings(
    max_examples=300 if SOAK else 10, stateful_step_count=50 if SOAK else 22, deadline=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def test_dbt_only_folds_a_view_without_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source is not in the warehouse: neither the contract's check nor a run asks for it."""
    project = Project(tmp_path / "p")
    sql = "select k, seen as event_timestamp, a, x from nowhere.events where {{ skewless.input_window('seen') }}\n"
    project.model("events", sql, block=", stream: {enabled: true, only: true}")
    assert project.run().ok
    table = project.table(streamed=True, stream=Streaming(only=True))
    types = (pa.string(), pa.timestamp("us"), pa.int64(), pa.float64(), pa.timestamp("us"))
    row = ("a", AT - DAY_US, 1, 1.5, AT)
    rows = pa.table({n: pa.array([v], t) for n, t, v in zip(NAMED, types, row, strict=True)})
    assert table.append_pending(rows, app_id="t", app_version=1)
    done = project.run()
    assert done.ok and any("1 rows of the stream became history" in line for line in done.lines), done.lines
    assert [r[2:] for r in current(table)] == [(1, 1.5)] and table.statistics()["pending"] == 0
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    assert canary.run(project.config, table.view) == []
    selected = (Selected(view=table.view, feature=table.view.features[0], name="a"),)
    known = LabelFrame("frame", "labels", "", rows=1, min_us=AT - DAY_US - 1, max_us=AT - DAY_US - 1)
    (history,) = open_histories(project.config, selected, known, "as_of")
    assert history.rows == 1
    with pytest.raises(SkewlessError, match="SK705"):       # the stream is not there yet
        open_histories(project.config, selected, replace(known, max_us=AT), "as_of")


LATENESS = {"one": ("1s", 1_000_000), "half": ("1500ms", 1_500_000), "long": ("2m", 120_000_000)}
SOURCES = "sources:\n  - name: town\n    tables:\n" + "".join(f"""      - name: {name}
        config:
          meta:
            external_location: "{{{{ env_var('SKEWLESS_PROJECT_DIR') }}}}/{name}.parquet"
            skewless: {{stream: {{topic: events, event_timestamp: seen, arrived_at: got, lateness: {lateness}}}}}
        columns: [{{name: k, data_type: varchar}}, {{name: seen, data_type: timestamp}}, {{name: got, data_type: timestamp}}]
""" for name, (lateness, _) in LATENESS.items()) + """  - name: elsewhere
    tables: [{name: one, schema: other}, {name: planes}]
"""


def test_the_batch_drops_what_the_stream_drops(tmp_path: Path) -> None:
    """arrived_at - lateness < event_timestamp <= arrived_at + 5 s, at both bounds, and NULLs. No stream: refused."""
    project = Project(tmp_path / "p")
    project.write("models/sources.yml", SOURCES)
    for name, (_, us) in LATENESS.items():
        source = f"source('town', '{name}')"
        project.model(f"of_{name}", "select e.k, e.seen as event_timestamp, cast(1 as bigint) as a, cast(1 as double) as x\n"
                      f"from {{{{ {source} }}}} as e\n"
                      f"where {{{{ skewless.on_time({source}, 'e') }}}} and {{{{ skewless.input_window('e.seen') }}}}\n")
        got = AT - DAY_US
        offsets = {"late": -us, "last": -us + 1000, "same": 0, "early": 5_000_000, "future": 5_001_000, "2100": 74 * 365 * DAY_US}
        rows = [(k, got + off, got) for k, off in offsets.items()] + [("untimed", None, got), ("unarrived", got, None)]
        at = pa.timestamp("us")
        columns = zip(("k", "seen", "got"), (pa.string(), at, at), zip(*rows, strict=True), strict=True)
        pq.write_table(pa.table({n: pa.array(v, t) for n, t, v in columns}), project.root / f"{name}.parquet")
    for name in ("one", "planes"):
        source = f"source('elsewhere', '{name}')"
        project.model(f"no_{name}", f"select * from {{{{ {source} }}}} where {{{{ skewless.on_time({source}) }}}}\n")
    done = project.run("--exclude", "events")
    assert sum("error[SK139]" in message for _, message in done.failures()) == 2 == len(done.failures()), done.lines
    for name in LATENESS:
        table = LakeTable(project.config.lake_root, view(name=f"of_{name}", storage=f"of_{name}"))
        assert {row[0] for row in current(table)} == {"last", "same", "early"}


def test_nothing_is_to_be_materialized_of_a_view_that_only_streams() -> None:
    one = ViewStatus(view="x@1", entity="e", state="applied", online=True)
    whole = Status(project="p", target="dev", now_us=AT, views=(one,), services=(), snapshot="current", online_store="embedded")
    assert any("materialize" in note for note in notes(whole))
    assert not notes(structs.replace(whole, views=(structs.replace(one, streams_only=True),)))
