"""`skewless compact` of views that stream: it folds what no batch will, as `dbt run` does, and leaves the rest pending."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from msgspec import structs

from skewless.clock import parse_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.project import apply_plan, make_plan
from skewless.registry.model import Streaming
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.streamed import fold, fold_and_compact, statements
from skewless.warehouse.upkeep import compact
from tests.history_driver import Driver
from tests.history_project import DAY_US, NOW, Project, fetch, view
from tests.test_materialize import call

AT = parse_instant(NOW)
INSTANT = pa.timestamp("us")
TYPES = {"k": pa.string(), "event_timestamp": INSTANT, "a": pa.int64(), "x": pa.float64(), "ingested_at": INSTANT}
SOURCES = """sources:
  - name: town
    schema: nowhere
    tables:
      - name: events
        config: {meta: {skewless: {stream: {topic: events, event_timestamp: seen, arrived_at: got}}}}
        columns:
          - {name: k, data_type: varchar, data_tests: [not_null]}
          - {name: seen, data_type: timestamp, data_tests: [not_null]}
          - {name: got, data_type: timestamp}
          - {name: a, data_type: bigint}
          - {name: x, data_type: double}
"""
SQL = """select k, seen as event_timestamp, a, x from {{ source('town', 'events') }}
where {{ skewless.on_time(source('town', 'events')) }}
"""
Row = tuple[str, int, int | None, float | None, int]


def flush(table: LakeTable, offset: int, *rows: Row) -> None:
    """The consumer's write of these rows."""
    cells = {name: pa.array(values, type_) for (name, type_), values in zip(TYPES.items(), zip(*rows, strict=True), strict=True)}
    assert table.append_pending(pa.table(cells), app_id="t", app_version=offset)


def rows_of(table: LakeTable, kind: Any = "current") -> list[tuple[Any, ...]]:
    return fetch(f"select * from {table.relation(kind)} order by all")


def contents(table: LakeTable) -> list[tuple[str, str, int, str]]:
    """State, partition, rows and bytes of each file that is live."""
    return sorted(
        (f.row_state, f.event_date.isoformat(), f.rows, hashlib.sha256((table.path / f.path).read_bytes()).hexdigest())
        for f in table.snapshot().files
    )


def applied(project: Project) -> LakeTable:
    (one,) = Store(project.config).require_applied().views
    return LakeTable(project.config.lake_root, one)


def first(table: LakeTable) -> None:
    """Two flushes over three days: corrections, a row that is sent again, features that are NULL."""
    flush(table, 1, ("a", AT - DAY_US, 1, 0.1, AT), ("a", AT - DAY_US, 2, -0.0, AT + 5), ("b", AT - 40 * DAY_US, 3, None, AT + 6))
    flush(table, 2, ("a", AT - DAY_US, 2, -0.0, AT + 9), ("c", AT, None, 1e308, AT + 9), ("b", AT - 40 * DAY_US, 4, None, AT + 7))


def second(table: LakeTable) -> None:
    flush(table, 3, ("a", AT - DAY_US, 1, 0.1, AT), ("d", AT - 2 * DAY_US, 5, 2.0, AT + 11))
    flush(table, 4, ("c", AT, 7, 7.0, AT + 12))


def by_command(project: Project) -> dict[str, Any]:
    done = call(project, "compact", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found.pop("view") == "events@1"
    return found


def test_compact_folds_what_dbt_run_would_and_twice_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    by_run = Project(tmp_path / "by_run")
    by_run.write("models/sources.yml", SOURCES)
    by_run.model("events", SQL, block=", stream: {enabled: true, only: true}")
    apply_plan(by_run.config, make_plan(by_run.config).id)
    first(applied(by_run))
    shutil.copytree(by_run.root, tmp_path / "by_compact", symlinks=True, ignore=shutil.ignore_patterns("valkey"))
    by_compact = object.__new__(Project)
    by_compact.root = tmp_path / "by_compact"
    table, other = applied(by_compact), applied(by_run)
    for rows, write in ((6, None), (3, second)):
        for one in (table, other) if write else ():
            write(one)
        before, versions, position = rows_of(table), rows_of(table, "versions"), table.position()
        files = len(table.snapshot().files)
        assert by_run.run().ok
        compact(other)
        found = by_command(by_compact) if write else asdict(fold_and_compact(by_compact.config, [table])[0])
        left = len(table.snapshot().files)
        assert (found["files_before"], found["files_after"], found["rows_folded"]) == (files, left, rows)
        assert table.statistics() == other.statistics() and table.statistics()["pending"] == 0
        assert contents(table) == contents(other) and len({row[:2] for row in before}) == len(before)
        assert rows_of(table) == before and rows_of(table, "versions") == versions == rows_of(other, "versions")
        assert table.changes(position).retracted.num_rows == 0 and table.complete_through_us() is None
        entry, theirs = (next(e for e in reversed(t.ledger()) if e.kind == "fold") for t in (table, other))
        assert entry.run_id.startswith("compact-")
        assert structs.replace(entry, run_id="", r_us=0) == structs.replace(theirs, run_id="", r_us=0)
        at = table.position()
        (again,) = fold_and_compact(by_compact.config, [table])
        assert again.rows_folded == 0 and again.files_before == again.files_after and table.position() == at
    flush(table, 5, ("e", AT, 1, 1.0, AT + 20))
    rendered = statements(by_compact.config, [table])["events@1"]
    with table.writing(), pytest.raises(SkewlessError, match="SK505"):
        fold(LakeTable(by_compact.config.lake_root, table.view), rendered)
    table.mark_applied("another definition")
    with pytest.raises(SkewlessError, match="SK504"):
        fold(table, rendered)
    assert table.statistics()["pending"] == 1


def test_what_a_batch_will_reach_stays_pending_and_dbt_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    driver = Driver(tmp_path / "lake", "month")
    driver.table = LakeTable(tmp_path / "lake", structs.replace(driver.table.view, streamed=True, stream=Streaming()))
    driver.con.execute("insert into source values ('a', make_timestamp(?), 1, 1.0)", [AT - 2 * DAY_US]).fetchall()
    driver.run(delay_us=DAY_US)
    through = driver.table.complete_through_us()
    first(driver.table)
    before = rows_of(driver.table)
    bare = LakeTable(tmp_path / "lake", view(name="bare", storage="bare"))
    bare.create()
    done = fold_and_compact(Config(root=str(tmp_path / "no project"), project="none"), [driver.table, bare])
    assert [d.rows_folded for d in done] == [0, 0] and rows_of(driver.table) == before
    assert driver.table.statistics()["pending"] == 6 and driver.table.complete_through_us() == through
    driver.close()
