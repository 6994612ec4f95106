"""The one "now". `SKEWLESS_CLOCK=<RFC 3339>` sets it, for demos and tests; then it stands still.

Instants are integers: microseconds since 1970-01-01T00:00:00Z (law 10).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

from skewless.errors import SkewlessError

EPOCH = datetime(1970, 1, 1)
BEGIN_OF_TIME_US = -62_135_596_800_000_000      # 0001-01-01, the first instant that every world can write


def now_us() -> int:
    """The current instant in microseconds since the epoch, UTC. Raises SK103 when SKEWLESS_CLOCK does not parse."""
    fixed = os.environ.get("SKEWLESS_CLOCK")
    return parse_instant(fixed) if fixed else time.time_ns() // 1000


def parse_instant(text: str) -> int:
    """RFC 3339 or a bare ISO date or date-time -> microseconds since the epoch. Without a zone it is UTC.

    >>> parse_instant("2013-01-01")
    1356998400000000
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SkewlessError(
            "SK103", f'"{text}" is not an instant', hint="Write it like 2014-01-01T12:00:00Z or 2014-01-01."
        ) from None
    if at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    return (at - EPOCH) // timedelta(microseconds=1)


def format_instant(at_us: int) -> str:
    """Microseconds since the epoch -> RFC 3339 UTC; fraction digits only where they are not zero, in groups of three.

    >>> format_instant(1356998400000000)
    '2013-01-01T00:00:00Z'
    """
    text = (EPOCH + timedelta(microseconds=at_us)).isoformat()
    if text.endswith("000") and "." in text:
        text = text[:-3]
    return text + "Z"


_UNITS_US = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6, "w": 7 * 86400 * 10**6}


def parse_duration(text: str) -> int:
    """`7d`, `6h`, `90m`, `1d12h` -> microseconds. Units: w d h m s ms us. Raises SK103 for anything else.

    >>> parse_duration("1d12h")
    129600000000
    """
    import re

    parts = re.findall(r"(\d+)(us|ms|w|d|h|m|s)", str(text).strip())
    if not parts or "".join(n + u for n, u in parts) != str(text).strip():
        raise SkewlessError("SK103", f'"{text}" is not a duration', hint="Write it like 7d, 6h, 30m or 1d12h.")
    return sum(int(n) * _UNITS_US[u] for n, u in parts)


def format_duration(us: int) -> str:
    """Microseconds -> the shortest text that `parse_duration` reads back to the same number.

    >>> format_duration(604800000000)
    '7d'
    """
    if us == 0:
        return "0s"
    out = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        n, us = divmod(us, _UNITS_US[unit])
        if n:
            out.append(f"{n}{unit}")
    return "".join(out)
