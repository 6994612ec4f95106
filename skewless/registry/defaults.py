"""Whether a feature's default fits its type, and the JSON form in which it is kept."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from skewless.clock import format_instant, parse_instant
from skewless.errors import SkewlessError
from skewless.types import Type

INT_BITS = {"int32": 31, "int64": 63}
NOT_FINITE = {"nan": "NaN", "infinity": "Infinity", "-infinity": "-Infinity"}


def fit_default(type_: Type, value: Any) -> Any:
    """`value` in the JSON form of its type (DESIGN §6): decimals, timestamps, dates and bytes as strings. Raises SK118."""
    if type_.array:
        if not isinstance(value, list):
            raise _misfit(type_, value)
        return [fit_default(Type(type_.name), item) for item in value]
    fitted = _FIT[type_.name](value, type_)
    if fitted is None:
        raise _misfit(type_, value)
    return fitted


def _misfit(type_: Type, value: Any) -> SkewlessError:
    return SkewlessError("SK118", f'default "{value}" is not a value of type {type_}')


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _int(value: Any, type_: Type) -> int | None:
    if not _number(value) or value != value or math.isinf(value) or int(value) != value:
        return None
    bound = 1 << INT_BITS[type_.name]
    return int(value) if -bound <= value < bound else None


def _float(value: Any, type_: Type) -> float | str | None:
    if isinstance(value, str):
        return NOT_FINITE.get(value.lower())
    if not _number(value):
        return None
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value) + 0.0


def _decimal(value: Any, type_: Type) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
        fitted = number.quantize(Decimal(1).scaleb(-type_.scale))
    except InvalidOperation:
        return None
    digits = len(fitted.as_tuple().digits)
    return f"{fitted:f}" if fitted == number and digits <= type_.precision else None


def _date(value: Any, type_: Type) -> str | None:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        return None


def _timestamp(value: Any, type_: Type) -> str | None:
    try:
        return format_instant(parse_instant(value)) if isinstance(value, str) else None
    except SkewlessError:
        return None


def _bytes(value: Any, type_: Type) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode() if isinstance(value, str) else None
    except binascii.Error:
        return None


_FIT: dict[str, Any] = {
    "bool": lambda value, type_: value if isinstance(value, bool) else None,
    "int32": _int, "int64": _int, "float32": _float, "float64": _float, "decimal": _decimal,
    "string": lambda value, type_: value if isinstance(value, str) else None,
    "bytes": _bytes, "date": _date, "timestamp": _timestamp,
}
