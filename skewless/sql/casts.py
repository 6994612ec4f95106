"""Values and rules of CAST: from which type to which every value survives, and in one form."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from fractions import Fraction

from sqlglot import exp

from skewless.sql.inference import Typer, handles, number
from skewless.sql.parsing import spelling
from skewless.sql.value import (
    BOOL,
    BYTES,
    DATE,
    FLOAT32,
    FLOAT64,
    INT16,
    INT32,
    INT64,
    INT_BITS,
    STRING,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UNKNOWN_VALUE,
    Value,
    beyond_double,
    fits,
    type_bounds,
)
from skewless.types import Type

_TYPES = {
    exp.DType.BOOLEAN: BOOL,
    exp.DType.SMALLINT: INT16,
    exp.DType.TINYINT: INT16,
    exp.DType.INT: INT32,
    exp.DType.BIGINT: INT64,
    exp.DType.FLOAT: FLOAT32,
    exp.DType.DOUBLE: FLOAT64,
    exp.DType.VARCHAR: STRING,
    exp.DType.TEXT: STRING,
    exp.DType.CHAR: STRING,
    exp.DType.BPCHAR: STRING,
    exp.DType.VARBINARY: BYTES,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: TIMESTAMP,
    exp.DType.TIMESTAMPTZ: TIMESTAMPTZ,
    exp.DType.TIMESTAMP_MS: TIMESTAMP,
    exp.DType.TIMESTAMP_S: TIMESTAMP,
}
_BOOLEANS = {"true": True, "t": True, "yes": True, "y": True, "false": False, "f": False, "no": False, "n": False}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")


def target_type(to: exp.DataType) -> Type:
    """The type that a CAST names, `UNKNOWN` where it is none of ours. DECIMAL without digits is DuckDB's (18,3)."""
    if to.this == exp.DType.DECIMAL:
        digits = parameters(to)
        if not digits:
            return Type("decimal", 18, 3)
        precision, scale = digits[0], digits[1] if len(digits) > 1 else 0
        return Type("decimal", precision, scale) if 1 <= precision <= 38 and scale <= precision else UNKNOWN
    return _TYPES.get(to.this, UNKNOWN)


def parameters(to: exp.DataType) -> list[int]:
    """The numbers in the parentheses of a type."""
    return [int(p.name) for p in to.expressions if isinstance(p, exp.DataTypeParam) and p.name.isdigit()]


_WRITTEN = re.compile(r"[\s)]*(?:\bas\b|::)\s*([a-z_]+)\s*(\(\s*\d+\s*(?:,\s*\d+\s*)?\))?", re.IGNORECASE)


def written_type(sql: str, node: exp.Expr) -> tuple[str, str]:
    """The type of a CAST as the text spells it, in lower case, and its parameters: ("varchar", "(3)"). Empty if not there.

    The reader drops the length of a varchar and gives DECIMAL the parameters that DuckDB would.
    """
    ends = [n.meta["end"] for n in node.this.walk() if "end" in n.meta]
    found = _WRITTEN.match(sql, max(ends) + 1) if ends else None
    return (found[1].lower(), found[2] or "") if found else ("", "")


@handles(exp.TryCast)
def try_cast(t: Typer, node: exp.Expr) -> Value:
    t.value(node.this)
    t.hit("cast.try", node)
    return Value(target_type(node.args["to"]))


@handles(exp.Cast)
def cast(t: Typer, node: exp.Expr) -> Value:
    inner, to = t.value(node.this), target_type(node.args["to"])
    if to == UNKNOWN:
        t.hit("type.unknown", node, x=node.args["to"].sql(dialect=t.reading.dialect))
        return UNKNOWN_VALUE
    if not inner.known:
        return Value(to)
    rule = _rule(t, node, inner, to)
    t.hit(rule, node)
    written, length = written_type(t.reading.sql, node)
    if written in ("decimal", "numeric", "dec") and not length or to.name == "decimal" and not parameters(node.args["to"]):
        t.hit("cast.decimal_bare", node)
    return _result(node, inner, to, rule)


def _rule(t: Typer, node: exp.Expr, inner: Value, to: Type) -> str:
    if inner.type.name == "null" or inner.type == to and to != STRING and not parameters(node.args["to"]):
        return "type.float32" if to == FLOAT32 and inner.type.name == "null" else "cast.plain"
    if to == FLOAT32:
        return "cast.float32"
    if inner.type == STRING:
        return _from_text(t, node, inner, to)
    if inner.type == BOOL:
        return "cast.plain" if to.name in INT_BITS else "cast.bool_text" if to == STRING else "cast.other"
    if inner.is_number:
        return _from_number(t, node, inner, to)
    if inner.is_instant:
        return _from_instant(node, inner, to)
    return "cast.other"


def _from_number(t: Typer, node: exp.Expr, inner: Value, to: Type) -> str:
    if to == FLOAT64:
        return "cast.decimal_double" if beyond_double(inner) else "cast.plain"
    if to == STRING:
        return "cast.plain" if inner.is_exact else "cast.double_text"
    if to == BOOL:
        return "cast.plain" if inner.is_int else "cast.other"
    if to.name in INT_BITS:
        return _to_int(node, inner, to)
    if to.name != "decimal":
        return "cast.other"
    if inner.is_float:
        return (
            "cast.decimal_range"
            if inner.type == FLOAT32
            else "cast.double_decimal"
            if to.scale <= 9
            else "cast.double_decimal_deep"
        )
    bounds, limits = inner.bounds(), type_bounds(to)
    assert bounds and limits
    room = Fraction(1, 2 * 10**to.scale)   # rounding may reach the next number
    slack = room if inner.is_decimal and inner.type.scale > to.scale else 0
    return "cast.plain" if limits[0] - slack <= bounds[0] and bounds[1] <= limits[1] + slack else "cast.decimal_range"


def _to_int(node: exp.Expr, inner: Value, to: Type) -> str:
    if inner.is_float:
        below = node.this.unnest()
        if not isinstance(below, (exp.Floor, exp.Ceil)):
            return "cast.double_int"
        limits = type_bounds(to)
        assert limits
        inside = inner.lo is not None and inner.hi is not None and limits[0] <= inner.lo and inner.hi <= limits[1]
        return "cast.plain" if inside else "cast.int_range"
    if inner.is_decimal and inner.type.scale:
        return "cast.decimal_int"
    return "cast.plain" if fits(inner, to) else "cast.int_range"


def _from_instant(node: exp.Expr, inner: Value, to: Type) -> str:
    if to == STRING:
        return {"date": "cast.plain", "timestamp": "time.text"}.get(inner.type.name, "time.zoned_text")
    if to == DATE:
        return "time.before_1970" if inner.before_1970 and inner.type != TIMESTAMPTZ else "cast.plain"
    if to in (TIMESTAMP, TIMESTAMPTZ):
        precision = parameters(node.args["to"])
        short = precision and precision[0] < 6 or node.args["to"].this in (exp.DType.TIMESTAMP_MS, exp.DType.TIMESTAMP_S)
        return "time.precision" if short and inner.type == TIMESTAMP else "cast.plain"
    return "cast.other"


def _from_text(t: Typer, node: exp.Expr, inner: Value, to: Type) -> str:
    if to == STRING:
        written, length = written_type(t.reading.sql, node)
        if written in ("char", "bpchar", "character"):
            return "cast.char"
        digits = re.findall(r"\d+", length) or parameters(node.args["to"])
        node.meta["length"] = int(digits[0]) if digits else None
        return "cast.text_length" if digits else "cast.plain"
    if isinstance(inner.constant, str):
        return "cast.plain" if _constant_reads(inner.constant, to) else "cast.text_format"
    if to.name in INT_BITS:
        columns = [spelling(c) for c in node.find_all(exp.Column)]
        return "cast.plain" if any(("digits", c) in t.facts for c in columns) else "cast.text_int"
    return "cast.text_fallible"


def _constant_reads(text: str, to: Type) -> bool:
    """Whether every engine reads a text constant as the same value of a type."""
    if to == BOOL:
        return text.lower() in _BOOLEANS
    if to.name in INT_BITS:
        return re.fullmatch(r"\s*[+-]?\d+\s*", text) is not None and abs(int(text)) < 2 ** INT_BITS[to.name]
    if to == FLOAT64:
        return re.fullmatch(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|NaN|Infinity)", text) is not None
    if to.name == "decimal":
        return re.fullmatch(r"[+-]?\d+(\.\d+)?", text) is not None and abs(Fraction(text)) < Fraction(
            10 ** (to.precision - to.scale)
        )
    if to in (DATE, TIMESTAMP):
        if not (_TIMESTAMP if to == TIMESTAMP else re.compile(r"\d{4}-\d\d-\d\d")).fullmatch(text):
            return False
        try:
            datetime.datetime.fromisoformat(text)
        except ValueError:
            return False
        return True
    return False


def _result(node: exp.Expr, inner: Value, to: Type, rule: str) -> Value:
    known = Value(to, nullable=inner.nullable or rule in ("cast.int_range", "cast.text_int"))
    if inner.type.name == "null":
        return replace(known, lo=0, hi=0) if known.is_exact else known   # NULL has no range: it widens none
    if isinstance(inner.constant, str):
        known = replace(
            known,
            constant=_constant(inner.constant, to),
            before_1970=to in (DATE, TIMESTAMP) and inner.constant < "1970",
            ascii=inner.ascii,
        )
    if to == STRING:
        return replace(known, ascii=inner.ascii or inner.type != STRING)
    if inner.is_instant:
        return replace(known, before_1970=inner.before_1970, event_time=inner.event_time and to == TIMESTAMP)
    if inner.type == BOOL and to.name in INT_BITS:
        return replace(known, lo=0, hi=1)
    limits = type_bounds(to)
    if inner.is_float and to.name in INT_BITS and limits and inner.lo is not None and inner.hi is not None:
        return replace(known, lo=max(-(-inner.lo // 1), limits[0]), hi=min(inner.hi // 1, limits[1]))
    if inner.is_exact and limits:
        bounds = inner.bounds()
        assert bounds
        zero_kept = inner.nonzero and (inner.is_int or to.name == "decimal" and to.scale >= inner.type.scale)
        return replace(known, lo=max(bounds[0], limits[0]), hi=min(bounds[1], limits[1]), nonzero=zero_kept)
    if to == FLOAT64 and inner.is_number:
        fraction = number(node.this)
        lo, hi = (fraction, fraction) if fraction is not None else (inner.lo, inner.hi)
        return replace(known, lo=lo, hi=hi, nonzero=inner.never_zero() or bool(fraction), constant=inner.constant)
    return known


def _constant(text: str, to: Type) -> object:
    if to == BOOL:
        return _BOOLEANS.get(text.lower())
    if to in (FLOAT64,):
        try:
            return float(text)
        except ValueError:
            return None
    if to.name in (*INT_BITS, "decimal"):
        try:
            return Fraction(text.strip())
        except ValueError:
            return None
    return text
