"""Numeric constants: what an expression of literals is, where every engine computes it alike.

Integers that stay in their bits, IEEE doubles, decimals that a CAST rounds, NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlglot import exp

from skewless.sql.value import FLOAT64, INT32, INT64, Value, type_bounds
from skewless.types import Type


@dataclass(frozen=True)
class Constant:
    """A number of a type, or NULL."""

    type: Type
    number: int | float | Fraction | None


def compute(node: exp.Expr) -> Constant | None:
    """The value of an expression of literals, None where there is a column, another type, or a result that engines differ on."""
    if isinstance(node, exp.Paren):
        return compute(node.this)
    known = node.meta.get("value")
    type_ = known.type if isinstance(known, Value) else None
    if isinstance(node, exp.Literal):
        return _literal(node)
    if type_ is not None and type_.name == "decimal" and isinstance(node, exp.Cast):
        return _cast_decimal(node, type_)
    if type_ is not None and type_.name == "decimal" and isinstance(node, exp.Neg):
        return _negative(node, type_)
    if type_ is None or type_ not in (INT32, INT64, FLOAT64) and not isinstance(node, (exp.Coalesce, exp.Nullif)):
        return None
    rule = _RULES.get(type(node))
    result = rule(node, type_) if rule else None
    return result if result is None or _sound(result) else None


def is_constant(node: exp.Expr) -> bool:
    """Whether a planner may see one value in it: all its columns hold one number, or are hidden by a constant condition."""
    if isinstance(node, exp.Column):
        known = node.meta["value"]
        return known.lo is not None and known.lo == known.hi
    if isinstance(node, (exp.AggFunc, exp.Window, exp.Query)):
        return False
    return has_constant_condition(node) or all(map(is_constant, node.iter_expressions()))


def has_constant_condition(node: exp.Expr) -> bool:
    """Whether it is a CASE, or a branch of one, whose condition is the same for every row."""
    branches = node.args["ifs"] if isinstance(node, exp.Case) else [node] if isinstance(node, exp.If) else []
    return any(is_constant(branch.this) for branch in branches)


def _sound(constant: Constant) -> bool:
    number, type_ = constant.number, constant.type
    if number is None or type_.name == "decimal":
        return True
    if type_ == FLOAT64:
        return math.isfinite(number) and not (number == 0 and math.copysign(1, number) < 0)
    return abs(number) < 2 ** (31 if type_ == INT32 else 63)


def _literal(node: exp.Literal) -> Constant | None:
    if node.is_string:
        return None
    if "e" in node.name.lower():
        return Constant(FLOAT64, float(node.name))
    if "." in node.name:
        return Constant(Type("decimal", 38, len(node.name.split(".")[1])), Fraction(node.name))
    number = int(node.name)
    return Constant(INT32 if number < 2**31 else INT64, number) if number < 2**63 else None


def _cast(node: exp.Cast, type_: Type) -> Constant | None:
    if isinstance(node.this, exp.Null):
        return Constant(type_, None)
    if isinstance(node.this, exp.Literal) and not node.this.is_string and type_ == FLOAT64:
        return Constant(type_, float(node.this.name))
    inner = compute(node.this)
    if inner is None or inner.number is None:
        return inner and Constant(type_, None)
    if type_ == FLOAT64:
        return Constant(type_, float(inner.number))
    return Constant(type_, inner.number) if inner.type in (INT32, INT64) else None


def _cast_decimal(node: exp.Cast, type_: Type) -> Constant | None:
    """Half away from zero; None for doubles and for more digits than a double keeps."""
    inner = compute(node.this)
    if inner is None or inner.number is None:
        return inner and Constant(type_, None)
    if isinstance(inner.number, float) or abs(Fraction(inner.number)) >= 2**53:
        return None
    units = abs(Fraction(inner.number)) * 10**type_.scale
    number = Fraction(int(units + Fraction(1, 2)), 10**type_.scale)
    limit = type_bounds(type_)
    if limit is None or number > limit[1]:
        return None
    return Constant(type_, number if inner.number >= 0 else -number)


def _binary(node: exp.Binary, type_: Type) -> Constant | None:
    left, right = compute(node.left), compute(node.right)
    if left is None or right is None:
        return None
    if left.number is None or right.number is None:
        return Constant(type_, None)
    a, b = (float(left.number), float(right.number)) if type_ == FLOAT64 else (left.number, right.number)
    if isinstance(node, exp.Div):
        return Constant(type_, a / b) if b != 0 and type_ == FLOAT64 else None
    return Constant(type_, a + b if isinstance(node, exp.Add) else a - b if isinstance(node, exp.Sub) else a * b)


def _quotient(node: exp.IntDiv, type_: Type) -> Constant | None:
    """Of integers, towards zero. Flink's planner fails on a literal that NULL divides inside of an aggregate."""
    left, right = compute(node.left), compute(node.right)
    if left is None or right is None or right.number == 0:
        return None
    if left.number is None or right.number is None:
        return Constant(type_, None)
    return Constant(type_, int(Fraction(left.number) / Fraction(right.number)))


def _negative(node: exp.Neg, type_: Type) -> Constant | None:
    inner = compute(node.this)
    return inner and Constant(type_, None if inner.number is None else -inner.number)


def _nullif(node: exp.Nullif, type_: Type) -> Constant | None:
    left, right = compute(node.this), compute(node.expression)
    if left is None or right is None:
        return None
    return Constant(type_, None if left.number is not None and left.number == right.number else left.number)


def _coalesce(node: exp.Coalesce, type_: Type) -> Constant | None:
    for item in (node.this, *node.expressions):
        found = compute(item)
        if found is None:
            return None
        if found.number is not None:
            return Constant(type_, float(found.number) if type_ == FLOAT64 else found.number)
    return Constant(type_, None)


_RULES: dict[type[exp.Expr], Callable[[Any, Type], Constant | None]] = {
    exp.Cast: _cast, exp.Add: _binary, exp.Sub: _binary, exp.Mul: _binary, exp.Div: _binary, exp.IntDiv: _quotient,
    exp.Neg: _negative, exp.Nullif: _nullif, exp.Coalesce: _coalesce,
}
