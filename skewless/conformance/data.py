"""Random input tables of a fuzz run, and what the checker is told of them: ties, late rows, NULLs, Unicode, -0.0, extremes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from skewless.conformance.table import Table
from skewless.sql.value import BOOL, DATE, FLOAT64, INT32, INT64, STRING, TIMESTAMP, Relation, Value, relation
from skewless.types import Type

MONEY, WIDE = Type("decimal", 10, 2), Type("decimal", 20, 6)
LATENESS_S = 60
AHEAD_S = 5
"""How far before and after its arrival an event may lie and still count."""
COUNTS = f"ts > arrived_at - interval '{LATENESS_S}' second and ts <= arrived_at + interval '{AHEAD_S}' second"

KEYS = ("a", "b", "B", "key 4", None)
TEXTS = ("", "a", "b,c", "abc", "ABC", "x%y", "x_y", "Zed", " pad ", "a,b,,c", "12", "-7", "it's", "a\\b", None)
UNICODE = ("Àéß", "日本語テキスト", "😀x İI ﬁ", "ß", "a\tb", "'", "\\", '`"', "\u2028\n", "", "abc", "\uffee", "  pad  ", None)
INTS = (-1000, -7, -1, 0, 1, 2, 3, 7, 12, 100, 999, 1000, None)
WHOLE_INTS = (-(2**31), 2**31 - 1, -1, 0, 5, None)
LONGS = (2**40, -(2**41), -5, 0, 7, 123456789012, None)
WHOLE_LONGS = (-(2**63), 2**63 - 1, 2**53 + 1, 0, -1, None)
MONEYS = (*map(Decimal, ("0.05", "-1.15", "99999999.99", "-99999999.99", "2.50", "3.50", "0.00", "10.00", "0.01")), None)
WIDES = tuple(Decimal(t) for t in (
    "1.234565", "-1.234565", "0.000001", "12345678901234.123456", "-0.500000", "2.675000", "0.000000")) + (None,)
DOUBLES = (0.0, -0.0, 1.005, 0.15, 2.5, 3.5, -2.5, 0.1, 1e15, -1e15, 1e-7, 123456.789, 2.675, 9007199254740993.0, None)
EXTREMES = (0.0, -0.0, 1e300, -1e300, 5e-324, -5e-324, 1.7976931348623157e308, 1.0, None)
DATES = (date(2024, 2, 29), date(2020, 12, 31), date(2021, 1, 3), date(1999, 1, 3), date(2024, 12, 30), date(2000, 1, 1), None)
OLD = (date(1969, 12, 31), date(1582, 10, 15), date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), None)
SEEN = (
    datetime(2021, 1, 3, 23, 59, 59, 999999), datetime(2024, 2, 29, 12, 0, 0, 500000), datetime(2024, 3, 31, 2, 30),
    datetime(2024, 11, 3, 1, 30, 0, 1), datetime(2020, 12, 31, 23, 59, 59), datetime(2000, 1, 1), datetime(1980, 1, 6),
    datetime(2023, 12, 31, 6, 7, 59, 999500), None,
)
# Leap day, ISO week 53, the hour that Europe's clocks skip, the end of a month, the end of 32 bits of seconds.
STARTS = (
    datetime(2024, 2, 28, 23, 50), datetime(2020, 12, 31, 22, 0), datetime(2024, 3, 31, 0, 15), datetime(2023, 1, 31, 23, 0),
    datetime(2038, 1, 19, 3, 0), datetime(2024, 11, 3, 0, 0),
)
TIED_MS = (0, 0, 1, 500, 60_000, 600_000, 1_800_000, 7_200_000)
UNIQUE_MS = (0, 1, 999, 60_000, 600_000, 3_600_000, 90_000_000)


@dataclass(frozen=True)
class Dataset:
    """Tables by name and their relations for the checker. The same seed gives the same tables."""

    seed: int
    tables: Mapping[str, Table]
    inputs: Mapping[str, Relation]


def columns() -> dict[str, Value]:
    """The columns of an event table: `o` numbers its rows, `k` and `g` are keys, `ts` is the event time."""
    return {
        "o": Value(INT64, nullable=False, lo=0, hi=10**6), "k": Value(STRING, ascii=True),
        "g": Value(INT32, nullable=False, lo=0, hi=10), "ts": Value(TIMESTAMP, nullable=False),
        "i": Value(INT32, lo=-1000, hi=1000), "n": Value(INT32), "l": Value(INT64, lo=-(2**41), hi=2**41), "big": Value(INT64),
        "x": Value(MONEY), "w": Value(WIDE), "d": Value(FLOAT64), "h": Value(FLOAT64), "s": Value(STRING, ascii=True),
        "u": Value(STRING), "b": Value(BOOL), "dt": Value(DATE), "old": Value(DATE, before_1970=True), "seen": Value(TIMESTAMP),
    }


def dataset(seed: int, rows: int = 120) -> Dataset:
    """Tables of about that many rows:

    ev ties · eu one row a key and instant · lt late rows, with the time of their arrival · dm versions of a dimension, one row
    a key and instant · st a static relation · none no rows.
    """
    rng = random.Random(f"data {seed}")
    start = rng.choice(STARTS)
    known = columns()
    types = {name: v.type for name, v in known.items()}
    late = {**known, "arrived_at": Value(TIMESTAMP, nullable=False)}
    late_types = {name: v.type for name, v in late.items()}
    dimension = {
        "k": Value(STRING, nullable=False, ascii=True), "ts": Value(TIMESTAMP, nullable=False), "tier": Value(STRING, ascii=True),
        "v": Value(INT64, lo=0, hi=1000), "rate": Value(Type("decimal", 6, 3)),
    }
    dimension_types = {name: v.type for name, v in dimension.items()}
    static = {
        "k": Value(STRING, nullable=False, ascii=True), "f": Value(INT64, nullable=False, lo=-10, hi=10), "label": Value(STRING),
    }
    tables = {
        "ev": Table(types, _events(rng, rows, start, TIED_MS), "ts"),
        "eu": Table(types, _unique(_events(rng, rows, start, UNIQUE_MS)), "ts"),
        "lt": _late(rng, rows, start, late_types),
        "dm": Table(dimension_types, _versions(rng, rows // 3, start), "ts"),
        "st": Table({n: v.type for n, v in static.items()}, [("a", 1, "Àé"), ("b", -3, "two"), ("c", 0, "😀")]),
        "none": Table(types, [], "ts"),
    }
    inputs = {
        "ev": relation({**known}, event_time="ts"), "eu": relation({**known}, event_time="ts", unique=(("k", "ts"), ("o",))),
        "lt": relation({**late}, event_time="ts"), "none": relation({**known}, event_time="ts"),
        "dm": relation({**dimension}, event_time="ts", unique=(("k", "ts"),)),
        "st": relation({**static}, static=True, unique=(("k",),)),
    }
    return Dataset(seed, tables, inputs)


def _event(rng: random.Random, number: int, at: datetime) -> tuple[Any, ...]:
    pick = rng.choice
    return (
        number, pick(KEYS), rng.randrange(3), at, pick(INTS), pick(WHOLE_INTS), pick(LONGS), pick(WHOLE_LONGS), pick(MONEYS),
        pick(WIDES), pick(DOUBLES) if rng.random() < 0.5 else round(rng.uniform(-1000, 1000), rng.randrange(5)), pick(EXTREMES),
        pick(TEXTS), pick(UNICODE), pick((True, False, None)), pick(DATES), pick(OLD), pick((*SEEN, at)),
    )


def _events(rng: random.Random, rows: int, start: datetime, steps_ms: tuple[int, ...]) -> list[tuple[Any, ...]]:
    out, at = [], start
    for number in range(rows):
        at += timedelta(milliseconds=rng.choice(steps_ms))
        out.append(_event(rng, number, at))
    return out


def _unique(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The first row of each key and instant."""
    seen: set[tuple[Any, ...]] = set()
    out = []
    for row in rows:
        if (row[1], row[3]) not in seen:
            seen.add((row[1], row[3]))
            out.append(row)
    return out


def _late(rng: random.Random, rows: int, start: datetime, types: dict[str, Type]) -> Table:
    """Rows in the order of their arrival, which is later than their event time by up to twice what counts, or before it."""
    out, arrived = [], start
    for number in range(rows):
        arrived += timedelta(milliseconds=rng.choice(TIED_MS))
        delay = rng.choice((0, 0, 1, 10_000, 59_999, 60_000, 60_001, 120_000, -1, -5_000, -5_001, -3_600_000))
        out.append((*_event(rng, number, arrived - timedelta(milliseconds=delay)), arrived))
    watermark = f"LEAST(`ts`, `arrived_at`) - INTERVAL '{LATENESS_S}.001' SECOND"     # a session waits for a row at its very end
    return Table(types, out, "ts", watermark, {"arrived_at": "TIMESTAMP(3)"})


def _versions(rng: random.Random, rows: int, start: datetime) -> list[tuple[Any, ...]]:
    out, at, seen = [], start - timedelta(hours=1), set()
    for _ in range(rows):
        at += timedelta(milliseconds=rng.choice((0, 420_000, 1_800_000, 5_400_000)))
        key = rng.choice(("a", "b", "B"))
        if (key, at) not in seen:
            seen.add((key, at))
            rate = rng.choice((Decimal("0.125"), Decimal("-999.999"), None))
            out.append((key, at, rng.choice(("gold", "tin", None)), rng.choice((0, 7, 1000, None)), rate))
    return out
