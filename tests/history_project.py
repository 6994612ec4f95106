"""A small dbt project over one Parquet file of events, for tests of the materialization."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.clock import EPOCH, parse_instant
from skewless.config import Config, read_config
from skewless.registry.model import Feature, JoinKey, View
from skewless.warehouse.dbt import DbtRun, run_dbt
from skewless.warehouse.lake import LakeTable

REPO = Path(__file__).resolve().parents[1]
NOW = "2026-03-10T12:00:00Z"
DAY_US = 86_400_000_000
CURRENT = "k, event_timestamp, a, x"

MODEL = """select k, seen as event_timestamp, a, x
from read_parquet('{{ env_var("SKEWLESS_PROJECT_DIR") }}/events.parquet')
where {{ skewless.input_window('seen') }}
"""
SCHEMA = """models:
  - name: NAME
    config:
      materialized: feature_view
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: thing, join_keys: [k]}], begin: 2026-01-01, overlap: 1d, availability_delay: 1h BLOCK}}
    columns:
      - {name: k, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - {name: a, data_type: bigint}
      - {name: x, data_type: double XMETA}
"""
Row = tuple[str, str, int | None, float | None]


def view(**changes: Any) -> View:
    """The View that the project's model `events` gives."""
    fields: dict[str, Any] = {
        "name": "events", "entity": "thing", "join_keys": (JoinKey("k", "string"),), "storage": "events",
        "features": (Feature(name="a", type="int64"), Feature(name="x", type="float64")),
        "begin_us": parse_instant("2026-01-01"),
    }
    return View(**{**fields, **changes})


class Project:
    """A dbt project in a temporary folder. `rows` writes its events; `run` is `dbt run` at NOW."""

    def __init__(self, root: Path, *, block: str = "", x_meta: str = "") -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "models").mkdir()
        (root / "dbt_packages").mkdir()
        (root / "dbt_packages" / "skewless").symlink_to(REPO)
        self.write("packages.yml", f"packages: [{{local: {REPO}}}]\n")
        self.write("dbt_project.yml", "name: tiny\nversion: '1.0'\nprofile: tiny\nflags: {send_anonymous_usage_stats: false}\n")
        self.write("skewless.yml", "project: tiny\n")
        self.write("profiles.yml", (
            "tiny:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: dev.duckdb\n      threads: 2\n"
            "      settings: {TimeZone: UTC}\n      plugins: [{module: skewless.warehouse.plugin, alias: skewless}]\n"
        ))
        self.model("events", MODEL, block=block, x_meta=x_meta)

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def model(self, name: str, sql: str, *, block: str = "", x_meta: str = "") -> None:
        self.write(f"models/{name}.sql", sql)
        self.write(f"models/{name}.yml", SCHEMA.replace("NAME", name).replace("BLOCK", block).replace("XMETA", x_meta))

    def rows(self, rows: list[Row]) -> None:
        """Replaces the events."""
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        at = [None if a is None else (parse_instant(a)) for a in columns[1]]
        table = pa.table({
            "k": pa.array(columns[0], pa.string()), "seen": pa.array(at, pa.timestamp("us")),
            "a": pa.array(columns[2], pa.int64()), "x": pa.array(columns[3], pa.float64()),
        })
        pq.write_table(table, self.root / "events.parquet.tmp")
        os.replace(self.root / "events.parquet.tmp", self.root / "events.parquet")

    @property
    def config(self) -> Config:
        return read_config(self.root)

    def run(self, *args: str, now: str = NOW, command: str = "run", env: dict[str, str] | None = None) -> DbtRun:
        return run_dbt(self.config, [command, *args], env={"SKEWLESS_CLOCK": now, **(env or {})})

    def table(self, **changes: Any) -> LakeTable:
        return LakeTable(self.config.lake_root, view(**changes))

    def current(self) -> list[tuple[Any, ...]]:
        return current(self.table())


def current(table: LakeTable, columns: str = CURRENT) -> list[tuple[Any, ...]]:
    """The table's current rows, sorted."""
    return fetch(f"select {columns} from {table.relation()} order by all")


def fetch(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        return con.execute(sql).fetchall()


def expected(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Rows as `current` gives them."""
    from datetime import timedelta

    return sorted((k, EPOCH + timedelta(microseconds=parse_instant(at)), a, x) for k, at, a, x in rows)
