"""Printed queries: Flink's text is a golden file, and every text gives the rows that the query gives on DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from sqlglot import exp

from skewless.conformance.engines import Answer, Engine
from skewless.conformance.values import Rows, compare
from skewless.errors import Findings, SkewlessError
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.value import FLOAT64, INT32, INT64, STRING
from skewless.stream.lower import ENGINES, lower
from skewless.types import Type
from tests.lower_cases import CASES, inputs, tables

# What stands beside a macro's marker is not its meaning.
PLAIN = sorted(name for name, sql in CASES.items() if "skw:" not in sql)
# What Postgres is given for these is no portable model: macros, LATERAL, frames without an end, bytes, floor of a double.
NO_MODEL = {
    "as_of_macro", "asof", "asof_inner", "cascade", "cumulate", "hop", "interval_ends", "join_over", "session",
    "session_filtered", "texts", "times", "tumble_week",
}


@cache
def analysed(name: str) -> Analysis:
    return analyse(CASES[name], dialect="duckdb", inputs=inputs())


@pytest.fixture(scope="module")
def answers(engines: dict[str, Engine]) -> dict[tuple[str, str], Answer]:
    """(case, engine) -> rows; `query` stands for the query itself on DuckDB."""
    data, names = tables(), sorted(CASES)
    out: dict[tuple[str, str], Answer] = {}
    for engine in ENGINES:
        texts = [lower(analysed(name), engine=engine) for name in names]
        for name, answer in zip(names, engines[engine].run_many(data, texts), strict=True):
            out[name, engine] = answer
    for name, answer in zip(PLAIN, engines["duckdb"].run_many(data, [CASES[n] for n in PLAIN]), strict=True):
        out[name, "query"] = answer
    return out


@pytest.mark.parametrize("name", sorted(CASES))
def test_flink_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"flink/{name}.sql", lower(analysed(name), engine="flink") + "\n")


@pytest.mark.parametrize("engine", ["postgres", "flink"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_rows_are_those_of_duckdb(name: str, engine: str, answers: dict[tuple[str, str], Answer]) -> None:
    left, right = rows(answers[name, "duckdb"]), rows(answers[name, engine])
    assert compare(left, right) == []
    assert left.rows or name == "empty"


@pytest.fixture(scope="module")
def from_postgres(engines: dict[str, Engine]) -> dict[tuple[str, str], Answer]:
    """(case, engine) -> rows of the text for Postgres, read as the model of a Postgres project."""
    names, out = sorted(set(CASES) - NO_MODEL), dict[tuple[str, str], Answer]()
    models = {n: analyse(lower(analysed(n), engine="postgres"), dialect="postgres", inputs=inputs()) for n in names}
    for engine in ENGINES:
        texts = [lower(models[name], engine=engine) for name in names]
        for name, answer in zip(names, engines[engine].run_many(tables(), texts), strict=True):
            out[name, engine] = answer
    return out


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(set(CASES) - NO_MODEL))
def test_a_postgres_model_gives_its_rows_everywhere(
    name: str, engine: str, answers: dict[tuple[str, str], Answer], from_postgres: dict[tuple[str, str], Answer]
) -> None:
    assert compare(rows(answers[name, "postgres"]), rows(from_postgres[name, engine])) == []


@pytest.mark.parametrize("name", PLAIN)
def test_the_text_means_the_query(name: str, answers: dict[tuple[str, str], Answer]) -> None:
    """The query itself differs at most in the width of numbers, which the output's casts settle, and in -0.0."""
    left, right = rows(answers[name, "query"]), rows(answers[name, "duckdb"])
    zero = [tuple("d:" + "0" * 16 if cell == "d:8" + "0" * 15 else cell for cell in row) for row in left.rows]
    assert compare(Rows(left.columns, left.types, zero), right, level="value") == []


def rows(answer: Answer) -> Rows:
    if isinstance(answer, SkewlessError):
        raise answer
    return answer


def test_columns_come_in_the_declared_order_and_type() -> None:
    text = lower(analysed("static_join"), engine="postgres", columns={"w": FLOAT64, "o": Type("decimal", 20, 0)})
    assert text.index('AS "w"') < text.index('AS "o"')
    assert 'CAST("o" AS NUMERIC(20,0))' in text and "DOUBLE PRECISION" in text


@pytest.mark.parametrize(
    ("columns", "fact"), [({"o": INT32}, None), ({"o": STRING}, "declared string"), ({"z": INT64}, 'no column "z"')]
)
def test_a_column_that_cannot_become_its_type_is_refused(columns: dict[str, Type], fact: str | None) -> None:
    if fact is None:
        assert "AS INT)" in lower(analysed("filtered"), engine="flink", columns=columns)   # its range fits
        return
    with pytest.raises(SkewlessError, match=fact) as caught:
        lower(analysed("filtered"), engine="flink", columns=columns)
    assert caught.value.code == "SK822"


def test_what_the_rules_refuse_is_not_printed() -> None:
    bad = analyse("select o, now() as t, median(i) over (order by ts desc) as m from ev", dialect="duckdb", inputs=inputs())
    with pytest.raises(Findings) as caught:
        lower(bad, engine="duckdb")
    assert len(caught.value.findings) >= 2


def test_a_node_without_a_printer_is_refused() -> None:
    made = analyse("select o, i from ev", dialect="duckdb", inputs=inputs())
    made.query.set("expressions", [exp.alias_(exp.Cbrt(this=exp.column("i", table="ev")), "o")])
    with pytest.raises(SkewlessError, match="has no form in flink") as caught:
        lower(made, engine="flink")
    assert caught.value.code == "SK820"


@pytest.mark.parametrize("argument", ["format", "safe_cast_to"])
def test_an_argument_that_no_printer_reads_is_refused(argument: str) -> None:
    made = analyse("select abs(o) as o from ev", dialect="duckdb", inputs=inputs())
    made.query.find(exp.Abs).set(argument, exp.Literal.string("x"))   # type: ignore[union-attr]
    with pytest.raises(SkewlessError, match=f"with {argument} has no form"):
        lower(made, engine="flink")


def test_tables_get_the_names_that_are_asked_for() -> None:
    made = analyse('select o from "dev"."main"."ev"', dialect="duckdb", inputs=inputs())
    text = lower(made, engine="flink", tables={"main.ev": "events_v2"})
    assert "`events_v2`.`o`" in text and "FROM `events_v2`\n" in text
    assert 'FROM "ev"' in lower(made, engine="postgres")


def test_printing_twice_gives_the_same_text() -> None:
    for name in CASES:
        assert lower(analysed(name), engine="flink") == lower(analysed(name), engine="flink")
