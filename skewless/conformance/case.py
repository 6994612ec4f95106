"""A query with its input tables in one JSON file: what a failing case becomes, and what later runs execute again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from skewless.conformance.data import Dataset
from skewless.conformance.table import Table
from skewless.errors import SkewlessError
from skewless.sql.value import Column, Relation, Value
from skewless.types import Type, parse_type

_HINT = "Cases are what `skewless conformance fuzz --cases FOLDER` saves of views that fail."
_FLAGS = ("nonzero", "ascii", "before_1970", "event_time")


@dataclass(frozen=True)
class Case:
    """One query over its own tables. `streams`: its rows are only appended. `note` says what once differed, and where."""

    sql: str
    data: Dataset
    streams: bool
    note: str = ""

    def write(self, path: Path) -> None:
        """Saves the case at once: a run that is killed leaves no half of a file. The same case gives the same bytes."""
        tables = {name: _table(table, self.data.inputs[name]) for name, table in self.data.tables.items()}
        body = {"note": self.note, "streams": self.streams, "sql": self.sql, "seed": self.data.seed, "tables": tables}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        draft.replace(path)


def read_case(path: Path) -> Case:
    """A saved case. Raises SK243 for a file that is none."""
    try:
        body = json.loads(path.read_text())
        made = {name: _read_table(raw) for name, raw in body["tables"].items()}
        data = Dataset(body["seed"], {n: table for n, (table, _) in made.items()}, {n: rel for n, (_, rel) in made.items()})
        return Case(body["sql"], data, body["streams"], body["note"])
    except OSError as error:
        raise SkewlessError("SK243", f"{path} cannot be read", detail=f"{error.strerror}.", hint=_HINT) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise SkewlessError("SK243", f"{path} is no saved case", detail=f"{type(error).__name__}: {error}.", hint=_HINT) from None


def _table(table: Table, known: Relation) -> dict[str, Any]:
    columns = {c.name: {"type": str(c.value.type), **_contract(c.value)} for c in known.columns}
    return {
        "columns": columns, "unique": sorted(sorted(key) for key in known.unique), "static": known.static,
        "event_time": table.event_time, "watermark": table.watermark, "flink_types": dict(table.flink_types),
        "rows": [[_cell(value) for value in row] for row in table.rows],
    }


def _contract(value: Value) -> dict[str, Any]:
    facts = asdict(value)
    out: dict[str, Any] = {name: True for name in _FLAGS if facts[name]}
    if not value.nullable:
        out["nullable"] = False
    return {**out, **{name: str(facts[name]) for name in ("lo", "hi") if facts[name] is not None}}


def _read_table(raw: Mapping[str, Any]) -> tuple[Table, Relation]:
    columns = []
    for name, facts in raw["columns"].items():
        rest = {k: v for k, v in facts.items() if k not in ("type", "lo", "hi")}
        lo, hi = (_exact(facts[k]) if k in facts else None for k in ("lo", "hi"))
        columns.append(Column(name, Value(parse_type(facts["type"]), lo=lo, hi=hi, **rest)))
    types = [c.value.type for c in columns]
    rows = [tuple(_value(cell, type_) for cell, type_ in zip(row, types, strict=True)) for row in raw["rows"]]
    known = Relation(tuple(columns), tuple(frozenset(key) for key in raw["unique"]), raw["static"])
    return Table({c.name: c.value.type for c in columns}, rows, raw["event_time"], raw["watermark"], raw["flink_types"]), known


def _exact(text: str) -> int | Fraction:
    number = Fraction(text)
    return int(number) if number.denominator == 1 else number


def _cell(value: Any) -> Any:
    if isinstance(value, float | Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def _value(cell: Any, type_: Type) -> Any:
    if cell is None:
        return None
    readers = {"float64": float, "decimal": Decimal, "date": date.fromisoformat, "timestamp": datetime.fromisoformat}
    return readers.get(type_.name, lambda same: same)(cell)   # type: ignore[operator]
