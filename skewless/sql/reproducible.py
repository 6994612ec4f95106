"""Aggregates whose value depends on the order in which an engine happens to add: two identical runs differ (facts: DESIGN §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from skewless.sql.definition import parse

# Exact over integers and decimals, order-dependent over floating point.
_ADDS = (exp.Sum, exp.Avg)
# Computed in floating point whatever goes in.
_ALWAYS = (
    exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr, exp.CovarPop, exp.CovarSamp,
    exp.RegrSlope, exp.RegrIntercept, exp.RegrR2, exp.Skewness, exp.Kurtosis,
)
_ALWAYS_NAMED = {"fsum", "favg", "kahan_sum", "sumkahan", "kurtosis_pop", "product", "geomean", "geometric_mean", "sem"}
_EXACT = {*exp.DataType.INTEGER_TYPES, exp.DType.DECIMAL, exp.DType.BOOLEAN, exp.DType.INTERVAL}


@dataclass(frozen=True)
class Unstable:
    """One aggregate: its SQL, the function's name, a column it reads, whether its argument is `double` or `unknown`."""

    sql: str
    function: str
    column: str
    argument: Literal["double", "unknown"]


def unstable_aggregates(
    query: exp.Query, dialect: str, schema: dict[str, dict[str, str]], *, exact_result: bool = False
) -> list[Unstable]:
    """The aggregates of a qualified query that two runs may answer differently.

    `schema` is table -> column -> SQL type, as far as known. `exact_result`: the query's value is declared integer or decimal, so
    a sum over a column of unknown type is taken to be exact.
    """
    inputs = MappingSchema(dict(schema), dialect=dialect)
    try:
        tree = qualify(query.copy(), dialect=dialect, schema=inputs, validate_qualify_columns=False, quote_identifiers=False)
        tree = annotate_types(tree, schema=inputs, dialect=dialect)
    except SqlglotError:
        tree = query
    out: dict[str, Unstable] = {}
    for node in tree.find_all(*_ADDS, *_ALWAYS, exp.Anonymous):
        found = _judge(node, exact_result)
        if found:
            column = node.find(exp.Column)
            text = node.sql(dialect=dialect, comments=False)
            out[text] = Unstable(text, node.sql_name() if not isinstance(node, exp.Anonymous) else node.name.upper(),
                                 column.name if column else "", found)
    return list(out.values())


def _judge(node: exp.Expr, exact_result: bool) -> Literal["double", "unknown"] | None:
    argument = node.this
    if isinstance(node, exp.Anonymous):
        if node.name.lower() in _ALWAYS_NAMED:
            return "double"
        if node.name.lower() != "mean" or not node.expressions:
            return None
        argument = node.expressions[0]
    if isinstance(node, _ALWAYS):
        return "double"
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0] if argument.expressions else argument
    if isinstance(argument, exp.Order):
        return None   # sum(x order by …) adds in a fixed order
    kind = argument.type.this if argument.type else exp.DType.UNKNOWN
    if kind in _EXACT:
        return None
    if kind in exp.DataType.REAL_TYPES:
        return "double"
    return None if exact_result else "unknown"


def longest_window_us(query: exp.Query) -> int | None:
    """The longest `RANGE INTERVAL n PRECEDING` of a query in microseconds, None when there is none."""
    longest: int | None = None
    for spec in query.find_all(exp.WindowSpec):
        start = spec.args.get("start")
        if str(spec.args.get("kind", "")).upper() == "RANGE" and isinstance(start, exp.Interval):
            us = interval_us(start)
            if us is not None:
                longest = max(longest or 0, us)
    return longest


_WINDOW_START = "0001-01-01 00:00:00"   # of the macro window_start(); the materialization puts the real start there


def lookback_us(query: exp.Query) -> int | None:
    """How far before the window being computed a query reads its inputs, in microseconds; None where it reads all of them."""
    found: list[int] = []
    for literal in query.find_all(exp.Literal):
        if literal.name == _WINDOW_START and isinstance(literal.parent, exp.Cast):
            around = literal.parent.parent
            back = around.expression if isinstance(around, exp.Sub) else None
            found.append((interval_us(back) or 0) if isinstance(back, exp.Interval) else 0)
    return min(found, default=None)


_UNIT_US = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6, "DAY": 86400 * 10**6,
    "WEEK": 7 * 86400 * 10**6,
}


def interval_us(interval: exp.Interval) -> int | None:
    """A literal interval in microseconds, None for months, years and expressions."""
    unit = str(interval.unit or "").upper().rstrip("S")
    try:
        return int(float(interval.this.name) * _UNIT_US[unit])
    except (KeyError, ValueError, AttributeError):
        return None


def output_types(sql: str, dialect: str, schema: dict[str, dict[str, str]]) -> dict[str, str]:
    """Column -> SQL type of a query's result, as far as the types of its inputs tell."""
    tree = parse(sql, dialect) if sql else None
    if not isinstance(tree, exp.Query):
        return {}
    inputs = MappingSchema(dict(schema), dialect=dialect)
    try:
        query = qualify(tree, dialect=dialect, schema=inputs, validate_qualify_columns=False, quote_identifiers=False)
        query = annotate_types(query, schema=inputs, dialect=dialect)
    except SqlglotError:
        return {}
    types = {s.alias_or_name.lower(): s.type for s in query.selects if s.type and s.type.this != exp.DType.UNKNOWN}
    return {name: type_.sql(dialect=dialect) for name, type_ in types.items() if name != "*"}
