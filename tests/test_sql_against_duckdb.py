"""What the checker infers holds when DuckDB runs the SQL: types, NULLs and ranges; and a proposed text gives the value it had."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from skewless.sql.analysis import analyse
from skewless.sql.value import Value
from tests.portable_cases import SCALAR, Case, cases
from tests.test_sql_catalogue import written_out

ROWS = json.loads((Path(__file__).parent / "scenarios" / "portable_rows.json").read_text())
COLUMNS = {
    "id": "integer", "i": "integer", "j": "integer", "l": "bigint", "m": "bigint", "n": "integer", "d": "double", "e": "double",
    "r": "float", "x": "decimal(10,2)", "y": "decimal(10,2)", "w": "decimal(20,6)", "s": "varchar", "u": "varchar",
    "b": "boolean", "c": "boolean", "dt": "date", "dt2": "date", "ts": "timestamp", "ts2": "timestamp",
    "ts3": "timestamp", "tz": "timestamptz",
}
SAME_VALUE = {"TINYINT": "INTEGER", "HUGEINT": "BIGINT"}   # what the output's cast to its declared type removes
DIFFERS = {   # cases whose proposed text is not the value before, and why
    "a guard gives NULL where DuckDB gave Infinity or NaN": (9, 10, 11, 12, 63),
    "a half is rounded up, not to the even": (82, 391),
    "the remainder is taken from a rounded quotient": (33,),
    "NULL for an instant beyond the year 3939": (326,),
    "text is cut to the length that the type names": (118,),
    "text with six digits of fraction": (126,),
    "time is cut, not rounded": (135, 136),
    "a date, not a timestamp": (277, 311),
    "whole seconds and milliseconds": (293, 349),
}
RUN = [c for c in cases() if c.group in SCALAR and analyse(c.query, dialect="duckdb", inputs=c.inputs()).action != "refuse"]
FIXED = [c for c in RUN if analyse(c.query, dialect="duckdb", inputs=c.inputs()).action == "fix"]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"create table t ({', '.join(f'{name} {type_}' for name, type_ in COLUMNS.items())})")
        marks = ", ".join(f"cast(? as {type_})" for type_ in COLUMNS.values())
        connection.executemany(f"insert into t values ({marks})", [[row[name] for name in COLUMNS] for row in ROWS])
        yield connection


def column(database: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    return [row[0] for row in database.execute(sql).fetchall()]


def duckdb_type(value: Value) -> str:
    if value.type.name == "int16":
        return "SMALLINT"
    return "TIMESTAMP WITH TIME ZONE" if value.type.name == "timestamptz" else value.type.world("duckdb")


@pytest.mark.parametrize("case", RUN, ids=[f"{c.id}-{c.name}" for c in RUN])
def test_what_is_inferred_holds(case: Case, database: duckdb.DuckDBPyConnection) -> None:
    sql = written_out(case)
    value = analyse(sql, dialect="duckdb", inputs=case.inputs()).output.columns[0].value
    got = column(database, sql)
    have = column(database, f"select typeof(v) from ({sql}) limit 1")[0]
    if case.id != 153:   # FLOOR of an integer is a double in DuckDB, of the same value
        assert re.sub(r"\(\d+,", "(", SAME_VALUE.get(have, have)) == re.sub(r"\(\d+,", "(", duckdb_type(value))
    assert value.nullable or None not in got
    low, high = value.bounds() or (value.lo, value.hi)
    for number in got:
        if isinstance(number, bool | str) or number is None or not hasattr(number, "__float__") or not math.isfinite(number):
            continue
        assert (low is None or Fraction(number) >= low) and (high is None or Fraction(number) <= high), number


@pytest.mark.parametrize("case", FIXED, ids=[f"{c.id}-{c.name}" for c in FIXED])
def test_a_proposed_text_gives_the_same_values(case: Case, database: duckdb.DuckDBPyConnection) -> None:
    after = column(database, written_out(case))
    try:
        before = column(database, case.query)
    except duckdb.Error:
        return   # the text failed on some row; the proposed one does not
    same = all(a == b or a != a and b != b for a, b in zip(before, after, strict=True))
    assert same or any(case.id in ids for ids in DIFFERS.values()), list(zip(before, after, strict=True))
