"""The lake table and the materialization's rules, driven without dbt."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from skewless.clock import format_instant, parse_instant
from skewless.errors import SkewlessError
from skewless.warehouse import ledger
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.upkeep import compact, vacuum
from tests.history_driver import SQL, VIEWS, Driver
from tests.history_project import DAY_US, NOW, fetch, view

BEGIN = parse_instant("2026-01-01")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    made = Driver(tmp_path / "lake", "month", chunk_us=31 * DAY_US)
    yield made
    made.close()


def put(driver: Driver, *rows: tuple[Any, ...]) -> None:
    driver.con.execute("insert into source values " + ", ".join(str(r).replace("None", "null") for r in rows)).fetchall()


def current(driver: Driver) -> list[tuple[Any, ...]]:
    return fetch(f"select k, a, x from {driver.table.relation()} order by event_timestamp, k")


def refused(driver: Driver, code: str, **options: Any) -> SkewlessError:
    """The refusal of a run, which leaves the table as it was."""
    before = driver.table.position() if driver.table.exists() else None
    with pytest.raises(SkewlessError) as caught:
        driver.run(**options)
    assert caught.value.code == code
    if before:
        assert driver.table.position() == before
    return caught.value


def test_a_null_key_or_event_time_is_refused_with_a_sample(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, 1.0))
    driver.run()
    sql = SQL.split(" where ")[0]
    put(driver, (None, "2026-01-06", 7, 1.0))
    assert "2026-01-06" in refused(driver, "SK501", start_us=BEGIN, end_us=BEGIN + 30 * DAY_US).detail
    driver.con.execute("delete from source where k is null").fetchall()
    put(driver, ("a", None, 8, 1.0))
    refused(driver, "SK501", sql=sql)


def test_equal_rows_collapse_and_rows_that_differ_are_refused(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, -0.0), ("a", "2026-01-05", 1, 0.0), ("b", "2026-01-05", None, None))
    driver.run()
    assert current(driver) == [("a", 1, 0.0), ("b", None, None)]
    put(driver, ("a", "2026-01-05", 2, 0.0))
    error = refused(driver, "SK502", start_us=BEGIN, end_us=BEGIN + 30 * DAY_US)
    assert '"a"' in error.detail.replace("'", '"') and "2026-01-05" in error.detail
    assert current(driver) == [("a", 1, 0.0), ("b", None, None)]


def test_a_run_that_would_retract_too_much_is_refused_unless_allowed(driver: Driver) -> None:
    put(driver, *[(f"k{i}", "2026-03-10", i, None) for i in range(200)])
    driver.run()
    driver.con.execute("delete from source where a >= 100").fetchall()
    driver.run()
    assert len(current(driver)) == 100
    driver.con.execute("delete from source where a >= 49").fetchall()
    assert "51 of the 100" in refused(driver, "SK503").fact
    assert len(current(driver)) == 100
    driver.run(allow_retract=True)
    assert len(current(driver)) == 49
    driver.con.execute("delete from source").fetchall()
    driver.run()
    assert current(driver) == []


def test_an_approximate_feature_that_hardly_moved_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    driver = Driver(tmp_path, "approximate")
    put(driver, ("a", "2026-03-10", 1, 100.0), ("b", "2026-03-10", 1, 100.0))
    driver.run()
    driver.con.execute("update source set x = case k when 'a' then 100.00001 else 100.1 end").fetchall()
    totals = driver.run()
    assert totals and totals.corrected == 1 and current(driver) == [("a", 1, 100.0), ("b", 1, 100.1)]
    driver.con.execute("update source set x = 'nan'").fetchall()
    totals = driver.run()
    assert totals and totals.corrected == 2
    driver.close()


def test_a_gap_is_filled_first_and_an_empty_window_only_leaves_its_ledger_entry(driver: Driver) -> None:
    put(driver, ("a", "2026-01-20", 1, None), ("a", "2026-02-20", 2, None))
    driver.run(start_us=BEGIN, end_us=BEGIN + 10 * DAY_US)
    driver.run(start_us=BEGIN + 40 * DAY_US, end_us=BEGIN + 60 * DAY_US)
    assert driver.table.complete_through_us() == BEGIN + 10 * DAY_US and current(driver) == [("a", 2, None)]
    driver.run()
    assert driver.table.complete_through_us() == parse_instant(NOW) and len(current(driver)) == 2
    files = driver.table.snapshot().files
    assert (driver.run(start_us=BEGIN, end_us=BEGIN + DAY_US)) is not None
    assert driver.table.snapshot().files == files
    totals = driver.run(start_us=parse_instant(NOW) + DAY_US, end_us=parse_instant(NOW) + 2 * DAY_US)
    assert totals and totals.chunks == 0
    refused(driver, "SK509", start_us=BEGIN)
    refused(driver, "SK509", start_us=BEGIN + DAY_US, end_us=BEGIN)


def test_without_a_declared_begin_the_history_starts_at_the_earliest_row(driver: Driver) -> None:
    driver.table = LakeTable(driver.table.path.parents[2], view(begin_us=None))
    totals = driver.run()
    assert totals and totals.chunks == 0 and driver.table.complete_through_us() is None
    put(driver, ("a", "2026-02-20 05:00", 1, None))
    driver.run()
    window = next(e for e in driver.table.ledger() if e.kind == "window")
    assert format_instant(window.window_start_us) == "2026-02-20T00:00:00Z"
    assert driver.table.complete_through_us() == parse_instant(NOW)


def test_an_applied_definition_is_kept_and_a_draft_is_rebuilt_freely(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, None))
    driver.run()
    first = driver.table.position()
    put(driver, ("a", "2026-01-06", 2, None))
    driver.run(definition_hash="d2")                      # a changed draft: everything is due again
    assert len(current(driver)) == 2
    driver.run(definition_hash="d2", full_refresh=True)
    assert driver.table.position().table_id != first.table_id and len(current(driver)) == 2
    driver.table.mark_applied("d2")
    assert driver.table.applied_hash() == "d2"
    refused(driver, "SK504", definition_hash="d3")
    before = driver.table.position()
    driver.run(definition_hash="d2", full_refresh=True)
    assert driver.table.position().table_id == before.table_id
    driver.table.mark_applied("d3")
    assert driver.table.complete_through_us() == parse_instant(NOW)
    driver.table.mark_applied("d4", restate=True)
    assert driver.table.complete_through_us() is None
    driver.run(definition_hash="d4")
    assert driver.table.complete_through_us() == parse_instant(NOW)


def test_a_feature_that_is_added_later_is_null_before_and_complete_from_where_it_was_computed(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, None), ("a", "2026-03-10", 2, None))
    driver.run()
    driver.table.mark_applied("d1")
    driver.table.mark_applied("d2")
    narrow = driver.table
    driver.name, driver.table = "wide", LakeTable(narrow.path.parents[2], VIEWS["wide"])
    wide = SQL.replace("a, x from", "a, x, 'b' || k as b from")
    driver.run(sql=wide, definition_hash="d2")
    rows = fetch(f"select event_timestamp, a, b from {driver.table.relation()} order by 1")
    assert [r[1:] for r in rows] == [(1, None), (2, "ba")]
    assert driver.table.complete_through_us() == parse_instant(NOW) and driver.table.complete_through_us("b") is None
    driver.run(sql=wide, definition_hash="d2", start_us=BEGIN, end_us=BEGIN + 20 * DAY_US)
    assert driver.table.complete_through_us("b") == BEGIN + 20 * DAY_US
    assert fetch(f"select count(b) from {driver.table.relation('versions')}") == [(2,)]
    assert pl.scan_delta(str(driver.table.path)).filter(pl.col("row_state") == "current").collect().height == 2
    assert len(fetch(f"select a from {narrow.relation()}")) == 2      # a reader with the older schema
    compact(driver.table)
    assert [r[1:] for r in fetch(f"select event_timestamp, a, b from {driver.table.relation()} order by 1")] == [
        (1, "ba"), (2, "ba")
    ]
    driver.name, driver.table = "month", narrow
    refused(driver, "SK507", definition_hash="d2")


def test_one_of_two_runs_at_once_is_refused_and_its_connection_is_free_again(driver: Driver) -> None:
    from skewless.warehouse.run import Run

    put(driver, ("a", "2026-01-05", 1, None))
    first = Run(driver.table, driver.request())
    steps = first.steps()
    next(steps)
    error = refused(driver, "SK505")
    assert str(os.getpid()) in error.detail
    steps.close()
    first.close()
    driver.run()
    assert current(driver) == [("a", 1, None)]


def test_two_commits_from_one_version_conflict_even_without_the_lock(driver: Driver) -> None:
    driver.run()
    handles = [DeltaTable(driver.table.path) for _ in range(2)]
    for number, handle in enumerate(handles):
        properties = CommitProperties(app_transactions=[Transaction("writer", 99)])
        if number == 0:
            handle.create_write_transaction([], "append", handle.schema(), commit_properties=properties)
        else:
            with pytest.raises(CommitFailedError):
                handle.create_write_transaction([], "append", handle.schema(), commit_properties=properties)


def test_the_ledger_outlives_the_retention_of_the_log(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, None))
    driver.run()
    long_ago = time.time() - 40 * 86_400
    for number in range(104):
        if number == 60:
            for path in (driver.table.path / "_delta_log").iterdir():
                os.utime(path, (long_ago, long_ago))
        driver.table.commit(LedgerEntry(kind=ledger.COMPACT, r_us=driver.table.next_stamp()))
    assert list((driver.table.path / "_delta_log").glob("*.checkpoint.parquet"))
    entries = LakeTable(driver.table.path.parents[2], driver.table.view).ledger()
    assert [e.version for e in entries] == list(range(len(entries))) and len(entries) >= 107
    assert driver.table.complete_through_us() == parse_instant(NOW)


def test_a_damaged_log_is_said(driver: Driver) -> None:
    driver.run()
    (driver.table.path / "_delta_log" / f"{99:020d}.json").write_text("garbage")
    with pytest.raises(SkewlessError, match=r"SK513.*events@1 cannot be read"):
        driver.table.snapshot()


def test_a_lake_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the plugin's door, as dbt comes."""
    from skewless.warehouse.plugin import Calls

    (tmp_path / "skewless.yml").write_text("project: tiny\nlake: /proc/nowhere\n")
    monkeypatch.setenv("SKEWLESS_PROJECT_DIR", str(tmp_path))
    types = {"k": "varchar", "event_timestamp": "timestamp", "a": "bigint"}
    node = {
        "unique_id": "model.tiny.v", "name": "v", "resource_type": "model", "contract": {"enforced": True},
        "config": {"meta": {"skewless": {"entities": [{"name": "thing", "join_keys": ["k"]}]}}},
        "columns": {name: {"name": name, "data_type": type_} for name, type_ in types.items()},
    }
    asked = {"model": node, "target": "dev", "sql": "select 1", "statements": {}, "run_id": "r", "full_refresh": False}
    answer = json.loads(Calls().call("begin", json.dumps({**asked, "allow_retract": False})))
    assert "error[SK513]: the lake cannot be written" in answer["error"] and "/proc/nowhere" in answer["error"]


def test_versions_hold_every_state_and_past_versions_are_readable_after_vacuum(driver: Driver) -> None:
    put(driver, ("a", "2026-03-10", 1, None), ("b", "2026-03-10", 1, None))
    driver.run()
    old = driver.table.position().version
    driver.con.execute("update source set a = 2 where k = 'a'").fetchall()
    driver.con.execute("delete from source where k = 'b'").fetchall()
    driver.run()
    past = f"select k, a from {driver.table.relation(version=old)} order by k"
    assert fetch(past) == [("a", 1), ("b", 1)] and current(driver) == [("a", 2, None)]
    assert vacuum(driver.table, dry_run=True).bytes_deleted == 0         # within the grace period
    done = vacuum(driver.table, grace_seconds=0)
    assert done.files_after < done.files_before
    assert fetch(f"select k, a from {driver.table.relation(version=old)} order by k") == [("a", 1), ("b", 1)]
    assert len(fetch(f"select 1 from {driver.table.relation('versions')}")) == 3


def test_vacuum_removes_what_a_killed_run_left_and_compaction_changes_no_row(driver: Driver) -> None:
    for number in range(5):
        put(driver, (f"k{number}", "2026-03-10", number, None))
        driver.run()
    left = driver.table.path / "row_state=current" / "event_date=2026-03-01" / "1-0000000000000000-00.parquet"
    left.write_bytes(b"half a file")
    rows = current(driver)
    position = driver.table.position()
    done = compact(driver.table)
    assert (done.files_before, done.files_after) == (5, 1) and current(driver) == rows
    changes = driver.table.changes(position)
    assert (changes.rows.num_rows, changes.retracted.num_rows, changes.full) == (0, 0, False)
    vacuum(driver.table, grace_seconds=0)
    assert not left.exists() and current(driver) == rows
    assert len(list(driver.table.path.rglob("*.parquet"))) == 1


def test_new_rows_of_a_partition_are_added_beside_its_file_until_there_are_many(driver: Driver) -> None:
    files = []
    for number in range(12):
        put(driver, (f"k{number}", "2026-03-10", number, None))
        driver.run()
        files.append(len(driver.table.snapshot().of("current")))
    assert files == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]


def test_other_tools_read_the_lake(driver: Driver) -> None:
    put(driver, ("a", "2026-01-05", 1, 1.5), ("b", "2026-03-10", 2, None))
    driver.run()
    frame = pl.scan_delta(str(driver.table.path)).filter(pl.col("row_state") == "current").sort("k").collect()
    assert frame.select("k", "event_timestamp", "a", "x").rows() == [
        ("a", datetime(2026, 1, 5), 1, 1.5), ("b", datetime(2026, 3, 10), 2, None)
    ]
    assert frame.schema["event_timestamp"] == pl.Datetime("us")


def test_relations_without_a_table_and_within_bounds(driver: Driver) -> None:
    assert fetch(f"select * from {driver.table.relation()}") == []
    assert fetch(f"describe select * from {driver.table.relation('versions')}")[-1][:2] == ("superseded_at", "TIMESTAMP")
    assert driver.table.statistics()["current"] == 0 and driver.table.ledger() == []
    put(driver, *[("a", f"2026-0{m}-05", m, None) for m in (1, 2, 3)])
    driver.run()
    at = parse_instant("2026-02-05")
    assert fetch(f"select a from {driver.table.relation(lo_us=at, hi_us=at)}") == [(2,)]
    assert driver.table.relation(lo_us=at, hi_us=at).count(".parquet") == 1
    assert driver.table.statistics()["newest_event_timestamp_us"] == parse_instant("2026-03-05")


def test_a_stream_row_is_refused_without_a_key_and_waits_for_a_commit_under_way(driver: Driver) -> None:
    driver.run()
    rows = pa.table({
        "k": pa.array([None], pa.string()), "event_timestamp": pa.array([BEGIN], pa.timestamp("us")), "a": pa.array([1]),
        "x": pa.array([1.0]), "ingested_at": pa.array([BEGIN], pa.timestamp("us")),
    })
    with pytest.raises(SkewlessError, match="SK501"):
        driver.table.append_pending(rows, app_id="t", app_version=1)
    with pytest.raises(SkewlessError, match="SK509"):
        driver.table.append_pending(rows.set_column(0, "k", pa.array(["a"])), app_id="t", app_version=1)
        driver.table.mark_applied("d1", restate=True)
        driver.run(start_us=BEGIN + DAY_US, end_us=BEGIN + 2 * DAY_US)
