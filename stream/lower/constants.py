"""Constant parts of an expression, computed before Flink's planner sees them: it fails on some.

(`RexCall cannot be cast to RexLiteral`; a CAST of 0.5 to DECIMAL(20,0) inside another CAST stays 0.5.) A literal by itself is
left as it is.
"""

from __future__ import annotations

from fractions import Fraction

from sqlglot import exp

from skewless.sql.constants import compute
from skewless.sql.value import FLOAT64, Value

_SIMPLE = (exp.Literal, exp.Null, exp.Boolean, exp.Column, exp.Star)


def folded(node: exp.Expr) -> str | None:
    """The Flink literal of a constant expression, None for anything else."""
    if isinstance(node, _SIMPLE) or isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return None
    if _to_decimal(node):
        return _rounded(node)
    if _is_literal(node):
        return None
    constant = compute(node)
    if constant is None or constant.type.name == "decimal":
        return None
    name = constant.type.world("flink")
    if constant.number is None:
        return f"CAST(NULL AS {name})"
    if constant.type == FLOAT64:
        return f"CAST({_exponent(float(constant.number))} AS DOUBLE)"
    return f"CAST({constant.number} AS {name})"


def _to_decimal(node: exp.Expr) -> bool:
    known = node.meta.get("value")
    return isinstance(node, exp.Cast) and isinstance(known, Value) and known.is_decimal


def _rounded(node: exp.Expr) -> str | None:
    """The cast of a constant that a decimal has no digits for, as a cast of the rounded number."""
    before, after = compute(node.this), compute(node)
    if before is None or after is None or before.number is None or before.number == after.number:
        return None
    assert after.number is not None
    digits = round(abs(Fraction(after.number)) * 10**after.type.scale)
    whole, fraction = divmod(digits, 10**after.type.scale)
    text = f"{whole}.{fraction:0{after.type.scale}d}" if after.type.scale else str(whole)
    return f"CAST({'-' if after.number < 0 else ''}{text} AS {after.type.world('flink')})"


def _is_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal)


def _exponent(number: float) -> str:
    text = repr(number)
    return (text if "e" in text else text + "e0").upper()
