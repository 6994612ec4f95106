"""The catalogue of SQL constructs: what was measured of each, the relations that they read, and their values on three engines."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from skewless.conformance.data import Dataset
from skewless.conformance.engines import Engine
from skewless.conformance.fuzz import differences, run_ways, texts
from skewless.conformance.table import Table
from skewless.errors import SkewlessError
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.fix import fix_text
from skewless.sql.value import (
    BOOL,
    DATE,
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    STRING,
    TIMESTAMP,
    TIMESTAMPTZ,
    Column,
    Relation,
    Value,
    relation,
)
from skewless.types import Type

FILE = Path(__file__).parent / "catalogue.json"
SCALAR = ("arith", "cast", "round", "compare", "null", "case", "string", "datetime")
MEANS = {"agree": ("allow", "lower"), "cast": ("allow", "lower"), "rewrite": ("lower", "fix"), "refuse": ("refuse",)}
ROWS = 40
START = datetime(2024, 3, 30, 22)


@dataclass(frozen=True)
class Case:
    """One construct. `catalogue`: its verdict by measurement; `ours`, `why`: the checker's action where it differs, and why.

    `contract`: column -> what is declared of it beside its type.
    """

    id: int
    group: str
    name: str
    catalogue: str
    sql: str
    why_sql: str = ""
    contract: dict[str, dict[str, Any]] = field(default_factory=dict)
    ours: str = ""
    why: str = ""

    @property
    def query(self) -> str:
        """The construct as a whole query."""
        return f"select {self.sql} as v from t" if self.group in SCALAR else self.sql

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that the checker may take."""
        return (self.ours,) if self.ours else MEANS[self.catalogue]

    def inputs(self) -> dict[str, Relation]:
        """The relations of the catalogue, with the case's contracts."""
        return {name: _under(rows, self.contract) for name, rows in INPUTS.items()} if self.contract else INPUTS

    def analysis(self) -> Analysis:
        """What the checker says of the construct."""
        return analyse(self.query, dialect="duckdb", inputs=self.inputs())

    def run_as(self, sql: str) -> Analysis:
        """What the checker says of a query over the tables as they are in the engines: without a column with a zone."""
        return analyse(sql, dialect="duckdb", inputs={name: _unzoned(rows) for name, rows in self.inputs().items()})

    def executed(self) -> str:
        """The query that is run: written out as the findings propose; of a value, with the number of its row beside it.

        No engine's table has a column with a zone, so that one is made of the instant beside it.
        """
        query = self.query
        if self.group in SCALAR:
            rows = "(select *, cast(ts3 as timestamptz) as tz from t) as t" if _names(self.sql, "tz") else "t"
            query = f"select id, {self.sql} as v from {rows}"
        return fix_text(query, query, self.run_as).text


def _names(sql: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", sql) is not None


def cases() -> list[Case]:
    """All constructs, by number."""
    return [Case(**row) for row in json.loads(FILE.read_text())]


def _unzoned(rows: Relation) -> Relation:
    return replace(rows, columns=tuple(c for c in rows.columns if c.name != "tz"))


def _under(rows: Relation, contract: dict[str, dict[str, Any]]) -> Relation:
    return replace(rows, columns=tuple(
        Column(c.name, _declared(c.value, contract[c.name]) if c.name in contract else c.value) for c in rows.columns))


def _declared(value: Value, facts: dict[str, Any]) -> Value:
    lo, hi = facts.get("range", (value.lo, value.hi))
    rest = {k: v for k, v in facts.items() if k != "range"}
    return replace(value, lo=lo, hi=hi, **rest)


_MONEY, _WIDE = Type("decimal", 10, 2), Type("decimal", 20, 6)
_ROW: dict[str, Type | Value] = {
    "id": INT32, "i": Value(INT32, lo=-1_000_000, hi=1_000_000), "j": Value(INT32, nullable=False, lo=-100, hi=100),
    "l": Value(INT64, lo=-(10**16), hi=10**16), "m": Value(INT64, lo=-100, hi=100), "n": INT32, "d": FLOAT64, "e": FLOAT64,
    "r": FLOAT32, "x": _MONEY, "y": _MONEY, "w": _WIDE, "s": STRING, "u": STRING, "b": BOOL, "c": BOOL, "dt": DATE, "dt2": DATE,
    "ts": TIMESTAMP, "ts2": TIMESTAMP, "ts3": TIMESTAMP, "tz": TIMESTAMPTZ,
}
_GROUPED: dict[str, Type | Value] = {
    **_ROW, "g": INT32, "k": Value(INT32, nullable=False), "o": Value(INT32, nullable=False, lo=0, hi=100_000)}
_EVENT: dict[str, Type | Value] = {**_GROUPED, "ts": Value(TIMESTAMP, nullable=False), "x": Value(_MONEY, nullable=False)}
_DIMENSION: dict[str, Type | Value] = {
    "k": Value(INT32, nullable=False), "ts": Value(TIMESTAMP, nullable=False), "tier": STRING, "v": INT32}
INPUTS: dict[str, Relation] = {
    "t": relation(_ROW), "a": relation(_GROUPED), "ov": relation(_EVENT, event_time="ts"),
    "tv": relation(_EVENT, event_time="ts"),
    "ou": relation(_EVENT, event_time="ts", unique=(("k", "ts"),)),
    "ev": relation(_EVENT, event_time="ts", unique=(("k", "x", "ts"),)), "ev2": relation(_EVENT, event_time="ts"),
    "dm": relation(_DIMENSION, event_time="ts", unique=(("k", "ts"),)), "st": relation({"k": INT32, "nm": STRING}, static=True),
}

# Values of a column that keep what `INPUTS` says of it. Those of doubles stay where no engine raises for want of exponent.
_VALUES: dict[str, tuple[Any, ...]] = {
    "i": (7, -7, 0, 1, 3, 12, 100, 123456, -1_000_000, 1_000_000, None), "j": (2, -2, 5, 3, 10, 12, 7, 4, -100, 100),
    "l": (7, -7, 0, 123456789012, 2**53 + 1, -(10**16), 10**16, None), "m": (-100, -5, 0, 1, 5, 100, None),
    "n": (-(2**31), 2**31 - 1, 0, -1, 4, None),
    "d": (2.5, 3.5, -2.5, -3.5, 0.5, 1.005, 1e15, -0.0, 0.0, 0.15, 123456789.125, 1e100, -1e100, 1e-100, None),
    "e": (0.1, 0.2, 3.0, -2.0, 7.25, 2.675, 1e-10, 1e10, 0.7, None),
    "r": (0.10000000149011612, 2.5, 1.100000023841858, 16777216.0, -0.0, 7.0, None),
    "x": tuple(map(Decimal, ("10.00", "-10.00", "2.50", "-2.50", "0.05", "1.15", "99999999.99", "-99999999.99", "0.00", "3.33"))),
    "y": (*map(Decimal, ("0.15", "3.33", "-0.01", "99999999.99", "2.00")), None),
    "w": (*map(Decimal, ("1.234567", "-1.234565", "0.000001", "1000000.500000", "12345678901234.123456", "0.000000")), None),
    "s": ("abc", "ABC", "Àéß", "日本語テキスト", "", " pad  ", "a,b,,c", "😀x İI ﬁ", "12", "a%b_c\\d", "it's", "a\tb\n", None),
    "u": ("b", "B", "ß", "本", "", "x", "pad", "a", "I", "1", "a%", None), "b": (True, False, None), "c": (True, False, None),
    "dt": (
        date(2024, 1, 31), date(2024, 2, 29), date(2021, 1, 3), date(2020, 12, 31), date(2000, 1, 1), date(2024, 12, 30), None,
    ),
    "dt2": (date(2024, 3, 31), date(2023, 12, 31), date(1971, 12, 31), date(2024, 11, 3), None),
    "ts": (
        datetime(2024, 1, 31, 23, 59, 59, 999999), datetime(2024, 2, 29, 12, 34, 56, 123456), datetime(2021, 1, 3, 6, 7, 8, 1),
        datetime(2020, 12, 31, 23, 59, 59), datetime(2024, 3, 31, 2, 30), datetime(2024, 11, 3, 1, 30), datetime(1971, 12, 31),
        None,
    ),
    "ts2": (
        datetime(2023, 12, 31), datetime(2024, 3, 10, 7, 30), datetime(2024, 7, 4, 12, 0, 0, 123500), datetime(2000, 1, 1), None,
    ),
    "ts3": (
        datetime(2024, 3, 10, 7, 30), datetime(2024, 11, 3, 6, 30), datetime(2021, 1, 3, 6, 7, 8, 1000),
        datetime(2024, 3, 31, 1, 30), None,
    ),
    "g": (1, 2, 3, None), "k": (1, 2, 3),
}


NARROW: dict[int, tuple[str, dict[str, list[int]]]] = {
    310: ("A timestamp outside of the years 1 to 9999 raises in Postgres: how many days are added is left to the data.",
          {"i": [-10_000, 10_000]}),
    326: ("The same of milliseconds since 1970: DuckDB raises.", {"l": [-(10**13), 10**13]}),
}
"""Constructs whose rows are kept to a range that nothing declares, and why: number -> (reason, column -> least and greatest)."""
KNOWN: dict[int, str] = {
    573: "Flink's planner refuses six levels that the query itself nests (Field names must be unique: w0$o0), before anything "
         "runs; the windows of one SELECT are chained so that it takes them.",
}
"""Constructs that the checker allows and an engine refuses, with the reason: number -> reason."""


@cache
def tables(narrow: str = "") -> dict[str, Table]:
    """The relations of the catalogue with random rows. `narrow`: JSON of column -> contract, which their values keep."""
    contract = json.loads(narrow) if narrow else {}
    rng = random.Random(20)
    out = {}
    for name, known in INPUTS.items():
        columns = _unzoned(known).columns
        timed = any(c.value.event_time for c in columns)
        rows = [_row(rng, columns, number, contract) for number in range(3 if name == "st" else ROWS)]
        kept = _in_time(rng, columns, rows, name) if timed else [tuple(row) for row in rows]
        out[name] = Table({c.name: c.value.type for c in columns}, kept, "ts" if timed else None)
    return out


def _row(rng: random.Random, columns: Sequence[Column], number: int, contract: Mapping[str, Any]) -> list[Any]:
    given = {"id": (number,), "o": (number,), "nm": ("one", "two", "Àé"), "tier": ("gold", "tin", None), "v": (1, 7, None)}
    row = []
    for column in columns:
        choice = given.get(column.name, _VALUES.get(column.name, (None,)))
        if column.name == "k" and len(columns) == 2:
            choice = (number + 1,)
        keeps = [v for v in choice if _keeps(v, contract.get(column.name, {})) and (v is not None or column.value.nullable)]
        row.append(keeps[number] if number < len(keeps) else rng.choice(keeps))     # each value occurs
    return row


def _keeps(value: Any, facts: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    low, high = facts.get("range", (value, value))
    wrong = facts.get("nonzero") and value == 0 or facts.get("ascii") and not value.isascii()
    return bool(low <= value <= high and not wrong)


def _in_time(rng: random.Random, columns: Sequence[Column], rows: list[list[Any]], name: str) -> list[tuple[Any, ...]]:
    """The rows in the order of their event times: tied, but where a key is declared unique."""
    names = [c.name for c in columns]
    key = [names.index(k) for k in {"ou": ("k", "ts"), "dm": ("k", "ts"), "ev": ("k", "x", "ts")}.get(name, ())]
    at, out, seen = START, [], set()
    for row in rows:
        at += timedelta(milliseconds=rng.choice((0, 0, 1, 500, 60_000, 600_000, 1_800_000, 7_200_000, 40_000_000)))
        row[names.index("ts")] = at
        place = tuple(row[k] for k in key)
        if not key or place not in seen:
            seen.add(place)
            out.append(tuple(row))
    return out


@dataclass(frozen=True)
class Outcome:
    """What running one construct gave: the checker's `action`, the `sql` that was run, and what is `wrong`, as (way, what)."""

    case: Case
    action: str
    sql: str = ""
    wrong: tuple[tuple[str, str], ...] = ()


def run_catalogue(engines: Mapping[str, Engine], constructs: Sequence[Case]) -> list[Outcome]:
    """Runs every construct that the checker allows or rewrites, and compares its values on all engines; the others are named."""
    out: dict[int, Outcome] = {}
    by_tables: dict[str, list[tuple[Case, str, dict[str, str]]]] = {}
    for case in constructs:
        action = case.analysis().action
        out[case.id] = Outcome(case, action)
        if action == "refuse":
            continue
        sql = case.executed()
        try:
            printed = texts(case.run_as(sql))
        except SkewlessError as error:
            out[case.id] = Outcome(case, action, sql, (("printed", str(error)),))
            continue
        if "skw:" in sql:       # what stands beside a marker is not what the macro writes
            del printed["model"]
        narrow = {column: {"range": ends} for column, ends in NARROW.get(case.id, ("", {}))[1].items()}
        facts = {**case.contract, **narrow}
        by_tables.setdefault(json.dumps(facts, sort_keys=True) if facts else "", []).append((case, sql, printed))
    for outcome in _executed(engines, by_tables, out):
        out[outcome.case.id] = outcome
    return list(out.values())


def _executed(
    engines: Mapping[str, Engine], by_tables: Mapping[str, list[tuple[Case, str, dict[str, str]]]],
    known: Mapping[int, Outcome],
) -> Iterator[Outcome]:
    for narrow, group in by_tables.items():
        data = Dataset(0, tables(narrow), INPUTS)
        ways = ("model", "duckdb", "postgres", "flink")
        for (case, sql, _), answers in zip(group, run_ways(engines, data, [p for _, _, p in group], ways), strict=True):
            yield Outcome(case, known[case.id].action, sql, tuple(differences(answers)))
