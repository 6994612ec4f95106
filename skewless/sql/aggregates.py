"""Values and rules of aggregates, in GROUP BY and over windows."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from skewless.sql.inference import Typer, function_name, handles
from skewless.sql.value import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    NULL,
    ROWS_MAX,
    STRING,
    UNKNOWN_VALUE,
    Value,
    fits,
    type_bounds,
)
from skewless.sql.zeros import normalised
from skewless.types import Type

_VARIANCE = (exp.VariancePop, exp.StddevPop)
_VARIANCE_OTHER = (
    exp.Variance, exp.Stddev, exp.StddevSamp, exp.Corr, exp.CovarPop, exp.CovarSamp, exp.Skewness, exp.Kurtosis, exp.RegrSlope,
    exp.RegrIntercept, exp.RegrR2,
)
_ORDERED = (
    exp.ArrayAgg, exp.GroupConcat, exp.First, exp.Last, exp.Mode, exp.AnyValue, exp.ArgMax, exp.ArgMin, exp.JSONArrayAgg,
    exp.JSONObjectAgg, exp.ArrayUniqueAgg,
)


@handles(exp.Count)
def count(t: Typer, node: exp.Expr) -> Value:
    known = Value(INT64, nullable=False, lo=0, hi=ROWS_MAX)
    inner = node.this
    if inner is None or isinstance(inner, exp.Star):
        t.hit("agg.plain", node)
        return known
    if not isinstance(inner, exp.Distinct):
        t.value(inner)
        t.hit("agg.plain", node)
        return known
    if t.over is not None:
        t.hit("over.distinct", node)
    parts = [p for e in inner.expressions for p in (e.expressions if isinstance(e, exp.Tuple) else [e])]
    values = [t.value(p) for p in parts]
    if len(parts) > 1:
        t.hit("agg.count_tuple", node)
    elif values[0].is_float and not normalised(parts[0]):
        t.hit("agg.float_zero", node)
    else:
        t.hit("agg.plain", node)
    return known


@handles(exp.CountIf)
def count_if(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("agg.count_if", node)
    return Value(INT64, nullable=False, lo=0, hi=ROWS_MAX)


@handles(exp.Sum)
def total(t: Typer, node: exp.Expr) -> Value:
    inner, argument = _argument(t, node)
    if not inner.known:
        return UNKNOWN_VALUE
    if inner.is_float:
        t.hit("type.float32" if inner.type == FLOAT32 else "agg.sum_float", node)
        return Value(FLOAT64)
    if inner.type == NULL:
        return Value(INT64)
    if not inner.is_exact:
        t.hit("type.operand", node, type=str(inner.type))
        return UNKNOWN_VALUE
    if isinstance(node.this, exp.Distinct) and t.over is not None:
        t.hit("over.distinct", node)
    bounds = inner.bounds()
    assert bounds
    lo, hi = min(0, bounds[0]) * ROWS_MAX, max(0, bounds[1]) * ROWS_MAX
    known = Value(INT64, lo=lo, hi=hi)
    if inner.is_decimal:
        top = type_bounds(Type("decimal", 38, inner.type.scale))
        assert top
        t.hit("agg.plain", node)
        return Value(Type("decimal", 38, inner.type.scale), lo=max(lo, top[0]), hi=min(hi, top[1]))
    if fits(known, INT64):
        t.hit("agg.plain" if inner.type == INT64 else "agg.sum_int", node)
        return known
    t.hit("agg.sum_wide", node)
    return Value(INT64)


def _argument(t: Typer, node: exp.Expr) -> tuple[Value, exp.Expr]:
    """The value of what is aggregated, without DISTINCT and ORDER BY inside the call."""
    argument = node.this
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0]
    if isinstance(argument, exp.Order):
        t.hit("agg.ordered", node, name=function_name(node))   # type: ignore[attr-defined]
        argument = argument.this
    return t.value(argument), argument


@handles(exp.Avg)
def average(t: Typer, node: exp.Expr) -> Value:
    inner, _ = _argument(t, node)
    if inner.known:
        t.hit("agg.avg" if inner.is_exact else "agg.sum_float", node)
    return Value(FLOAT64)


@handles(exp.Min, exp.Max)
def extreme(t: Typer, node: exp.Expr) -> Value:
    inner, argument = _argument(t, node)
    if node.expressions:
        t.hit("agg.ordered", node, name=function_name(node))   # type: ignore[attr-defined]
    known = replace(inner, nullable=True, constant=None, event_time=False, cut=False)
    if not inner.known:
        return UNKNOWN_VALUE
    if inner.type == BOOL:
        t.hit("agg.bool", node)
    elif inner.type == STRING and not inner.ascii:
        t.hit("compare.text_order", node)
    elif inner.type == FLOAT32:
        t.hit("type.float32", node)
    elif inner.is_float and not normalised(argument):
        t.hit("agg.float_zero", node)
    elif inner.type.array or inner.type.name == "interval":
        t.hit("type.operand", node, type=str(inner.type))
    else:
        t.hit("agg.plain", node)
    return known


@handles(exp.LogicalAnd, exp.LogicalOr)
def logical(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("agg.bool", node)
    return Value(BOOL)


@handles(*_VARIANCE, *_VARIANCE_OTHER)
def variance(t: Typer, node: exp.Expr) -> Value:
    values = [t.value(node.this)]
    if node.args.get("expression") is not None:
        values.append(t.value(node.args["expression"]))
    if any(v.is_float for v in values):
        t.hit("agg.sum_float", node)
    else:
        t.hit("agg.variance" if isinstance(node, _VARIANCE) and values[0].is_int else "agg.variance_other", node)
    return Value(FLOAT64)


@handles(exp.Filter)
def filtered(t: Typer, node: exp.Expr) -> Value:
    condition = node.expression.this
    t.value(condition)
    with t.assuming(condition):
        known = t.value(node.this)
    if t.over is not None:
        t.hit("over.filter", node)
    return known if isinstance(node.this, exp.Count) else replace(known, nullable=True)


@handles(*_ORDERED)
def ordered(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this) if isinstance(node.this, exp.Column) else UNKNOWN_VALUE
    t.hit("agg.ordered", node, name=function_name(node))   # type: ignore[attr-defined]
    return replace(inner, nullable=True, event_time=False)


@handles(exp.AggFunc)
def other(t: Typer, node: exp.Expr) -> Value:
    """Any aggregate without a handler of its own."""
    t.hit("agg.other", node, name=function_name(node))   # type: ignore[attr-defined]
    return UNKNOWN_VALUE
