"""The years that a row can hold: 1 to 9999, checked on whole Arrow columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from skewless.rows.values import INSTANT_MAX_US, INSTANT_MIN_US, misfit

DAY_US = 86_400_000_000


def check_instants(values: pa.Array) -> None:
    """Raises SK302 for an instant outside the years 1 to 9999 (infinity too)."""
    _check_range("timestamp", values.view(pa.int64()), INSTANT_MIN_US, INSTANT_MAX_US, "us")


def check_days(values: pa.Array) -> None:
    """Raises SK302 for a date outside the years 1 to 9999 (infinity too)."""
    _check_range("date", values.view(pa.int32()), INSTANT_MIN_US // DAY_US, INSTANT_MAX_US // DAY_US, "days")


def _check_range(type_text: str, numbers: pa.Array, low: int, high: int, unit: str) -> None:
    bad = pc.filter(numbers, pc.or_(pc.less(numbers, low), pc.greater(numbers, high)))
    if len(bad):
        raise misfit(type_text, f"{bad[0].as_py()} {unit} after 1970")
