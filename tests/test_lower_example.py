"""The example gives the same rows on DuckDB, Postgres and Flink: over a month, with SKEWLESS_SOAK=1 over all 336 776 flights."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from skewless.config import read_config
from skewless.conformance.engines import Answer, Engine
from skewless.conformance.table import Table
from skewless.conformance.values import Rows, compare
from skewless.errors import SkewlessError
from skewless.registry.inputs import Inputs
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Registry
from skewless.sql.analysis import Analysis
from skewless.sql.value import Relation
from skewless.stream.lower import ENGINES, lower
from skewless.stream.lower.dag import Script, lower_view
from skewless.warehouse.dbt import ensure_manifest
from tests.example import Example

SOAK = os.environ.get("SKEWLESS_SOAK") == "1"
UNTIL = "9999-01-01" if SOAK else "2013-02-01"
VIEWS = ("airport_departures_1h", "airport_weather", "carrier_delays", "plane_rotation", "route_delays")
STAGED = {
    "stg_departures": ("departures", "departed_at"), "stg_landings": ("landings", "landed_at"),
    "stg_weather": ("weather", "observed_at"),
}


class Project:
    """The compiled example: scripts of its views, and its data as tables. Each is made once, since engines load a table once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest: dict[str, Any] = ensure_manifest(read_config(root))
        self.registry: Registry = read_definitions(read_config(root), self.manifest)[0]
        self.script = cache(self._script)
        self.table = cache(self._table)

    def _script(self, view: str, engine: Any) -> Script:
        """From the staging models on, also of a view that streams."""
        return lower_view(self.manifest, self.registry.view(view), "duckdb", engine, inputs=Inputs(self.manifest, "duckdb"))

    def model(self, name: str) -> tuple[dict[str, Any], Inputs]:
        node = next(n for n in self.manifest["nodes"].values() if n["name"] == name and n["resource_type"] == "model")
        return node, Inputs(self.manifest, "duckdb")

    def _table(self, relation: Relation, sql: str, time: str, event_time: bool) -> Table:
        columns = {c.name: c.value.type for c in relation.columns}
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            query = f"select {', '.join(columns)} from ({sql}) where {time} < '{UNTIL}' order by {time}"
            rows = connection.execute(query.replace("'data/", f"'{self.root}/data/")).fetchall()
        return Table(columns, rows, time if event_time else None)


@pytest.fixture(scope="module")
def project(example: Example) -> Project:
    return Project(example.project)


@pytest.fixture(scope="module")
def answers(project: Project, engines: dict[str, Engine]) -> dict[tuple[str, str], Answer]:
    """(view, engine) -> rows, all views over the same tables."""
    tables = {}
    for view in VIEWS:
        for source in project.script(view, "flink").sources:
            sql = project.manifest["nodes"][source.unique_id]["compiled_code"]
            assert source.event_time is not None
            tables[source.name] = project.table(source.relation, sql, source.event_time, True)
    out: dict[tuple[str, str], Answer] = {}
    for engine in ENGINES:
        queries = [project.script(view, engine).query for view in VIEWS]
        out |= zip([(view, engine) for view in VIEWS], engines[engine].run_many(tables, queries), strict=True)
    return out


@pytest.mark.parametrize("engine", ["postgres", "flink"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_rows_of_duckdb(view: str, engine: str, answers: dict[tuple[str, str], Answer]) -> None:
    left, right = rows(answers[view, "duckdb"]), rows(answers[view, engine])
    assert len(left.rows) == len(right.rows) > (20_000 if view != "airport_weather" or SOAK else 2_000)
    assert compare(left, right) == []


@pytest.mark.parametrize("name", STAGED)
def test_a_staging_model_has_the_rows_of_duckdb(name: str, project: Project, engines: dict[str, Engine]) -> None:
    node, inputs = project.model(name)
    analysis = inputs.analysis(node)
    assert isinstance(analysis, Analysis)
    source, time = STAGED[name]
    relation = next(iter(inputs.of(node).values()))
    table = project.table(relation, f"select * from 'data/{source}.parquet'", time, False)
    written = {key: source for key in inputs.of(node)}
    left, *others = [rows(_one(engines[e], source, table, lower(analysis, engine=e, tables=written))) for e in ENGINES]
    assert left.rows and all(compare(left, other) == [] for other in others)


def _one(engine: Engine, name: str, table: Table, sql: str) -> Answer:
    return engine.run_many({name: table}, [sql])[0]


@pytest.mark.parametrize("view", VIEWS)
def test_the_text_of_a_view(view: str, project: Project, golden: Any) -> None:
    script = lower_view(project.manifest, project.registry.view(view), "duckdb", "flink")
    golden(f"flink/example_{view}.sql", script.text())


def rows(answer: Answer) -> Rows:
    if isinstance(answer, SkewlessError):
        raise answer
    return answer
