"""The output of a query against the columns that a contract declares: same names, and types that every value survives."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from skewless.sql.analysis import Analysis, Finding
from skewless.sql.inference import Hit, near_name
from skewless.sql.rules import RULES
from skewless.sql.value import INT_BITS, Value, fits
from skewless.types import Type


@dataclass(frozen=True)
class Wanted:
    """A column of the contract."""

    name: str
    type: Type


def output_hits(analysis: Analysis, wanted: list[Wanted]) -> list[Finding]:
    """What differs: a column that is absent, one whose values may not fit its declared type, or change on the way."""
    out = []
    for column in wanted:
        found = analysis.output.column(column.name)
        node = _projection(analysis.query, column.name)
        if found is None:
            if not analysis.output.open:
                near = near_name(column.name, [c.name for c in analysis.output.columns])
                out.append(Hit(RULES["output.column"], analysis.query, {"name": column.name, "near": near}))
        elif rule := _misfit(found.value, column.type):
            names = {"name": column.name, "have": str(found.value.type), "type": column.type.world("duckdb").lower()}
            out.append(Hit(RULES[rule], node if node is not None else analysis.query, names))
    return [analysis.finding(hit) for hit in out]


def _projection(query: exp.Query, name: str) -> exp.Expr | None:
    return next((s for s in query.selects if s.alias_or_name.lower() == name.lower()), None)


def _misfit(value: Value, type_: Type) -> str | None:
    """The rule that a value breaks when it becomes a column of that type, None where every engine gives the same."""
    have = value.type
    if not value.known or have.name == "null" or have == type_:
        return None
    names = (have.name, type_.name)
    if type_.array or have.array:
        return "output.type"
    if value.is_exact and (type_.name in INT_BITS or type_.name == "decimal"):
        rounds = have.name == "decimal" and have.scale > (type_.scale if type_.name == "decimal" else 0)
        if type_.name in INT_BITS and rounds:
            return "output.type"
        return None if fits(value, type_) else "output.range"
    same = type_.name == "float64" and value.is_number or names in (("date", "timestamp"), ("timestamptz", "timestamp"))
    return None if same else "output.type"
