"""Claim: `skewless check` reads a model's SQL in less than 50 ms, and 200 views in less than 10 s beyond dbt's own parse.

Times are of the processor: one thread computes, and what else the machine does is no part of it.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from bench import report
from skewless.registry.model import Feature, JoinKey, Registry, View
from skewless.registry.portable import check_portable
from skewless.sql.analysis import analyse
from skewless.sql.value import FLOAT64, INT64, STRING, TIMESTAMP, Type, Value, relation

CASES = Path(__file__).parent.parent / "tests" / "scenarios" / "portable_sql.json"
EVENTS = relation(
    {
        "k": Value(INT64, nullable=False),
        "ts": Value(TIMESTAMP, nullable=False),
        "amount": Type("decimal", 10, 2),
        "d": FLOAT64,
        "s": STRING,
        "n": Value(INT64, lo=0, hi=1000),
    },
    event_time="ts",
)


def model(features: int) -> str:
    """A view over two windows and a CTE, with that many features of four kinds."""
    kinds = (
        "count(*) filter (where n > {i}) over day as f{i}",
        "cast(sum(amount) over week as double) / nullif(cast(count(amount) over week as double), 0) as f{i}",
        "case when n between {i} and 500 then coalesce(s, 'none') || '{i}' end as f{i}",
        "date_diff('hour', date_trunc('day', ts), ts) * {i} + extract(minute from ts) as f{i}",
    )
    columns = ",\n    ".join(kinds[i % 4].format(i=i) for i in range(1, features + 1))
    window = "partition by k order by ts range between interval '{}' day preceding and current row"
    return (
        "with e as (\n    select * from events where n is not null\n)\n"
        f"select\n    k,\n    ts as event_timestamp,\n    {columns}\nfrom e\n"
        f"window day as ({window.format(1)}), week as ({window.format(7)})\n"
    )


def warm(sql: str, dialect: str = "duckdb", rounds: int = 15) -> float:
    """The median of a reading in milliseconds of the processor, findings and their texts included."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        found = analyse(sql, dialect=dialect, inputs={"events": EVENTS})
        assert found.findings is not None
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times[2:])


def manifest(views: int, features: int) -> tuple[dict[str, Any], Registry]:
    """dbt's manifest, as far as it is read, of so many portable views over one source."""
    source = {
        "unique_id": "source.p.s.events",
        "resource_type": "source",
        "relation_name": "events",
        "name": "events",
        "columns": {
            c.name: {
                "data_type": str(c.value.type)
                .replace("int64", "bigint")
                .replace("float64", "double")
                .replace("string", "varchar"),
                "config": {"meta": {"skewless": {"range": [0, 1000]}}} if c.name == "n" else {},
            }
            for c in EVENTS.columns
        },
        "config": {"meta": {"skewless": {"stream": {"event_timestamp": "ts"}}}},
    }
    nodes, found = {}, []
    for i in range(views):
        name = f"model.p.v{i}"
        nodes[name] = {
            "unique_id": name,
            "resource_type": "model",
            "name": f"v{i}",
            "compiled_code": model(features),
            "raw_code": model(features),
            "depends_on": {"nodes": [source["unique_id"]]},
            "columns": {},
            "package_name": "p",
            "original_file_path": f"models/v{i}.sql",
            "config": {"materialized": "feature_view", "meta": {"skewless": {"portable": True}}},
        }
        found.append(
            View(
                name=f"v{i}",
                entity="k",
                join_keys=(JoinKey("k", "int64"),),
                features=(Feature(name="f3", type="int64"),),
                unique_id=name,
            )
        )
    whole = {
        "metadata": {"adapter_type": "duckdb", "project_name": "p"},
        "nodes": nodes,
        "sources": {source["unique_id"]: source},
    }
    return whole, Registry(project="p", target="dev", views=tuple(found))


def run(sizes: tuple[int, ...] = (5, 20, 50)) -> None:
    """One model of so many features, warm; then 200 views of 20 features; then the catalogue's share that is not refused."""
    rows: list[dict[str, Any]] = [
        {"what": f"one model of {size} features", "lines": model(size).count("\n"), "cpu ms a model": warm(model(size))}
        for size in sizes
    ]
    wide, registry = manifest(200, 20)
    started = time.process_time()
    check_portable(Path("/nonexistent"), wide, registry)
    rows.append({"what": "200 views of 20 features", "lines": 0, "cpu ms a model": (time.process_time() - started) * 1000 / 200})
    cases = json.loads(CASES.read_text())
    report.table("check", rows)
    print(f"{len(cases)} constructs in the catalogue; tests/test_sql_catalogue.py holds the share that is allowed or rewritten.")
