"""`skewless fix`: the text of a model file becomes portable; Jinja and comments stay; the values stay; twice is once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.fix import fix_views
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.fix import FROM_JINJA, HAS_COMMENT, fix_text
from skewless.sql.value import Value, relation
from skewless.types import parse_type
from tests.registry_project import write_project

EXAMPLES = 3000 if os.environ.get("SKEWLESS_SOAK") else 150
TYPES = {
    "k": "int64", "ts": "timestamp", "x": "float64", "i": "int32", "b": "int64", "d": "decimal(10,2)", "s": "string", "f": "bool",
}
RATIO = "cast(i as double) / nullif(cast(b as double), 0)"
INPUT = relation(
    {name: Value(parse_type(kind), nullable=name not in ("k", "ts")) for name, kind in TYPES.items()},
    event_time="ts", unique=(("k", "ts"),),
)


def read(sql: str, dialect: str = "duckdb") -> Analysis:
    return analyse(sql, dialect=dialect, inputs={"t": INPUT, "main.t": INPUT})


def compiled(text: str) -> str:
    """The model file as dbt would compile it."""
    return jinja2.Environment(keep_trailing_newline=True).from_string(text).render(ref=lambda name: f'"main"."{name}"')


def fixed(text: str, dialect: str = "duckdb") -> tuple[str, Any]:
    done = fix_text(text, compiled(text), lambda sql: read(sql, dialect))
    assert compiled(done.text) == done.compiled
    return done.text, done


CASES = {
    "a division": ("select k, i / b as r from t", "select k, cast(i as double) / nullif(cast(b as double), 0) as r from t"),
    "in its case": ("SELECT k, i / b AS r FROM t", "SELECT k, CAST(i AS DOUBLE) / NULLIF(CAST(b AS DOUBLE), 0) AS r FROM t"),
    "inside an operator": (
        "select k, 1 - avg(i) as r from t group by k",
        "select k, 1 - (cast(sum(cast(i as bigint)) as double) / nullif(cast(count(i) as double), cast(0 as double))) as r"
        " from t group by k",
    ),
    "beside a comparison": ("select k, ts from t where i % b = 1", "select k, ts from t where i % nullif(b, 0) = 1"),
    "inside a comment": (
        "-- i / b\nselect k, /* i / b */ i / b as r from t",
        "-- i / b\nselect k, /* i / b */ cast(i as double) / nullif(cast(b as double), 0) as r from t",
    ),
    "over a named window": (
        "select k, ts, avg(i) over w as m from t window w as (partition by k order by ts)",
        "select k, ts, cast(sum(cast(i as bigint)) over w as double) / nullif(cast(count(i) over w as double), cast(0 as double))"
        " as m from t window w as (partition by k order by ts)",
    ),
    "twice the same text": (
        "select k, i / b as r, i / b as q from t",
        f"select k, {RATIO} as r, {RATIO} as q from t",
    ),
    "between Jinja": (
        "{% set n = 3 %}select k, i / b as r{# i / b #}, {{ n }} as n from {{ ref('t') }}",
        "{% set n = 3 %}select k, " + RATIO + " as r{# i / b #}, {{ n }} as n from {{ ref('t') }}",
    ),
    "nothing to do": ("select k, ts, count(*) over (partition by k order by ts) as n from t", None),
    "text that looks like SQL": ("select k, 'i / b' as r from t", None),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    text, wanted = CASES[name]
    assert fixed(text)[0] == (wanted or text)


def test_postgres_has_its_own_spelling() -> None:
    text, _ = fixed("select k, 1 - avg(i) as r from t group by k", "postgres")
    assert "cast(sum(cast(i as bigint)) as double precision) / nullif(cast(count(i) as double precision)" in text


@pytest.mark.parametrize(("text", "reason"), [
    ("select k, {{ 'i / b' }} as r from t", FROM_JINJA),
    ("select k, i / {{ 'b' }} as r from t", FROM_JINJA),
    ("select k{% for c in ['i', 'd'] %}, i / b as {{ c }}_r{% endfor %} from t", FROM_JINJA),
    ("select k, i /* over */ / b as r from t", HAS_COMMENT),
    ("select k, i -- a\n / b as r from t", HAS_COMMENT),
])
def test_what_is_not_certain_is_left_and_told(text: str, reason: str) -> None:
    after, done = fixed(text)
    assert after == text and not done.made
    assert {c.reason for c in done.left} == {reason}
    assert all("nullif(cast(b as double), 0)" in c.after and c.line == 1 for c in done.left)


# ---- any model

NUMBERS = st.sampled_from(["i", "b", "d", "x", "3", "2.5", "k"])
JINJA = st.sampled_from(["{{ 'i' }}", "{{ 'x + 1' }}", "{{ 'i / b' }}"])


def operations(inner: Any) -> Any:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda p: f"{p[0]} / {p[1]}"), pair.map(lambda p: f"({p[0]} - {p[1]})"),
        pair.map(lambda p: f"{p[0]}\n      + {p[1]}"), pair.map(lambda p: f"coalesce({p[0]}, {p[1]})"),
        inner.map(lambda e: f"cast({e} as double)"),
        inner.map(lambda e: f"case when f then {e} end"), inner.map(lambda e: f"-({e})"),
    )


EXPRESSIONS = st.recursive(NUMBERS | JINJA, operations, max_leaves=4)
AGGREGATES = st.tuples(st.sampled_from(["avg({})", "count({})", "min({})", "1 - avg({})", "2 / avg({})", "avg({}) / 3"]),
                       st.sampled_from(["i", "b", "k", "{{ 'i' }}", "i /* the int */"])).map(lambda p: p[0].format(p[1]))
TEXTS = st.sampled_from([
    "cast(f as varchar)", "concat(s, f)", "s || i", "trim(s)", "substring(s, 0, 3)", "f::varchar", "concat({{ 's' }}, 'x')",
])
COMMENTS = st.sampled_from(["", " -- i / b: why", " /* avg(i) */", "{# avg(i) #}", " -- don't"])


WINDOW = "window w as (partition by k order by ts range between interval 1 minute preceding and current row)\n"


@st.composite
def models(draw: st.DrawFn) -> str:
    """A model file: plain columns or windowed aggregates, comments and Jinja in between."""
    windowed = draw(st.booleans())
    items = draw(st.lists(AGGREGATES if windowed else EXPRESSIONS | TEXTS, min_size=1, max_size=4))
    lines = []
    for n, item in enumerate(items):
        if windowed:
            item = re.sub(r"((?:avg|count|min)\((?:[^()]|\([^()]*\))*\))", r"\1 over w", item)
        lines.append(f"    {item} as c{n},{draw(COMMENTS)}\n")
    where = draw(st.sampled_from([
        "", "where i % 2 = 1\n", "where b % i = 0 and f -- some\n", "{% if true %}where i / b > 1\n{% endif %}",
    ]))
    window = WINDOW if windowed else ""
    head = draw(st.sampled_from(["", "-- a model: i / b\n", "{{- '' -}}\n", "{% set n = 3 %}\n"]))
    text = f"{head}select\n{''.join(lines)}    k, ts as event_timestamp\nfrom {{{{ ref('t') }}}}\n{where}{window}"
    return text.upper().replace("REF('T')", "ref('t')") if head == "" and "{{ '" not in text and "{%" not in text else text


def kept(text: str) -> list[str]:
    """Its Jinja and comments."""
    return re.findall(r"{{.*?}}|{%.*?%}|{#.*?#}|--[^\n]*|/\*.*?\*/", text)


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    # What a division by zero gives is the one thing that the explicit form changes: NULL instead of an error or Infinity.
    for setting in ("TimeZone = 'UTC'", "ieee_floating_point_ops = false", "error_on_division_by_zero = false"):
        con.execute(f"set {setting}").fetchall()
    con.execute(
        "create table t as select k::bigint as k, timestamp '2026-01-01' + to_seconds(20 * n) as ts,"
        " (n * 7 % 11 - 5) / 4.0::double as x, (n * 5 % 7 - 3)::integer as i, (n * 3 % 5 - 1)::bigint as b,"
        " (n * 37 % 19 - 7)::decimal(10,2) / 4 as d0,"
        " 'é' || n as s, case n % 3 when 0 then true when 1 then false end as f"
        " from (select range as n, range % 2 as k from range(40))"
    ).fetchall()
    con.execute("alter table t add column d decimal(10,2)").fetchall()
    con.execute("update t set d = d0, i = case when i = 2 then null else i end, s = nullif(s, 'é7')").fetchall()
    return con


@settings(max_examples=EXAMPLES, deadline=None)
@given(models())
def test_any_model(con: duckdb.DuckDBPyConnection, text: str) -> None:
    after, done = fixed(text)
    again, more = fixed(after)
    assert again == after and not more.made
    assert kept(after) == kept(text)
    assert all(f.fix is None or done.left for f in read(done.compiled).findings)
    assert rows(con, compiled(text)) == rows(con, done.compiled), after


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Names and rows of a result; a number is the same in any type."""
    found = con.sql(sql)
    same = [tuple(float(v) if isinstance(v, int | Decimal) else v for v in row) for row in found.fetchall()]
    return found.columns, sorted(same, key=str)


# ---- a project

YAML = """
sources:
  - name: shop
    tables:
      - name: orders
        columns:
          - {name: customer_id, data_type: bigint, data_tests: [not_null]}
          - {name: ordered_at, data_type: timestamp, data_tests: [not_null]}
          - {name: cents, data_type: integer}
          - {name: items, data_type: integer}
models:
  - name: stg_orders
    config: {materialized: view}
  - name: customer_orders
    config:
      materialized: table
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: customer, join_keys: [customer_id]}], portable: true}}
    columns:
      - {name: customer_id, data_type: bigint}
      - {name: event_timestamp, data_type: timestamp}
      - {name: mean_price, data_type: double}
      - {name: price, data_type: double}
  - name: plain_orders
    config:
      materialized: table
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: customer, join_keys: [customer_id]}]}}
    columns:
      - {name: customer_id, data_type: bigint}
      - {name: event_timestamp, data_type: timestamp}
      - {name: mean_cents, data_type: double}
"""
STAGING = """-- cents / items
select customer_id, ordered_at, cents, items, cents / items as price
from {{ source('shop', 'orders') }}
"""
VIEW = """select
    customer_id,
    ordered_at as event_timestamp,
    avg(cents) over last_day as mean_price,   -- avg(cents)
    {{ 'cents / items' }} as price
from {{ ref('stg_orders') }}
window last_day as (partition by customer_id order by ordered_at range between interval 1 day preceding and current row)
"""
PLAIN = """select
    customer_id, ordered_at as event_timestamp, avg(cents) over (partition by customer_id order by ordered_at) as mean_cents
from {{ ref('stg_orders') }}
"""
ORDERS = """
create table shop.orders as
select range % 3 as customer_id, timestamp '2026-01-01' + to_hours(5 * range) as ordered_at, (range * 7 % 13)::int as cents,
    (1 + range % 4)::int as items
from range(50)
"""


def project(root: Path, yaml: str = YAML) -> Config:
    return write_project(root, {"models.yml": yaml}, {"stg_orders": STAGING, "customer_orders": VIEW, "plain_orders": PLAIN})


def skewless(config: Config, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "skewless.cli", *args, "--project-dir", str(config.root)]
    return subprocess.run(argv, capture_output=True, text=True)


def values(config: Config) -> list[Any]:
    """The rows of customer_orders by the SQL that dbt compiled last."""
    nodes = json.loads((Path(config.root) / "target" / "manifest.json").read_text())["nodes"]
    con = duckdb.connect()
    con.execute("attach ':memory:' as dev; use dev; create schema shop").fetchall()
    con.execute(ORDERS).fetchall()
    con.execute(f"create view main.stg_orders as {nodes['model.shop.stg_orders']['compiled_code']}").fetchall()
    return sorted(con.sql(nodes["model.shop.customer_orders"]["compiled_code"]).fetchall())


def test_a_project(tmp_path: Path) -> None:
    config = project(tmp_path)
    models = Path(config.root) / "models"
    (models / "customer_orders.sql").write_bytes(VIEW.replace("\n", "\r\n").encode())
    shown = skewless(config, "fix", "--diff")
    assert shown.returncode == 1, shown.stderr
    assert "--- a/models/stg_orders.sql\n+++ b/models/stg_orders.sql\n" in shown.stdout
    price = "cast(cents as double) / nullif(cast(items as double), 0)"
    assert f"+select customer_id, ordered_at, cents, items, {price} as price\n" in shown.stdout
    assert (models / "stg_orders.sql").read_text() == STAGING, "--diff writes nothing"
    before = values(config)

    done = skewless(config, "fix")
    assert done.returncode == 1, done.stderr
    assert "2 changes in 2 of 2 models, 1 to make by hand" in done.stderr
    told = f"models/customer_orders.sql:5: SK206 Jinja gives this SQL; write it by hand:\n  - cents / items\n  + {price}\n"
    assert told in done.stdout
    text = (models / "customer_orders.sql").read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == VIEW.count("\n")
    assert "cast(sum(cast(cents as bigint)) over last_day as double) / " in text
    assert "-- avg(cents)\r\n    {{ 'cents / items' }} as price" in text
    assert (models / "plain_orders.sql").read_text() == PLAIN, "a view that is not portable is left alone"
    assert values(config) == before

    (models / "customer_orders.sql").write_bytes(text.replace("{{ 'cents / items' }}", price).encode())
    again = skewless(config, "fix", "customer_orders", "plain_orders", "--json", "--diff")
    assert [(m["file"], m["changed"], len(m["left"])) for m in json.loads(again.stdout)["models"]] == [
        ("models/stg_orders.sql", False, 0), ("models/customer_orders.sql", False, 0), ("models/plain_orders.sql", True, 0),
    ]
    assert values(config) == before
    found = json.loads(skewless(config, "check", "--json").stdout)["findings"]
    assert not [f for f in found if f["code"].startswith("SK2") and f["level"] == "error"]


def test_files_get_their_text_back_when_dbt_cannot_compile_the_change(tmp_path: Path) -> None:
    config = project(tmp_path)
    path = Path(config.root) / "models" / "stg_orders.sql"
    trap = "{% if 'nul' ~ 'lif' in model.raw_code %}{{ exceptions.raise_compiler_error('no guards here') }}{% endif %}\n"
    path.write_text(trap + STAGING)
    path.chmod(0o640)
    with pytest.raises(SkewlessError, match="SK242") as error:
        fix_views(config, write=True)
    assert "no guards here" in error.value.detail and "The files are as they were." in error.value.detail
    assert path.read_text() == trap + STAGING and path.stat().st_mode & 0o777 == 0o640
    assert (Path(config.root) / "models" / "customer_orders.sql").read_text() == VIEW
    assert not list(path.parent.glob(".*"))


def test_no_view_is_portable(tmp_path: Path) -> None:
    config = project(tmp_path, YAML.replace(", portable: true", ""))
    done = skewless(config, "fix")
    assert done.returncode == 0 and "no view streams or is portable" in done.stderr
