"""The outermost SELECT: each column cast to its declared type, 0.0 for -0.0."""

from __future__ import annotations

from collections.abc import Mapping

from skewless.errors import SkewlessError
from skewless.sql.value import FLOAT64, INT32, INT_BITS, STRING, TIMESTAMP, Relation, Value, fits
from skewless.stream.lower.printer import Printer, indent
from skewless.types import Type

ALIAS = "result"


def declared(p: Printer, text: str, output: Relation, columns: Mapping[str, Type] | None) -> str:
    """The query's columns by name, cast. Raises SK822 where one is absent or cannot become its declared type."""
    found = {c.name.lower(): c.value for c in output.columns}
    wanted = columns if columns is not None else {c.name: _type(c.value) for c in output.columns}
    lines = []
    for name, type_ in wanted.items():
        known = found.get(name.lower())
        if known is None:
            raise SkewlessError("SK822", f'the query yields no column "{name}"', hint="It yields: " + ", ".join(found) + ".")
        if not _becomes(known, type_):
            raise SkewlessError("SK822", f'column "{name}" is declared {type_} and the query yields {known.type}',
                                hint=f"Cast it in the model, or declare it {known.type}.")
        lines.append(indent(f"{_cast(p, name, known, type_)} AS {p.exact(name)}"))
    return "SELECT\n" + ",\n".join(lines) + f"\nFROM (\n{indent(text)}\n) AS {p.name(ALIAS)}"


def _type(known: Value) -> Type:
    """The type that a column has when none is declared: of NULLs alone it is text, of the least integers an int32."""
    return {"null": STRING, "int16": INT32}.get(known.type.name, known.type)


def _cast(p: Printer, name: str, known: Value, type_: Type) -> str:
    column = p.name(name)
    if type_ == FLOAT64:
        double = p.cast(column, type_)
        return f"CASE WHEN {column} = 0 THEN {p.cast('0', type_)} ELSE {double} END"
    if type_ == TIMESTAMP and p.flink and known.event_time:
        return f"CAST({column} AS TIMESTAMP(3))"   # the finest event time that Flink has
    return p.cast(column, type_)


def _becomes(known: Value, type_: Type) -> bool:
    """Whether every value of a column is one of the declared type, and the same one in every engine."""
    have = known.type
    if have == type_ or have.name == "null":
        return True
    if have.name == "int16" and type_.name in INT_BITS:
        return True
    if known.is_exact and (type_.name in INT_BITS or type_.name == "decimal"):
        whole = type_.name == "decimal" and type_.scale >= have.scale or not known.is_decimal or have.scale == 0
        return whole and fits(known, type_)
    return known.is_exact and type_ == FLOAT64
