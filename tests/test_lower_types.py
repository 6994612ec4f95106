"""Inside of Postgres's texts each expression has the type that the checker gave it: a CAST of the result hides what it mends."""

from __future__ import annotations

import os
from typing import Any

import pytest
from sqlglot import exp

from skewless.conformance.data import Dataset, dataset
from skewless.conformance.engines import Postgres
from skewless.conformance.grammar import Grammar
from skewless.errors import SkewlessError
from skewless.sql.analysis import analyse
from skewless.sql.value import Value
from skewless.stream.lower import lower
from skewless.stream.lower.printer import Printer

DATASETS, VIEWS = (60 if os.environ.get("SKEWLESS_SOAK") else 3), 12
TYPES = {
    "int32": ("int4", "int8"), "int64": ("int4", "int8"), "float64": ("float8",), "decimal": ("numeric",), "string": ("text",),
    "timestamp": ("timestamp",), "date": ("date",), "bool": ("bool",),
}
# Postgres would cast these on its own.
OTHERS = {"float64": ("int4", "int8", "numeric"), "decimal": ("int4", "int8"), "timestamp": ("date",)}
# Texts that the one around takes apart, aggregates before their OVER, and what is cast to its type only by the one around.
BARE = (
    exp.Literal, exp.Null, exp.Boolean, exp.Var, exp.Star, exp.Interval, exp.Neg, exp.Cast, exp.Column, exp.Paren, exp.Alias,
    exp.Window, exp.AggFunc, exp.Filter, exp.RowNumber, exp.Like, exp.Escape, exp.Floor, exp.Extract,
)


@pytest.fixture
def typed(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """Each expression is printed as an argument of a function that takes its type only."""
    plain = Printer.text

    def text(printer: Printer, node: exp.Expr) -> str:
        known, printed = node.meta.get("value"), plain(printer, node)
        if isinstance(node, BARE) or not isinstance(known, Value) or known.type.name not in TYPES:
            return printed
        return f"skw_{known.type.name}({printed})"

    monkeypatch.setattr(Printer, "text", text)
    return postgres


def functions() -> list[str]:
    body = "create or replace function skw_{0}(x {1}) returns {1} immutable language "
    takes = [body.format(name, type_) + "sql as 'select x'" for name, types in TYPES.items() for type_ in types]
    return takes + [
        body.format(name, type_) + f"plpgsql as $$begin raise exception 'not {name} but {type_}'; end$$"
        for name, types in OTHERS.items() for type_ in types
    ]


def run(postgres: Postgres, data: Dataset, queries: list[str]) -> list[Any]:
    return postgres.run_many(data.tables, queries, setup=functions())


def test_every_expression_has_its_type(typed: Postgres) -> None:
    for seed in range(DATASETS):
        data = dataset(seed, 20)
        grammar = Grammar(data.seed, data.inputs, None)
        queries = []
        for view in [grammar.view() for _ in range(VIEWS)]:
            analysis = analyse(view.sql, dialect="duckdb", inputs=data.inputs, stream=view.streams)
            try:
                queries.append(lower(analysis, engine="postgres"))
            except SkewlessError as error:
                assert error.code == "SK820", error
        assert len(queries) > VIEWS / 2 and any("skw_float64(" in query for query in queries)
        wrong = [answer for answer in run(typed, data, queries) if isinstance(answer, SkewlessError)]
        assert not wrong, wrong[0]


@pytest.mark.parametrize(("text", "said"), [
    ("skw_int64(round(1::bigint, -1))", "numeric"), ("skw_decimal(1)", "not decimal but int4"),
])
def test_another_type_is_told(postgres: Postgres, text: str, said: str) -> None:
    (answer,) = run(postgres, dataset(1, 5), [f"select {text} as c"])
    assert isinstance(answer, SkewlessError) and said in str(answer)
