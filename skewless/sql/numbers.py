"""Values and rules of arithmetic, rounding and comparisons of numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import isfinite

from sqlglot import exp

from skewless.sql.constants import compute, is_constant
from skewless.sql.inference import Typer, bare, function_name, handles, number
from skewless.sql.value import (
    BOOL,
    DATE,
    FLOAT32,
    FLOAT64,
    INT16,
    INT32,
    INT64,
    INT_BITS,
    INTERVAL,
    NULL,
    TIMESTAMP,
    UNKNOWN_VALUE,
    Number,
    Value,
    beside_double,
    common,
    stored_as,
    type_bounds,
)
from skewless.types import Type

LIBM = (
    exp.Pow,
    exp.Exp,
    exp.Ln,
    exp.Log,
    exp.Sin,
    exp.Cos,
    exp.Tan,
    exp.Asin,
    exp.Acos,
    exp.Atan,
    exp.Atan2,
    exp.Sinh,
    exp.Cosh,
    exp.Tanh,
    exp.Cbrt,
    exp.Degrees,
)


@handles(exp.Literal)
def literal(t: Typer, node: exp.Expr) -> Value:
    t.hit("arith.literal", node)
    text = node.name
    if node.args.get("is_string"):
        return Value(Type("string"), nullable=False, constant=text, ascii=text.isascii())
    if "e" in text.lower():
        return Value(FLOAT64, nullable=False, constant=float(text))
    exact = Fraction(text)
    if "." in text:
        whole, fraction = text.split(".")
        digits = len(whole.lstrip("0")) + len(fraction)
        return Value(
            Type("decimal", max(digits, len(fraction), 1), len(fraction)), nullable=False, lo=exact, hi=exact, constant=exact
        )
    type_ = INT32 if abs(int(text)) < 2**31 else INT64 if abs(int(text)) < 2**63 else Type("decimal", min(38, len(text)), 0)
    return Value(type_, nullable=False, lo=int(text), hi=int(text), constant=int(text))


@handles(exp.Neg)
def negative(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    if inner.type == INTERVAL:
        return inner
    if isinstance(node.this, exp.Literal) and inner.constant is not None and not isinstance(inner.constant, str):
        value = -inner.constant
        type_ = INT32 if value == -(2**31) else INT64 if value == -(2**63) else inner.type
        return replace(
            inner, type=type_, lo=value if inner.is_exact else None, hi=value if inner.is_exact else None, constant=value
        )
    if not _numbers(t, node, inner):
        return UNKNOWN_VALUE
    bounds = inner.bounds()
    if bounds:
        return _exact(t, node, inner.type, (-bounds[1], -bounds[0]), inner.nullable, "arith.abs_min")
    lo, hi = (None if end is None else -end for end in (inner.hi, inner.lo))
    return replace(inner, lo=lo, hi=hi, constant=None)


@handles(exp.Abs)
def absolute(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    if not _numbers(t, node, inner):
        return UNKNOWN_VALUE
    bounds = inner.bounds()
    if not bounds:
        t.hit("arith.plain", node)
        return replace(inner, lo=0, constant=None)
    lo, hi = bounds
    least = max(lo, -hi, 0) if lo > 0 or hi < 0 else 0
    return _exact(t, node, inner.type, (least, max(-lo, lo, -hi, hi)), inner.nullable, "arith.abs_min")


@handles(exp.Add, exp.Sub, exp.Mul)
def add(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    if INTERVAL in (left.type, right.type) or left.is_instant or right.is_instant:
        from skewless.sql.times import shifted

        return shifted(t, node, left, right)
    if not _numbers(t, node, left, right):
        return UNKNOWN_VALUE
    nullable = left.nullable or right.nullable
    if left.is_float or right.is_float:
        return _float_result(t, node, left, right, nullable)
    if NULL in (left.type, right.type):
        return replace(left if right.type == NULL else right, nullable=True)
    a, b = left.bounds(), right.bounds()
    assert a and b
    bounds = _combined(node, a, b)
    if left.is_int and right.is_int:
        return _exact(t, node, common(left.type, right.type, []), bounds, nullable, "arith.overflow_int")
    return _decimal_result(t, node, left, right, bounds, nullable)


def _float_result(t: Typer, node: exp.Expr, left: Value, right: Value, nullable: bool) -> Value:
    if FLOAT32 in (left.type, right.type):
        t.hit("type.float32", node)
    _beside_double(t, node, left, right)
    exponent = next((n for n in (node.this, node.expression) if isinstance(n, exp.Literal) and "e" in n.name.lower()), None)
    if exponent is not None and (left.is_exact or right.is_exact):
        t.hit("arith.literal_exponent", node)
    else:
        t.hit("arith.plain", node)
    lo, hi = _float_bounds(node, left, right)
    if isinstance(node, (exp.Add, exp.Mul)) and all(v.lo is not None and v.lo >= 0 for v in (left, right)):
        lo = max(lo or 0, 0)
    return Value(FLOAT64, nullable=nullable, lo=lo, hi=hi)


def _beside_double(t: Typer, node: exp.Expr, left: Value, right: Value) -> None:
    for side, wrong in zip((node.this, node.expression), beside_double([left, right]), strict=True):
        if wrong:
            t.hit("cast.decimal_implicit", side)


def _float_bounds(node: exp.Expr, left: Value, right: Value) -> tuple[Number | None, Number | None]:
    """The range of a result in floating point; None where a side has no range.

    Rounding is monotone, so the rounded ends of the operands give the ends of the rounded result.
    """
    ends = [v.bounds() or (v.lo, v.hi) for v in (left, right)]
    if any(end is None for pair in ends for end in pair):
        return None, None
    a, b = ((float(lo), float(hi)) for lo, hi in ends)   # type: ignore[arg-type]
    if isinstance(node, exp.Mul):
        if _is_predecessor(node):
            return 0, None
        found = [x * y for x in a for y in b]
        lo, hi = (0.0 if _squares(node) else min(found)), max(found)
    else:
        lo, hi = (a[0] + b[0], a[1] + b[1]) if isinstance(node, exp.Add) else (a[0] - b[1], a[1] - b[0])
    return (Fraction(lo), Fraction(hi)) if isfinite(lo) and isfinite(hi) else (None, None)


def _same(node: exp.Expr) -> bool:
    return bool(bare(node.this) == bare(node.args["expression"]))


def _squares(node: exp.Expr) -> bool:
    """Whether both factors are one number, each under casts that may round it but keep its sign."""
    return bool(_uncast(node.this) == _uncast(node.args["expression"]))


def _uncast(node: exp.Expr) -> exp.Expr:
    while isinstance(node, (exp.Paren, exp.Cast)):
        node = node.this
    return node


def _is_predecessor(node: exp.Expr) -> bool:
    """n * (n - 1) for a count n, which is never negative."""
    count, below = bare(node.this), bare(node.args["expression"])
    inner = count.this if isinstance(count, exp.Window) else count
    before = isinstance(below, exp.Sub) and bare(below.this) == count and number(below.expression) == 1
    return before and isinstance(inner, exp.Count)


def _combined(node: exp.Expr, a: tuple[Number, Number], b: tuple[Number, Number]) -> tuple[Number, Number]:
    if isinstance(node, exp.Add):
        return a[0] + b[0], a[1] + b[1]
    if isinstance(node, exp.Sub):
        if _same(node):
            return 0, 0
        return a[0] - b[1], a[1] - b[0]
    products = [x * y for x in a for y in b]
    if _squares(node):
        return max(0, min(products)), max(products)
    return min(products), max(products)


def _exact(t: Typer, node: exp.Expr, type_: Type, bounds: tuple[Number, Number], nullable: bool, rule: str) -> Value:
    limits = type_bounds(type_)
    assert limits
    if limits[0] <= bounds[0] and bounds[1] <= limits[1]:
        t.hit("arith.plain", node)
        return Value(type_, nullable=nullable, lo=bounds[0], hi=bounds[1])
    if type_.name == "decimal":
        return Value(type_, nullable=nullable)
    wide = INT64 if -(2**63) <= bounds[0] and bounds[1] < 2**63 else Type("decimal", 38, 0)
    top = type_bounds(wide)
    assert top
    if wide.name == "decimal" and (bounds[0] < top[0] or bounds[1] > top[1]):
        t.hit("arith.decimal_38", node, digits=str(len(str(max(abs(int(bounds[0])), abs(int(bounds[1])))))))
        return UNKNOWN_VALUE
    t.hit(rule, node, type=type_.world("duckdb") if type_.name != "int16" else "SMALLINT")
    node.meta["wide"] = wide
    return Value(wide, nullable=nullable, lo=bounds[0], hi=bounds[1])


def _decimal_result(t: Typer, node: exp.Expr, left: Value, right: Value, bounds: tuple[Number, Number], nullable: bool) -> Value:
    a, b = stored_as(left), stored_as(right)
    product = isinstance(node, exp.Mul)
    scale = a.scale + b.scale if product else max(a.scale, b.scale)
    precision = a.precision + b.precision if product else max(a.precision - a.scale, b.precision - b.scale) + scale + 1
    used = len(str(max(abs(int(bounds[0])), abs(int(bounds[1]))))) + scale
    if scale > 38 or used > 38 or _cuts_scale(node, scale, product):
        t.hit("arith.decimal_38", node, digits=str(max(used, precision)))
        return UNKNOWN_VALUE
    narrow = product and max(a.precision, b.precision) <= 18   # DuckDB keeps such a product within 18 digits
    t.hit("arith.decimal_18" if narrow and used > 18 else "arith.plain", node, digits=str(used))
    precision = min(precision, 18 if narrow and used <= 18 else 38)
    return Value(Type("decimal", max(scale, precision), scale), nullable=nullable, lo=bounds[0], hi=bounds[1])


def _cuts_scale(node: exp.Expr, scale: int, product: bool) -> bool:
    """Whether Flink would drop digits after the point: beyond 38 digits it keeps the whole part, and 6 of the fraction."""
    (left, left_scale), (right, right_scale) = (_flink_digits(side) for side in (node.this, node.args["expression"]))
    whole = left + right + 1 - scale if product else max(left - left_scale, right - right_scale) + 1
    node.meta["flink_digits"] = min(38, whole + scale)
    return whole + scale > 38 and max(38 - whole, min(scale, 6)) < scale


def _flink_digits(node: exp.Expr) -> tuple[int, int]:
    """Precision and scale that Flink gives an operand: one digit more than DuckDB for each operation."""
    inner = node.unnest()
    type_ = stored_as(inner.meta["value"])
    return inner.meta.get("flink_digits", type_.precision), type_.scale


@handles(exp.Div, exp.IntDiv)
def divide(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    if not _numbers(t, node, left, right):
        return UNKNOWN_VALUE
    if FLOAT32 in (left.type, right.type):
        t.hit("type.float32", node)
    whole = isinstance(node, exp.IntDiv) or t.reading.dialect == "postgres" and left.is_int and right.is_int
    if whole and isinstance(node, exp.Div):
        node.meta["instead"] = exp.IntDiv(this=node.this.copy(), expression=node.expression.copy())
    other = next((v for v in (left, right) if not v.is_int and v.type != NULL), None)
    if whole and other is not None:
        t.hit("type.operand", node, type=str(other.type))
        return UNKNOWN_VALUE
    if not (left.is_float or right.is_float) and not whole:
        t.hit("arith.divide_int" if left.is_int and right.is_int else "arith.divide_decimal", node)
        return Value(FLOAT64, nullable=True)
    _beside_double(t, node, left, right)
    if is_constant(node.expression) and compute(node.expression) is None:
        t.hit("arith.divide_constant", node)
        return UNKNOWN_VALUE
    _guarded(t, node, right, "arith.divide_zero")
    if whole and left.is_int and right.is_int and _least_by_minus_one(left, right):
        return _overflows(t, node, common(left.type, right.type, []), "arith.divide_least")
    if whole:
        return Value(common(left.type, right.type, []), nullable=True)
    sign = 0 if all(v.lo is not None and v.lo >= 0 for v in (left, right)) else None
    return Value(FLOAT64, nullable=left.nullable or right.nullable or not right.never_zero(), lo=sign)


def _least_by_minus_one(left: Value, right: Value) -> bool:
    """Whether the least integer of the type may be divided by -1: the quotient is one more than the greatest."""
    limits, a, b = type_bounds(common(left.type, right.type, [])), left.bounds(), right.bounds()
    return bool(limits and a and b) and a[0] <= limits[0] and b[0] <= -1 <= b[1]   # type: ignore[index]


def _overflows(t: Typer, node: exp.Expr, type_: Type, widest: str) -> Value:
    """A quotient or remainder that may leave its type: computed in more bits, `widest` where there are none."""
    if type_ == INT64:
        t.hit(widest, node, type="BIGINT")
    else:
        t.hit("arith.overflow_int", node, type="INTEGER")
    node.meta["wide"] = INT64 if type_ != INT64 else Type("decimal", 38, 0)
    return Value(INT64 if type_ != INT64 else Type("decimal", 38, 0), nullable=True)


def _guarded(t: Typer, node: exp.Expr, divisor: Value, rule: str) -> None:
    below = node.expression.unnest()
    safe = divisor.never_zero() or isinstance(below, exp.Nullif) and number(below.expression) == 0
    if isinstance(below, exp.Mul):   # a product is zero only where a factor is
        safe = safe or all(_safe_factor(t, side) for side in (below.left, below.right))
    plain = "arith.mod" if rule == "arith.mod_zero" else "arith.divide"
    t.hit(plain if safe or t.holds("nonzero", node.expression) else rule, node)


def _safe_factor(t: Typer, node: exp.Expr) -> bool:
    node = node.unnest()
    return t.value(node).never_zero() or isinstance(node, exp.Nullif) and number(node.expression) == 0


@handles(exp.Mod)
def modulo(t: Typer, node: exp.Expr) -> Value:
    left, right = t.value(node.this), t.value(node.expression)
    if not _numbers(t, node, left, right):
        return UNKNOWN_VALUE
    if left.is_float or right.is_float:
        _beside_double(t, node, left, right)
        t.hit("arith.mod_double", node)
        return Value(FLOAT64)
    _guarded(t, node, right, "arith.mod_zero")
    type_ = common(left.type, right.type, [left, right])
    if left.is_int and right.is_int and _least_by_minus_one(left, right):
        return _overflows(t, node, type_, "arith.overflow_int")
    bounds = right.bounds()
    reach: Number | None = max(abs(Fraction(bounds[0])), abs(Fraction(bounds[1]))) if bounds else None
    nullable = left.nullable or right.nullable
    if reach is None or not left.is_int:
        return Value(type_, nullable=nullable)
    low = left.bounds()
    limits = type_bounds(type_)
    top = min(reach, limits[1]) if limits else reach
    return Value(type_, nullable=nullable, lo=0 if low and low[0] >= 0 else -top, hi=top)


@handles(exp.Sqrt)
def root(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    if not _numbers(t, node, inner):
        return UNKNOWN_VALUE
    bounds = inner.bounds()
    positive = inner.lo is not None and inner.lo >= 0 or bounds is not None and bounds[0] >= 0 or _is_variance(node.this)
    if inner.is_decimal:
        t.hit("arith.sqrt_decimal", node)
    t.hit("arith.sqrt" if positive else "arith.sqrt_negative", node)
    return Value(FLOAT64, nullable=inner.nullable or not positive, lo=0)


def _is_variance(node: exp.Expr) -> bool:
    node = node.unnest()
    difference = node.this.unnest() if isinstance(node, exp.Div) else node
    while isinstance(difference, exp.Cast):
        difference = difference.this.unnest()
    if not (isinstance(node, exp.Div) and isinstance(difference, exp.Sub)):
        return False
    return difference.left.find(exp.Count) is not None and difference.right.find(exp.Sum) is not None


@handles(exp.Ceil, exp.Floor)
def whole(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    if not _numbers(t, node, inner):
        return UNKNOWN_VALUE
    t.hit("round.whole_int" if inner.is_int else "arith.plain", node)
    if inner.is_decimal:
        bounds = inner.bounds()
        assert bounds
        return Value(Type("decimal", min(38, inner.type.precision - inner.type.scale + 1), 0), nullable=inner.nullable,
                     lo=bounds[0] // 1, hi=-(-bounds[1] // 1))
    if not inner.is_float:
        return replace(inner, constant=None)
    lo, hi = (None if v is None else v // 1 if isinstance(node, exp.Floor) else -(-v // 1) for v in (inner.lo, inner.hi))
    return Value(FLOAT64, nullable=inner.nullable, lo=lo, hi=hi)


@handles(exp.Round, exp.Trunc)
def rounded(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    decimals = node.args.get("decimals")
    digits = number(decimals) if decimals is not None else 0
    if not _numbers(t, node, inner):
        return UNKNOWN_VALUE
    if inner.is_float or digits is None:
        t.hit("round.double" if isinstance(node, exp.Round) else "round.trunc_double", node)
        return Value(FLOAT64, nullable=inner.nullable)
    t.hit("round.decimal", node)
    if inner.is_int and digits < 0:
        ends, unit = inner.bounds(), 10 ** int(-digits)
        assert ends
        low, high = -(-ends[0] // unit) * unit - unit, ends[1] // unit * unit + unit
        return _exact(t, node, inner.type, (low, high), inner.nullable, "arith.overflow_int")
    if inner.is_int:
        return inner
    scale = max(0, min(inner.type.scale, int(digits)))
    bounds = inner.bounds()
    assert bounds
    precision = max(1, min(38, inner.type.precision - inner.type.scale + scale + (1 if scale < inner.type.scale else 0)))
    unit = Fraction(1, 10**scale) if digits >= 0 else Fraction(10 ** int(-digits))
    return Value(
        Type("decimal", precision, scale),
        nullable=inner.nullable,
        lo=-(-bounds[0] // unit) * unit - unit,
        hi=bounds[1] // unit * unit + unit,
    )


@handles(exp.Sign)
def sign(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    t.hit("arith.sign", node)
    return Value(INT32, nullable=inner.nullable, lo=-1, hi=1)


@handles(exp.Pi)
def pi(t: Typer, node: exp.Expr) -> Value:
    t.hit("arith.sqrt", node)
    return Value(FLOAT64, nullable=False, lo=3, hi=4, nonzero=True)


@handles(*LIBM)
def libm(t: Typer, node: exp.Expr) -> Value:
    for child in node.iter_expressions():
        t.value(child)
    t.hit("arith.libm", node, name=function_name(node))
    return Value(FLOAT64)


@handles(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift)
def bitwise(t: Typer, node: exp.Expr) -> Value:
    value = t.value(node.this)
    t.value(node.expression)
    t.hit("arith.bitwise", node)
    return replace(value, constant=None)


def _numbers(t: Typer, node: exp.Expr, *values: Value) -> bool:
    """Whether all are numbers; SK204 where one is something else and known."""
    for value in values:
        if not value.known:
            return False
        if not value.is_number and value.type != NULL:
            t.hit("type.operand", node, type=str(value.type))
            return False
    if any(v.type == FLOAT32 for v in values) and isinstance(node, (exp.Neg, exp.Abs, exp.Round, exp.Trunc, exp.Sqrt, exp.Mod)):
        t.hit("type.float32", node)
    return True


__all__ = ["BOOL", "DATE", "INT16", "INT_BITS", "TIMESTAMP"]
