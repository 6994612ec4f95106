"""One value <-> its text in a JSON row, its bytes in a msgpack row, and its form in a JSON reply.

Python values are those of Arrow's `to_pylist`: bool, int, float, str, bytes, Decimal, date, naive UTC datetime, list, None.

| type | JSON row | msgpack row |
|---|---|---|
| bool, int | literal, decimal digits | bool, shortest int |
| float | shortest round trip; "NaN", "Infinity", "-Infinity" | float 64 (float32: float 32), one NaN |
| decimal | string with exactly `scale` fraction digits | the same string |
| string | UTF-8, escaped only where JSON demands it | str |
| bytes | base64 | bin |
| date | ISO | days since 1970-01-01 |
| timestamp | RFC 3339 UTC, fraction of 0, 3 or 6 digits | microseconds since 1970-01-01 |
| array | JSON array | array |

-0.0 becomes 0.0. A float's text is plain from 1e-6 up to 1e10 and has an exponent (`1e+10`, `1e-7`) outside.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from skewless.clock import EPOCH, format_instant
from skewless.errors import SkewlessError
from skewless.types import Type, parse_type

INT_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
EPOCH_DAY = date(1970, 1, 1)
INSTANT_MIN_US = (datetime(1, 1, 1) - EPOCH) // timedelta(microseconds=1)
INSTANT_MAX_US = (datetime(9999, 12, 31, 23, 59, 59, 999999) - EPOCH) // timedelta(microseconds=1)
CANONICAL_NAN64 = struct.pack(">d", math.nan)
CANONICAL_NAN32 = struct.pack(">f", math.nan)
_PRECISE = Context(prec=60)
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
Encoder = Callable[[Any], bytes]


def misfit(type_text: str, value: object) -> SkewlessError:
    """SK302: a value that a row of this type can't hold."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
    return SkewlessError("SK302", f"{shown} is not a value of type {type_text}")


def instant_us(at: datetime) -> int:
    """A datetime (naive = UTC) -> microseconds since the epoch."""
    if at.tzinfo is not None:
        from datetime import UTC

        at = at.astimezone(UTC).replace(tzinfo=None)
    return (at - EPOCH) // timedelta(microseconds=1)


def float_text(value: float, *, single: bool = False) -> str:
    """The canonical text of a finite float; `single` for the shortest text among float32 numbers.

    >>> float_text(0.1), float_text(1.0), float_text(1e10), float_text(-2.5e-7)
    ('0.1', '1', '1e+10', '-2.5e-7')
    """
    if value == 0:
        return "0"
    digits, point = _digits(_shortest32(value) if single else repr(value))
    sign = "-" if value < 0 else ""
    if not -6 < point <= 10:
        exponent = point - 1
        fraction = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{'+' if exponent >= 0 else '-'}{abs(exponent)}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _digits(text: str) -> tuple[str, int]:
    """Significant digits and the position of the decimal point: 0.00123 -> ("123", -2)."""
    mantissa, _, exponent = text.lstrip("-").lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)
    stripped = digits.lstrip("0")
    return stripped.rstrip("0"), point - (len(digits) - len(stripped))


def as_single(value: float) -> float:
    """The nearest float32, as a Python float; beyond its range infinity."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _shortest32(value: float) -> str:
    for precision in range(9):
        rounded = Decimal(f"{value:.{precision}e}")
        step = Decimal((0, (1,), int(rounded.as_tuple().exponent)))
        near = [t for t in (rounded, rounded + step, rounded - step) if as_single(float(t)) == value]
        if near:
            return f"{min(near, key=lambda t: abs(t - Decimal(value))):e}"
    return repr(value)


def json_value(type_text: str, value: Any) -> Any:
    """A Python value -> what a JSON document holds for it (a number, string, list, bool or None). Raises SK302."""
    if value is None:
        return None
    kind = parse_type(type_text)
    if kind.array:
        return [json_value(kind.name, v) for v in value]
    if kind.name in ("float32", "float64"):
        return _json_float(kind, value)
    if kind.name in ("bool", "int32", "int64", "string"):
        return orjson.loads(json_encoder(type_text)(value))
    return json_encoder(type_text)(value)[1:-1].decode()


def _json_float(kind: Type, value: float) -> float | str:
    value = as_single(value) if kind.name == "float32" else float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return _NON_FINITE[value]
    return float(float_text(value, single=kind.name == "float32"))


@lru_cache(maxsize=1024)
def json_encoder(type_text: str) -> Encoder:
    """value -> its bytes in a JSON row; `null` for None."""
    kind = parse_type(type_text)
    one = _JSON[kind.name](kind)
    if not kind.array:
        return lambda v: b"null" if v is None else one(v)
    return lambda v: b"null" if v is None else b"[" + b",".join([b"null" if e is None else one(e) for e in v]) + b"]"


@lru_cache(maxsize=1024)
def msgpack_encoder(type_text: str) -> Encoder:
    """value -> its bytes in a msgpack row; nil for None."""
    kind = parse_type(type_text)
    one = _MSGPACK[kind.name](kind)
    if not kind.array:
        return lambda v: b"\xc0" if v is None else one(v)
    return lambda v: b"\xc0" if v is None else array_head(len(v)) + b"".join([b"\xc0" if e is None else one(e) for e in v])


def array_head(n: int) -> bytes:
    """The msgpack header of an array of n items."""
    if n < 16:
        return bytes([0x90 | n])
    return b"\xdc" + n.to_bytes(2, "big") if n < 65536 else b"\xdd" + n.to_bytes(4, "big")


def check_int(kind: Type, value: Any) -> int:
    """The value as an int of the type. Raises SK302 for a bool, a float or a number out of range."""
    low, high = INT_BOUNDS[kind.name]
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value <= high:
        raise misfit(str(kind), value)
    return int(value)


def check_instant(value: Any) -> int:
    """A datetime -> microseconds. Raises SK302 for anything else."""
    if not isinstance(value, datetime):
        raise misfit("timestamp", value)
    return instant_us(value)


def check_day(value: Any) -> date:
    """A date that is not a datetime. Raises SK302."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise misfit("date", value)
    return value


def decimal_text(kind: Type, value: Any) -> str:
    """A Decimal -> plain digits with exactly `scale` of them after the point. Raises SK302 where digits would be lost."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise misfit(str(kind), value)
    fixed = value.quantize(Decimal((0, (1,), -kind.scale)), context=_PRECISE)
    if fixed != value or fixed.adjusted() + 1 + kind.scale > max(kind.precision, 1) and fixed != 0:
        raise misfit(str(kind), value)
    return f"{abs(fixed) if fixed == 0 else fixed:f}"


def _typed(kind: type, name: str, value: Any) -> Any:
    if not isinstance(value, kind):
        raise misfit(name, value)
    return value


def _json_number(kind: Type) -> Encoder:
    single = kind.name == "float32"

    def encode(value: Any) -> bytes:
        value = as_single(float(value)) if single else float(value)
        if math.isfinite(value):
            return float_text(value, single=single).encode()
        return b'"NaN"' if math.isnan(value) else f'"{_NON_FINITE[value]}"'.encode()

    return encode


def _msgpack_float(kind: Type) -> Encoder:
    single = kind.name == "float32"

    def encode(value: Any) -> bytes:
        value = float(value) or 0.0
        if math.isnan(value):
            return b"\xca" + CANONICAL_NAN32 if single else b"\xcb" + CANONICAL_NAN64
        return b"\xca" + struct.pack(">f", as_single(value)) if single else b"\xcb" + struct.pack(">d", value)

    return encode


_JSON: dict[str, Callable[[Type], Encoder]] = {
    "bool": lambda _: lambda v: b"true" if _typed(bool, "bool", v) else b"false",
    "int32": lambda kind: lambda v: str(check_int(kind, v)).encode(),
    "int64": lambda kind: lambda v: str(check_int(kind, v)).encode(),
    "float32": _json_number,
    "float64": _json_number,
    "decimal": lambda kind: lambda v: f'"{decimal_text(kind, v)}"'.encode(),
    "string": lambda _: lambda v: orjson.dumps(_typed(str, "string", v)),
    "bytes": lambda _: lambda v: b'"' + base64.b64encode(_typed(bytes, "bytes", v)) + b'"',
    "date": lambda _: lambda v: f'"{check_day(v).isoformat()}"'.encode(),
    "timestamp": lambda _: lambda v: f'"{format_instant(check_instant(v))}"'.encode(),
}
_pack = msgspec.msgpack.encode
_MSGPACK: dict[str, Callable[[Type], Encoder]] = {
    "bool": lambda _: lambda v: b"\xc3" if _typed(bool, "bool", v) else b"\xc2",
    "int32": lambda kind: lambda v: _pack(check_int(kind, v)),
    "int64": lambda kind: lambda v: _pack(check_int(kind, v)),
    "float32": _msgpack_float,
    "float64": _msgpack_float,
    "decimal": lambda kind: lambda v: _pack(decimal_text(kind, v)),
    "string": lambda _: lambda v: _pack(_typed(str, "string", v)),
    "bytes": lambda _: lambda v: _pack(_typed(bytes, "bytes", v)),
    "date": lambda _: lambda v: _pack((check_day(v) - EPOCH_DAY).days),
    "timestamp": lambda _: lambda v: _pack(check_instant(v)),
}


@lru_cache(maxsize=1024)
def decoder(type_text: str, codec: str) -> Callable[[Any], Any] | None:
    """What turns an item of a parsed JSON (`j`) or msgpack (`m`) row into the Python value; None where it is that already."""
    kind = parse_type(type_text)
    one = _FROM_JSON.get(kind.name) if codec == "j" else _FROM_MSGPACK.get(kind.name)
    if one is None:
        return None
    if kind.array:
        return lambda v: None if v is None else [None if e is None else one(e) for e in v]
    return lambda v: None if v is None else one(v)


_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "float32": lambda v: as_single(float(v)),
    "float64": float,
    "decimal": Decimal,
    "bytes": base64.b64decode,
    "date": date.fromisoformat,
    "timestamp": lambda v: datetime.fromisoformat(v[:-1]),
}
_FROM_MSGPACK: dict[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "date": lambda v: EPOCH_DAY + timedelta(days=v),
    "timestamp": lambda v: EPOCH + timedelta(microseconds=v),
}
