"""Portable views in a dbt project: each mistake is refused at its line, and the hint works when it is followed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from skewless.config import Config
from skewless.project import read_project
from skewless.registry.finding import Finding
from tests.registry_project import write_project

SOURCES = """
sources:
  - name: shop
    schema: main
    tables:
      - name: orders
        config: {meta: {skewless: {stream: {topic: orders, event_timestamp: ts}, unique: [[k, ts]]}}}
        columns:
          - {name: k, data_type: bigint, data_tests: [not_null]}
          - {name: ts, data_type: timestamp}
          - {name: amount, data_type: double}
          - {name: items, data_type: integer}
          - {name: code, data_type: varchar, config: {meta: {skewless: {ascii: true}}}}
      - name: clicks
        config: {meta: {skewless: {stream: {topic: clicks, event_timestamp: ts}}}}
        columns:
          - {name: k, data_type: bigint, data_tests: [not_null]}
          - {name: ts, data_type: timestamp}
          - {name: page, data_type: integer}
      - name: raw
"""
ORDERS, CLICKS = "{{ source('shop', 'orders') }}", "{{ source('shop', 'clicks') }}"
HOUR = "range between interval '1' hour preceding and current row"
WINDOW = f"over (partition by k order by ts {HOUR})"


@dataclass(frozen=True)
class Mistake:
    """A query that is wrong at `line` (and `column`, 0 for any), and the query that follows the hint."""

    name: str
    code: str
    sql: str
    line: int
    column: int
    hint: str
    followed: str
    type: str = "bigint"


def select(expression: str, rows: str = ORDERS) -> str:
    return f"select\n    k,\n    ts as event_timestamp,\n    {expression} as v\nfrom {rows}"


MISTAKES = [
    Mistake("no_parse", "SK201", select("items between 1"), 4, 0, "dbt compile", select("cast(items as bigint) + 2")),
    Mistake("no_column", "SK202", select("item"), 4, 5, 'Did you mean "items"?', select("items"), "integer"),
    Mistake(
        "star_join",
        "SK202",
        f"select *\nfrom {ORDERS} as o\nasof join {CLICKS} as c on o.k = c.k and o.ts >= c.ts",
        1,
        8,
        "List the columns",
        f"select o.k, o.ts as event_timestamp, o.items as v from {ORDERS} as o",
        "integer",
    ),
    Mistake(
        "one_engine",
        "SK203",
        select("list_contains(code, 'a')"),
        4,
        5,
        "docs/portable-sql.md",
        select("code like '%a%'"),
        "boolean",
    ),
    Mistake(
        "float_sum",
        "SK210",
        select(f"sum(amount) {WINDOW}"),
        4,
        5,
        "sum_fixed",
        select("{{ skewless.sum_fixed('amount', 2, over=\"(partition by k order by ts)\") }}"),
        "double",
    ),
    Mistake(
        "month",
        "SK217",
        select(f"count(*) {WINDOW.replace('hour', 'month')}"),
        4,
        5,
        "Use days",
        select(f"count(*) {WINDOW.replace(chr(39) + '1' + chr(39) + ' hour', chr(39) + '30' + chr(39) + ' day')}"),
    ),
    Mistake("now", "SK216", select("date_diff('second', ts, now())"), 4, 0, "event time", select("date_diff('second', ts, ts)")),
    Mistake(
        "retract",
        "SK219",
        f"select o.k, o.ts as event_timestamp, c.page as v\nfrom {ORDERS} as o\nleft join {CLICKS} as c on o.k = c.k",
        3,
        0,
        "bound the event time",
        f"select o.k, o.ts as event_timestamp, c.page as v\nfrom {ORDERS} as o\nleft join {CLICKS} as c on "
        "o.k = c.k and c.ts between o.ts - interval '1' hour and o.ts",
        "integer",
    ),
    Mistake(
        "ties",
        "SK218",
        select("lag(page) over (partition by k order by ts)", CLICKS),
        4,
        5,
        "unique",
        select("lag(items) over (partition by k order by ts)"),
        "integer",
    ),
    Mistake(
        "untyped",
        "SK202",
        "select k, ts as event_timestamp, v from {{ source('shop', 'raw') }}",
        1,
        0,
        "data_type",
        select("items"),
        "integer",
    ),
    Mistake(
        "integer_division",
        "SK206",
        select("items / 2"),
        4,
        5,
        "CAST(items AS DOUBLE)",
        select("cast(items as double) / 2"),
        "double",
    ),
    Mistake("wrong_type", "SK204", select("code || 'x'"), 4, 0, "explicit form", select("char_length(code || 'x')")),
    Mistake("narrow", "SK207", select(f"sum(items) {WINDOW}"), 4, 0, "wider", select(f"sum(items) {WINDOW}"), "integer"),
]


def model_yaml(mistake: Mistake, name: str, type_: str) -> str:
    return yaml.safe_dump(
        {
            "models": [
                {
                    "name": name,
                    "config": {
                        "contract": {"enforced": True},
                        "meta": {
                            "skewless": {
                                "entities": [{"name": "customer", "join_keys": ["k"]}],
                                "portable": True,
                                "ttl": "1h",
                                "availability_delay": "1m",
                                "online": False,
                            }
                        },
                    },
                    "columns": [
                        {"name": "k", "data_type": "bigint"},
                        {"name": "event_timestamp", "data_type": "timestamp"},
                        {"name": "v", "data_type": type_},
                    ],
                }
            ]
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, list[Any]]:
    """One project with a wrong and a right model for each mistake; what `check` finds in it."""
    yamls, sqls = {"sources.yml": SOURCES}, {}
    for mistake in MISTAKES:
        for name, sql in ((f"bad_{mistake.name}", mistake.sql), (f"good_{mistake.name}", mistake.followed)):
            wide = "bigint" if name == "good_narrow" else mistake.type
            yamls[f"{name}.yml"], sqls[name] = model_yaml(mistake, name, wide), sql
    week = select(f"count(*) {WINDOW.replace(HOUR, HOUR.replace('1', '7').replace('hour', 'day'))}")
    for name, lookback in (("short", "1d"), ("long", "7d")):
        block = MISTAKES[0], name, "bigint"
        text = model_yaml(*block).replace(
            "ttl: 1h", f"input_lookback: {lookback}\n        ttl: {'7d' if name == 'short' else '8d'}"
        )
        yamls[f"{name}.yml"], sqls[name] = text, week + "\nwhere {{ skewless.input_window('ts') }}"
    root = tmp_path_factory.mktemp("portable")
    config = write_project(root, yamls, sqls)
    package = Path(__file__).parent.parent
    (root / "packages.yml").write_text(f"packages: [{{local: {package}}}]\n")
    return config, read_project(config, advice=True).findings


def of(findings: list[Any], name: str) -> list[Finding]:
    return [f for f in findings if isinstance(f, Finding) and f.subject == f'view "{name}"' and f.level in ("error", "warning")]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_is_refused_at_its_line(mistake: Mistake, project: tuple[Config, list[Any]]) -> None:
    found = [f for f in of(project[1], f"bad_{mistake.name}") if f.code == mistake.code]
    assert found, [f.render() for f in of(project[1], f"bad_{mistake.name}")]
    assert found[0].level == "error" and found[0].file == f"models/bad_{mistake.name}.sql"
    assert found[0].line == mistake.line and mistake.column in (0, found[0].column)
    assert mistake.hint in found[0].hint


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_the_hint_works_when_it_is_followed(mistake: Mistake, project: tuple[Config, list[Any]]) -> None:
    assert not of(project[1], f"good_{mistake.name}"), [f.render() for f in of(project[1], f"good_{mistake.name}")]


def test_a_lookback_shorter_than_a_window_is_told(project: tuple[Config, list[Any]]) -> None:
    found = {f.subject: f for f in project[1] if isinstance(f, Finding) and f.code == "SK135"}
    assert set(found) == {'view "short"'}
    assert found['view "short"'].line and found['view "short"'].hint.endswith("Declare input_lookback: 7d")


def test_a_ttl_longer_than_a_window_is_advice(project: tuple[Config, list[Any]]) -> None:
    assert {f.subject for f in project[1] if isinstance(f, Finding) and f.code == "SK133"} == {'view "long"'}


def test_a_macro_that_fails_is_told_with_its_model(tmp_path: Path) -> None:
    config = write_project(tmp_path, {}, {"m": "select {{ exceptions.raise_compiler_error('no such unit: fortnight') }} as a"})
    command = [sys.executable, "-m", "skewless.cli", "check", "--project-dir", config.root]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr
    assert "no such unit: fortnight" in done.stderr and "models/m.sql" in done.stderr


def test_batch_views_get_advice_that_strict_enforces(tmp_path: Path) -> None:
    mistake = next(m for m in MISTAKES if m.name == "integer_division")
    text = model_yaml(mistake, "shares", "double").replace("portable: true", "portable: false")
    config = write_project(tmp_path, {"sources.yml": SOURCES, "shares.yml": text}, {"shares": mistake.sql})
    command = [sys.executable, "-m", "skewless.cli", "check", "--json", "--strict", "--project-dir", config.root]
    done = subprocess.run(command, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    found = [f for f in answer["findings"] if f["code"] == "SK206"]
    assert [(f["level"], f["line"], f["column"]) for f in found] == [("advice", 4, 5)]
    assert (answer["error"], answer["warning"], done.returncode) == (0, 0, 1)
