"""Values and rules of comparisons, logic, CASE and the NULL functions."""

from __future__ import annotations

import math
from dataclasses import replace

from sqlglot import exp

from skewless.sql.constants import has_constant_condition
from skewless.sql.inference import Typer, bare, handles, number
from skewless.sql.value import (
    BOOL,
    DATE,
    FLOAT32,
    NULL,
    STRING,
    TIMESTAMP,
    TUPLE,
    UNKNOWN,
    UNKNOWN_VALUE,
    Value,
    beside_double,
    beyond_38,
    either,
)
from skewless.sql.zeros import equated, no_minus_zero, normalised


@handles(exp.Column)
def column(t: Typer, node: exp.Expr) -> Value:
    assert isinstance(node, exp.Column)
    return t.resolve(node)


@handles(exp.Paren, exp.Alias)
def paren(t: Typer, node: exp.Expr) -> Value:
    return t.value(node.this)


@handles(exp.Boolean)
def boolean(t: Typer, node: exp.Expr) -> Value:
    t.hit("arith.literal", node)
    return Value(BOOL, nullable=False)


@handles(exp.Null)
def null(t: Typer, node: exp.Expr) -> Value:
    t.hit("arith.literal", node)
    return Value(NULL)


@handles(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
def compare(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    order = isinstance(node, (exp.LT, exp.LTE, exp.GT, exp.GTE))
    compared(t, node, left, right, order=order)
    doubled(t, [node.this, node.expression])
    if isinstance(node, (exp.EQ, exp.NullSafeEQ)):
        equated(t, node, left, right)
    return Value(BOOL, nullable=(left.nullable or right.nullable) and not isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)))


def compared(t: Typer, node: exp.Expr, left: Value, right: Value, *, order: bool) -> None:
    """Records the rule of comparing two values; `order`: by more than equality."""
    if not left.known or not right.known:
        return
    names = {left.type.name, right.type.name}
    if "tuple" in names:
        t.hit("compare.tuple", node)
    elif FLOAT32 in (left.type, right.type):
        t.hit("type.float32", node)
    elif _nan(left, node) or _nan(right, node):
        t.hit("arith.nan", node)
    elif NULL in (left.type, right.type) or left.is_number and right.is_number:
        t.hit("compare.plain", node)
    elif names == {"string"}:
        safe = not order or left.ascii and right.ascii
        t.hit("compare.plain" if safe else "compare.text_order", node)
    elif left.type == right.type:
        t.hit("compare.plain", node)
    elif "string" in names and (isinstance(left.constant, str) or isinstance(right.constant, str)):
        t.hit("compare.text_number", node)
    elif names == {"date", "timestamp"}:
        t.hit("compare.date_timestamp", node)
    else:
        t.hit("compare.mixed", node)


def doubled(t: Typer, nodes: list[exp.Expr]) -> None:
    """Records the decimals that become doubles beside a double, and would be other ones in DuckDB."""
    for node, wrong in zip(nodes, beside_double([n.meta.get("value", UNKNOWN_VALUE) for n in nodes]), strict=True):
        if wrong:
            t.hit("cast.decimal_implicit", node)


def _nan(value: Value, node: exp.Expr) -> bool:
    if isinstance(value.constant, float) and math.isnan(value.constant):
        return True
    if not value.is_float:
        return False
    texts = (c.this.name for c in node.find_all(exp.Cast) if isinstance(c.this, exp.Literal) and c.this.is_string)
    return any(text.lower() == "nan" for text in texts)


@handles(exp.And, exp.Or)
def logic(t: Typer, node: exp.Expr) -> Value:
    left = t.value(node.this)
    with t.assuming(node.this, isinstance(node, exp.And)):
        right = t.value(node.expression)
    t.hit("compare.plain", node)
    return Value(BOOL, nullable=left.nullable or right.nullable)


@handles(exp.Not)
def negation(t: Typer, node: exp.Expr) -> Value:
    if isinstance(node.this.unnest(), exp.Exists):
        t.hit("join.anti", node)
    inner = t.value(node.this)
    t.hit("compare.plain", node)
    return Value(BOOL, nullable=inner.nullable)


@handles(exp.Is)
def is_(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.value(node.expression)
    t.hit("compare.plain", node)
    return Value(BOOL, nullable=False)


@handles(exp.Between)
def between(t: Typer, node: exp.Expr) -> Value:
    values = [t.value(n) for n in (node.this, node.args["low"], node.args["high"])]
    for bound in values[1:]:
        compared(t, node, values[0], bound, order=True)
    doubled(t, [node.this, node.args["low"], node.args["high"]])
    return Value(BOOL, nullable=any(v.nullable for v in values))


@handles(exp.In)
def in_(t: Typer, node: exp.Expr) -> Value:
    left = t.value(node.this)
    query = node.args.get("query")
    if query is not None:
        inner = t.subquery(query)
        if inner.columns:
            compared(t, node, left, inner.columns[0].value, order=False)
            _in_query(t, node, query, left, inner.columns[0].value)
        t.hit("query.plain", node)
        return Value(BOOL, nullable=True)
    for item in node.expressions:
        compared(t, node, left, t.value(item), order=False)
    doubled(t, [node.this, *node.expressions])
    return Value(BOOL, nullable=True)


def _in_query(t: Typer, node: exp.Expr, query: exp.Expr, left: Value, right: Value) -> None:
    """`x IN (SELECT …)` is a join by x."""
    if left.is_float and not normalised(node.this):
        t.hit("join.float_zero", node.this)
    if right.is_float:
        no_minus_zero(query, t.reading)
    if any(beside_double([left, right])):
        t.hit("cast.decimal_implicit", node)


@handles(exp.Exists)
def exists(t: Typer, node: exp.Expr) -> Value:
    t.subquery(node.this)
    t.hit("query.plain", node)
    return Value(BOOL, nullable=False)


@handles(exp.Subquery)
def scalar(t: Typer, node: exp.Expr) -> Value:
    inner = t.subquery(node.this, scalar=True)
    t.hit("query.plain", node)
    return replace(inner.columns[0].value, nullable=True) if len(inner.columns) == 1 else UNKNOWN_VALUE


@handles(exp.Tuple)
def tuple_(t: Typer, node: exp.Expr) -> Value:
    for item in node.expressions:
        t.value(item)
    return Value(TUPLE)


@handles(exp.Case)
def case(t: Typer, node: exp.Expr) -> Value:
    subject = node.args.get("this")
    if subject is not None:
        left = t.value(subject)
    depth, branches = len(t.facts), []
    for branch in node.args["ifs"]:
        condition = t.value(branch.this)
        if subject is not None:
            compared(t, branch, left, condition, order=False)
            doubled(t, [subject, branch.this])
        with t.assuming(branch.this if subject is None else None):
            branches.append(t.value(branch.args["true"]))
        if subject is None:   # later branches are reached when this condition is not true
            t.facts.extend(t._follows(branch.this, False))
    default = node.args.get("default")
    branches.append(t.value(default) if default is not None else Value(NULL))
    del t.facts[depth:]
    doubled(t, [*(b.args["true"] for b in node.args["ifs"]), *([default] if default is not None else [])])
    return _branches(t, node, branches)


@handles(exp.If)
def if_(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    with t.assuming(node.this):
        branches = [t.value(node.args["true"])]
    with t.assuming(node.this, False):
        branches.append(t.value(node.args["false"]) if node.args.get("false") is not None else Value(NULL))
    doubled(t, [n for n in (node.args["true"], node.args.get("false")) if n is not None])
    return _branches(t, node, branches)


def _branches(t: Typer, node: exp.Expr, branches: list[Value]) -> Value:
    known = either(branches)
    if known.type == UNKNOWN and all(b.known for b in branches):
        t.hit("type.mixed", node)
    elif FLOAT32 == known.type:
        t.hit("type.float32", node)
    elif digits := beyond_38(branches):
        t.hit("arith.decimal_38", node, digits=str(digits))     # DuckDB and Flink cut the fraction, Postgres keeps it
    else:
        t.hit("null.coalesce", node)
    return known


@handles(exp.Coalesce)
def coalesce(t: Typer, node: exp.Expr) -> Value:
    values = [t.value(node.this), *(t.value(n) for n in node.expressions)]
    doubled(t, [node.this, *node.expressions])
    if any(map(has_constant_condition, node.find_all(exp.Case))):
        t.hit("null.coalesce_constant", node)
    known = _branches(t, node, values)
    return replace(known, nullable=all(v.nullable for v in values))


@handles(exp.Nullif)
def nullif(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    compared(t, node, left, right, order=False)
    doubled(t, [node.this, node.expression])
    return replace(left, nullable=True, nonzero=left.nonzero or number(node.expression) == 0, constant=None)


@handles(exp.Greatest, exp.Least)
def greatest(t: Typer, node: exp.Expr) -> Value:
    nodes = [node.this, *node.expressions]
    values = [t.value(n) for n in nodes]
    doubled(t, nodes)
    known = _branches(t, node, values)
    if known.type == STRING and not known.ascii:
        t.hit("compare.text_order", node)
    nullable = any(v.nullable and not t.holds("notnull", n) for v, n in zip(values, nodes, strict=True))
    t.hit("null.greatest_null" if nullable else "null.greatest", node)
    bounds = [v.bounds() for v in values]
    pick = max if isinstance(node, exp.Greatest) else min
    exact = all(bounds)
    return replace(
        known,
        nullable=all(v.nullable for v in values),
        lo=pick(b[0] for b in bounds if b) if exact and not nullable else known.lo,
        hi=pick(b[1] for b in bounds if b) if exact and not nullable else known.hi,
    )


__all__ = ["DATE", "TIMESTAMP", "bare", "compared"]
