"""The catalogue of SQL constructs as cases: tests/scenarios/portable_sql.json, and the relations that their SQL reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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

FILE = Path(__file__).parent / "scenarios" / "portable_sql.json"
SCALAR = ("arith", "cast", "round", "compare", "null", "case", "string", "datetime")
MEANS = {"agree": ("allow", "lower"), "cast": ("allow", "lower"), "rewrite": ("lower", "fix"), "refuse": ("refuse",)}


@dataclass(frozen=True)
class Case:
    """One construct. `catalogue`: its verdict by measurement; `ours`, `why`: the checker's action where it differs,
    and the reason.

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


def cases() -> list[Case]:
    return [Case(**row) for row in json.loads(FILE.read_text())]


def _under(rows: Relation, contract: dict[str, dict[str, Any]]) -> Relation:
    return replace(rows, columns=tuple(
        Column(c.name, _declared(c.value, contract[c.name]) if c.name in contract else c.value) for c in rows.columns))


def _declared(value: Value, facts: dict[str, Any]) -> Value:
    lo, hi = facts.get("range", (value.lo, value.hi))
    rest = {k: v for k, v in facts.items() if k != "range"}
    return replace(value, lo=lo, hi=hi, **rest)


_MONEY, _WIDE = Type("decimal", 10, 2), Type("decimal", 20, 6)
_ROW: dict[str, Type | Value] = {
    "id": INT32,
    "i": Value(INT32, lo=-1_000_000, hi=1_000_000),
    "j": Value(INT32, nullable=False, lo=-100, hi=100),
    "l": Value(INT64, lo=-(10**16), hi=10**16),
    "m": Value(INT64, lo=-100, hi=100),
    "n": INT32,
    "d": FLOAT64,
    "e": FLOAT64,
    "r": FLOAT32,
    "x": _MONEY,
    "y": _MONEY,
    "w": _WIDE,
    "s": STRING,
    "u": STRING,
    "b": BOOL,
    "c": BOOL,
    "dt": DATE,
    "dt2": DATE,
    "ts": TIMESTAMP,
    "ts2": TIMESTAMP,
    "ts3": TIMESTAMP,
    "tz": TIMESTAMPTZ,
}
_GROUPED: dict[str, Type | Value] = {
    **_ROW, "g": INT32, "k": Value(INT32, nullable=False), "o": Value(INT32, nullable=False, lo=0, hi=100_000)}
_EVENT: dict[str, Type | Value] = {**_GROUPED, "ts": Value(TIMESTAMP, nullable=False), "x": Value(_MONEY, nullable=False)}
_DIMENSION: dict[str, Type | Value] = {
    "k": Value(INT32, nullable=False), "ts": Value(TIMESTAMP, nullable=False), "tier": STRING, "v": INT32}
INPUTS: dict[str, Relation] = {
    "t": relation(_ROW),
    "a": relation(_GROUPED),
    "ov": relation(_EVENT, event_time="ts"),
    "tv": relation(_EVENT, event_time="ts"),
    "ou": relation(_EVENT, event_time="ts", unique=(("k", "ts"),)),
    "ev": relation(_EVENT, event_time="ts", unique=(("k", "x", "ts"),)),
    "ev2": relation(_EVENT, event_time="ts"),
    "dm": relation(_DIMENSION, event_time="ts", unique=(("k", "ts"),)),
    "st": relation({"k": INT32, "nm": STRING}, static=True),
}
