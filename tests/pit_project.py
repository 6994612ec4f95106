"""The join's macros, rendered by dbt once and executed in DuckDB; and what they must give, the naive way."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.warehouse.dbt import DbtRun, compile_inline, environment, known_failure
from tests.registry_project import write_project

REPO = Path(__file__).resolve().parents[1]
ZERO = datetime(2026, 1, 1)
PLAIN_TYPES = "k bigint, event_timestamp timestamp, f bigint, g varchar"
AGED_TYPES = "a varchar, b bigint, event_timestamp timestamp, x double, y bigint, z varchar"
VERSION_TYPES = ", ingested_at timestamp, superseded_at timestamp"
YAML = """
models:
  - name: plain
    config: {contract: {enforced: true}, meta: {skewless: {entities: [{name: thing, join_keys: [k]}]}}}
    columns:
      - {name: k, data_type: bigint}
      - {name: event_timestamp, data_type: timestamp}
      - {name: f, data_type: bigint}
      - {name: g, data_type: varchar, config: {meta: {skewless: {default: "it's none"}}}}
  - name: aged
    latest_version: 2
    config:
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: pair, join_keys: [a, b]}], ttl: 4s, availability_delay: 2s}}
    columns:
      - {name: a, data_type: varchar}
      - {name: b, data_type: bigint}
      - {name: event_timestamp, data_type: timestamp}
      - {name: x, data_type: double, config: {meta: {skewless: {default: 0.5}}}}
      - {name: y, data_type: bigint, config: {meta: {skewless: {default: -1, ttl: 3s}}}}
      - {name: z, data_type: varchar, config: {meta: {skewless: {ttl: 2s}}}}
    versions: [{v: 1}, {v: 2}]
"""
COVERED_BEFORE = 10                         # event times, in seconds, that the backfill commits of a test cover
FEATURES = ["plain@1:f", "plain:g as gg", "aged@2:x", "aged:y", "aged:z"]


@dataclass(frozen=True)
class Version:
    """One version of one row. Times are seconds after ZERO; `until` None is current."""

    key: tuple[Any, ...]
    at: int
    values: tuple[Any, ...]
    since: int = 0
    until: int | None = None
    backfill: bool = False


def project(root: Path) -> Config:
    """A project that installs the package, with one plain and one versioned feature view."""
    bare = "select 1 as placeholder"
    config = write_project(root, {"views.yml": YAML}, {"plain": bare, "aged_v1": bare, "aged_v2": bare})
    (root / "models" / "aged.sql").unlink(missing_ok=True)
    (root / "packages.yml").write_text(f"packages: [{{local: {REPO}}}]\n")
    (root / "dbt_packages").mkdir(exist_ok=True)
    (root / "dbt_packages" / "skewless").symlink_to(REPO)
    return config


def render(config: Config, calls: dict[str, str]) -> dict[str, Any]:
    """Renders several macro calls in one run of dbt."""
    items = ", ".join(f'"{name}": skewless.{call}' for name, call in calls.items())
    return json.loads(compile_inline(config, f"{{{{ tojson({{{items}}}) }}}}"))


REFUSALS = """
import json, sys
from dbt.cli.main import dbtRunner
for snippet in json.loads(sys.argv[1]):
    dbtRunner().invoke(["--no-use-colors", "compile", "--inline", snippet, "--no-introspect", "--no-populate-cache", "--quiet"])
    print("=====", flush=True)
"""


def refusals(config: Config, calls: list[str]) -> dict[str, SkewlessError | None]:
    """What each macro call is refused with; one dbt process tries them all."""
    snippets = json.dumps([f"{{{{ skewless.{call} }}}}" for call in calls])
    done = subprocess.run(
        [sys.executable, "-c", REFUSALS, snippets], cwd=config.root, env=environment(config), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
    )
    said = done.stdout.split("=====")
    return {call: known_failure(DbtRun(1, part.splitlines())) for call, part in zip(calls, said, strict=False)}


def instant(second: int | None) -> datetime | None:
    return None if second is None else ZERO + timedelta(seconds=second)


def connect(*, loop_joins: bool) -> duckdb.DuckDBPyConnection:
    """`loop_joins` False makes small frames take the plan that large frames take."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'America/New_York'").fetchall()
    if not loop_joins:
        con.execute("set asof_loop_join_threshold = 0").fetchall()
    return con


def fill(con: duckdb.DuckDBPyConnection, name: str, types: str, rows: list[tuple[Any, ...]]) -> None:
    """Replaces a table."""
    con.execute(f"create or replace table {name} ({types})").fetchall()
    if rows:
        con.executemany(f"insert into {name} values ({', '.join('?' * len(rows[0]))})", rows)


def stored(rows: list[Version], *, versions: bool = False) -> list[tuple[Any, ...]]:
    """Rows as the relation of current rows, or of all versions, holds them."""
    return [
        (*row.key, instant(row.at), *row.values, *((instant(row.since), instant(row.until)) if versions else ()))
        for row in rows
        if versions or row.until is None
    ]


def known_from(row: Version, rows: list[Version], delay: int) -> int:
    """Backfill rows count as known at event time + delay, unless an earlier version of the slot exists."""
    first = min(r.since for r in rows if (r.key, r.at) == (row.key, row.at))
    return min(row.since, row.at + delay) if row.backfill and row.since == first else row.since


def winner(
    rows: list[Version], key: tuple[Any, ...], t: int | None, *, ttl: int | None, delay: int, mode: str
) -> Version | None:
    """The newest row that is valid at t, by trying every row."""
    if t is None or None in key:
        return None
    valid = []
    for row in rows:
        if row.key != key or (ttl is not None and t - row.at > ttl):
            continue
        if mode == "as_of":
            seen = row.until is None and row.at + delay <= t
        else:
            seen = row.at <= t and known_from(row, rows, delay) <= t and (row.until is None or t < row.until)
        if seen:
            valid.append(row)
    return max(valid, key=lambda r: r.at, default=None)


def expected(labels: list[tuple[Any, ...]], plain: list[Version], aged: list[Version], mode: str) -> list[tuple[Any, ...]]:
    """What FEATURES with statuses must give for labels (k, a, b, second, extra)."""
    out = []
    for k, a, b, t, extra in labels:
        p = winner(plain, (k,), t, ttl=None, delay=0, mode=mode)
        q = winner(aged, (a, b), t, ttl=4, delay=2, mode=mode)
        out.append((
            k, a, b, instant(t), extra,
            p.values[0] if p else None, p.values[1] if p else "it's none",
            q.values[0] if q else 0.5, q.values[1] if q and t - q.at <= 3 else -1, q.values[2] if q and t - q.at <= 2 else None,
            "ok" if p else "missing", "ok" if q else "missing",
        ))
    return out
