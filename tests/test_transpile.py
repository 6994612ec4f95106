"""`skewless transpile`: a view and the models beneath it as one script, run on three engines; refusals as check gives them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from skewless.config import Config
from skewless.conformance.engines import Engine
from skewless.conformance.table import Table
from skewless.conformance.values import compare
from skewless.errors import SkewlessError
from skewless.registry.manifest import read_definitions
from skewless.stream.lower import ENGINES
from skewless.stream.lower.dag import Script, lower_view
from skewless.types import parse_type
from tests.registry_project import compiled, write_project

YAML = """
sources:
  - name: shop
    schema: main
    tables:
      - name: orders
        config: {meta: {skewless: {event_time: at_ms}}}
        columns:
          - {name: customer, data_type: varchar}
          - {name: at_ms, data_type: timestamp, data_tests: [not_null]}
          - {name: euros, data_type: "decimal(10,2)"}
          - {name: note, data_type: varchar}
models:
  - name: stg_orders
  - name: hourly
  - name: customer_orders
    config: &view
      contract: {enforced: true}
      materialized: table
      meta: {skewless: {entities: [customer]}}
    columns:
      - {name: customer, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - {name: orders_day, data_type: bigint}
      - {name: euros_week, data_type: "decimal(38,2)"}
  - name: bad_orders
    config: *view
    columns:
      - {name: customer, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - {name: spent, data_type: double}
"""
HOUR = "time_bucket(interval '1 hour', skw_in.at_ms, timestamp '1970-01-01')"
SQLS = {
    "stg_orders": "select customer, at_ms, euros from {{ source('shop', 'orders') }} where customer is not null",
    "hourly": f"""select customer, window_end as at_ms, count(*) as orders, sum(euros) as euros
        from (select skw_in.*, {HOUR} as window_start, {HOUR} + interval '1 hour' as window_end
        from {{{{ ref('stg_orders') }}}} as skw_in where 'skw:tumble;time=at_ms;size_ms=3600000;offset_ms=0' <> '') as w
        group by customer, window_start, window_end""",
    "customer_orders": """select customer, at_ms as event_timestamp,
        cast(sum(orders) over (
            partition by customer order by at_ms range between interval 1 day preceding and current row) as bigint) as orders_day,
        sum(cast(euros as decimal(20,2)))
            over (partition by customer order by at_ms range between interval 7 day preceding and current row) as euros_week
        from {{ ref('hourly') }}""",
    "bad_orders": """select customer, at_ms as event_timestamp, avg(euros / 3) over (order by at_ms desc) + random() as spent
        from {{ ref('stg_orders') }}""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any]]:
    config = write_project(tmp_path_factory.mktemp("transpile"), {"shop.yml": YAML}, SQLS)
    return config, compiled(config)


def script(project: tuple[Config, dict[str, Any]], engine: Any) -> Script:
    config, manifest = project
    registry, _ = read_definitions(config, manifest)
    return lower_view(manifest, registry.view("customer_orders"), "duckdb", engine)


def transpile(config: Config, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "skewless.cli", "transpile", *args]
    return subprocess.run(argv, cwd=config.root, capture_output=True, text=True)


def test_the_models_beneath_a_view_are_views_of_the_script(project: Any, golden: Any) -> None:
    flink = script(project, "flink")
    assert [name for name, _ in flink.views] == ["stg_orders", "hourly"]
    assert [(s.name, s.event_time) for s in flink.sources] == [("orders", "at_ms")]
    golden("flink/script.txt", flink.text())


def test_the_script_gives_the_same_rows_on_three_engines(project: Any, engines: dict[str, Engine]) -> None:
    """OVER by the end of a window: Flink orders by a column of its own, carried through the views."""
    types = {"customer": "string", "at_ms": "timestamp", "euros": "decimal(10,2)", "note": "string"}
    rows = [
        (c, datetime(2024, 2, 28 + h // 24, h % 24, (7 * h) % 60), Decimal(h * 137 % 1000) / 100, "é")
        for h in range(40) for c in ("a", None, "b")[: 1 + h % 3]
    ]
    table = Table({n: parse_type(t) for n, t in types.items()}, rows, "at_ms")
    answers = []
    for engine in ENGINES:
        made = script(project, engine)
        answers.append(engines[engine].run({"orders": table}, made.query, setup=made.setup()))
    assert len(answers[0].rows) > 40
    assert compare(answers[0], answers[1]) == [] and compare(answers[0], answers[2]) == []


def test_the_command_prints_what_can_be_pasted(project: Any) -> None:
    config, _ = project
    done = transpile(config, "customer_orders", "--to", "postgres")
    assert done.returncode == 0, done.stderr
    assert done.stdout == script(project, "postgres").text()


def test_everything_that_is_not_portable_is_said_at_once_with_its_line(project: Any) -> None:
    config, _ = project
    done = transpile(config, "bad_orders", "--to", "flink", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    errors = json.loads(done.stderr)["errors"]
    assert len(errors) >= 3 and all(e["code"].startswith("SK2") and e["hint"] for e in errors)
    assert {(e["level"], e["file"], e["line"]) for e in errors} == {("error", "models/bad_orders.sql", 1)}


def test_the_json_form_has_the_parts_of_the_script(project: Any) -> None:
    from skewless.cli.transpile import as_json

    made = as_json(script(project, "flink"))
    assert made["query"] == script(project, "flink").query and [v["name"] for v in made["views"]] == ["stg_orders", "hourly"]
    assert made["sources"] == [{"name": "orders", "event_time": "at_ms"}]


def test_an_unknown_engine_is_refused(project: Any) -> None:
    done = transpile(project[0], "customer_orders", "--to", "spark")
    assert (done.returncode, done.stdout) == (2, "") and "error[SK102]" in done.stderr


def test_two_relations_of_one_name_are_refused(project: Any) -> None:
    config, manifest = project
    registry, _ = read_definitions(config, manifest)
    twice = json.loads(json.dumps(manifest))
    twice["sources"]["source.shop.shop.orders"]["identifier"] = "hourly"
    with pytest.raises(SkewlessError, match='called "hourly"') as caught:
        lower_view(twice, registry.view("customer_orders"), "duckdb", "flink")
    assert caught.value.code == "SK823"


def test_help_shows_an_example() -> None:
    argv = [sys.executable, "-m", "skewless.cli", "transpile", "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=Path("/"))
    assert "--to flink" in done.stdout
