"""Values and rules of dates, timestamps and intervals."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from sqlglot import exp

from skewless.sql.inference import Typer, function_name, handles, number
from skewless.sql.value import DATE, FLOAT64, INT64, INTERVAL, STRING, TIMESTAMP, TIMESTAMPTZ, UNKNOWN_VALUE, Value
from skewless.types import Type

UNITS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
_US = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6, "DAY": 86400 * 10**6,
    "WEEK": 7 * 86400 * 10**6,
}
_SECONDS = {
    **{unit: Fraction(us, 10**6) for unit, us in _US.items()}, "MONTH": Fraction(31 * 86400), "QUARTER": Fraction(92 * 86400),
    "YEAR": Fraction(366 * 86400),
}
SHIFT_SECONDS_MAX = 1000 * 366 * 86400
EPOCH_SECONDS_MAX = 62_135_596_800
"""How far a shift may move an instant, and an epoch lie from 1970: beyond the years 1 to 9999 engines raise or wrap."""
_PARTS = {  # part of EXTRACT -> least and greatest value
    "YEAR": (1, 9999),
    "QUARTER": (1, 4),
    "MONTH": (1, 12),
    "WEEK": (1, 53),
    "DAY": (1, 31),
    "ISODOW": (1, 7),
    "DAYOFWEEKISO": (1, 7),
    "DAYOFWEEK_ISO": (1, 7),
    "DOY": (1, 366),
    "DAYOFYEAR": (1, 366),
    "ISOYEAR": (1, 9999),
    "YEAROFWEEKISO": (1, 9999),
    "HOUR": (0, 23),
    "MINUTE": (0, 59),
    "CENTURY": (1, 100),
    "DECADE": (0, 999),
    "DOW": (0, 6),
    "DAYOFWEEK": (0, 6),
}
_FRACTIONS = {"SECOND": (0, 60), "MILLISECOND": (0, 60_000), "MICROSECOND": (0, 60_000_000), "EPOCH": (-(2**37), 2**38)}
_FORMAT = re.compile(r"(?:[^%A-Za-z]|%[YmdHMSfj])*")


def unit_of(node: exp.Expr | None) -> str:
    """A unit of time in the singular and upper case: DAY for `'days'`; empty for none."""
    name = (node.name if node is not None else "").upper()
    plural = name.endswith("S") and name[:-1] in UNITS
    return name[:-1] if plural else {"MILLISECONDS": "MILLISECOND", "MS": "MILLISECOND", "US": "MICROSECOND"}.get(name, name)


def interval_us(node: exp.Expr | None) -> int | None:
    """The microseconds of a literal interval, None for months, years and intervals that are computed."""
    if not isinstance(node, exp.Interval) or node.this is None:
        return None
    amount = number(node.this)
    factor = _US.get(unit_of(node.unit))
    return None if amount is None or factor is None else int(amount * factor)


@handles(exp.Interval)
def interval(t: Typer, node: exp.Expr) -> Value:
    assert isinstance(node, exp.Interval)
    unit = unit_of(node.unit)
    amount = number(node.this) if node.this is not None else None
    if unit not in UNITS or amount is None and isinstance(node.this, exp.Literal):
        t.hit("time.interval_unit", node)
    elif amount is None:
        t.hit("time.interval_unit", node)
        t.value(node.this)
    elif amount * _US.get(unit, 1000) % 1000:
        t.hit("time.interval_fine", node)
    elif unit == "WEEK":
        t.hit("time.interval_week", node)
    elif _long(unit, amount):
        t.hit("time.interval_long", node)
    else:
        t.hit("time.plain", node)
    return Value(INTERVAL, nullable=False)


def _long(unit: str, amount: int | Fraction) -> bool:
    return (amount >= 100 or amount <= -100) and unit in ("DAY", "HOUR", "MINUTE", "SECOND", "MONTH", "YEAR")


def shifted(t: Typer, node: exp.Expr, left: Value, right: Value) -> Value:
    """`+ - *` with an interval, a date or a timestamp on a side."""
    if not left.known or not right.known:
        return UNKNOWN_VALUE
    nullable = left.nullable or right.nullable
    if isinstance(node, exp.Mul):
        number_side = right if left.type == INTERVAL else left
        t.hit("time.plain" if number_side.is_int else "type.operand", node, type=str(number_side.type))
        return Value(INTERVAL, nullable=nullable)
    if left.type == INTERVAL and isinstance(node, exp.Add):
        left, right = right, left
    if left.is_instant and right.type == INTERVAL:
        return _plus_interval(t, node, left, nullable)
    if left.is_instant and right.is_instant and isinstance(node, exp.Sub):
        return _difference(t, node, left, right, nullable)
    if left.type == DATE and right.is_int:
        t.hit("time.date_int", node)
        return Value(DATE, nullable=nullable, before_1970=left.before_1970)
    t.hit("type.operand", node, type=str((right if left.is_instant else left).type))
    return UNKNOWN_VALUE


def _far(t: Typer, node: exp.Expr) -> None:
    """Records a shift by an amount that may leave the years that every engine has."""
    side = node.expression.unnest() if isinstance(node.expression.unnest(), (exp.Mul, exp.Interval)) else node.this.unnest()
    step = next((n for n in side.find_all(exp.Interval)), None) if isinstance(side, (exp.Mul, exp.Interval)) else None
    length = number(step.this) if step is not None and step.this is not None else None
    unit = _SECONDS.get(unit_of(step.unit)) if step is not None else None
    if step is None or not length or unit is None:
        return
    most = int(SHIFT_SECONDS_MAX / abs(length * unit))
    if not isinstance(side, exp.Mul):
        if most < 1:
            t.hit("time.range", node)
        return
    amount = side.expression if side.this.find(exp.Interval) is not None else side.this
    bounds = amount.meta["value"].bounds() if "value" in amount.meta else None
    if bounds is not None and (bounds[0] < -most or bounds[1] > most):
        node.meta["amount"], node.meta["range"] = amount, (-most, most)
        t.hit("time.range", node)


def _plus_interval(t: Typer, node: exp.Expr, left: Value, nullable: bool) -> Value:
    _far(t, node)
    if left.type == DATE:
        cast = node.parent.parent if isinstance(node.parent, exp.Paren) else node.parent
        fixed = isinstance(cast, exp.Cast) and cast.to.this == exp.DType.DATE
        t.hit("time.plain" if fixed else "time.date_interval", node)
        return Value(TIMESTAMP, nullable=nullable, before_1970=left.before_1970)
    t.hit("time.plain", node)
    return Value(
        left.type, nullable=nullable, before_1970=left.before_1970, event_time=left.event_time and left.cut, cut=left.cut
    )


def _difference(t: Typer, node: exp.Expr, left: Value, right: Value, nullable: bool) -> Value:
    if left.type == right.type == DATE:
        t.hit("time.date_minus_date", node)
        return Value(INT64, nullable=nullable, lo=-(2**31), hi=2**31 - 1)
    t.hit("time.minus", node)
    return Value(INTERVAL, nullable=nullable)


@handles(exp.DateTrunc, exp.TimestampTrunc)
def trunc(t: Typer, node: exp.Expr) -> Value:
    inner, unit = t.value(node.this), unit_of(node.args.get("unit"))
    if not _instant(t, node, inner):
        return UNKNOWN_VALUE
    if unit not in UNITS:
        t.hit("time.part", node)
        return Value(TIMESTAMP)
    if inner.type == DATE:
        cast = isinstance(node.parent, exp.Cast) and node.parent.to.this == exp.DType.DATE or _inside_date_cast(node)
        t.hit("time.plain" if cast and unit != "WEEK" else "time.trunc_date" if unit != "WEEK" else "time.part", node)
        return Value(TIMESTAMP, nullable=inner.nullable, before_1970=inner.before_1970)
    _after_1970(t, node, inner, "time.week" if unit == "WEEK" else "time.plain")
    cut = unit in _US and unit not in ("MICROSECOND",)
    return Value(
        inner.type,
        nullable=inner.nullable,
        before_1970=inner.before_1970,
        event_time=inner.event_time and cut,
        cut=inner.event_time and cut,
    )


def _inside_date_cast(node: exp.Expr) -> bool:
    """Whether intervals are added and the sum is cast to DATE: CAST(DATE_TRUNC('month', d) + INTERVAL … AS DATE)."""
    above = node.parent
    while isinstance(above, (exp.Add, exp.Sub, exp.Paren)):
        above = above.parent
    return isinstance(above, exp.Cast) and above.to.this == exp.DType.DATE


def _instant(t: Typer, node: exp.Expr, inner: Value) -> bool:
    if inner.known and not inner.is_instant and inner.type.name != "null":
        t.hit("type.operand", node, type=str(inner.type))
        return False
    return inner.known


def _after_1970(t: Typer, node: exp.Expr, inner: Value, rule: str) -> None:
    t.hit("time.before_1970" if inner.before_1970 else rule, node)


_NAMED_PARTS: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Quarter: "QUARTER",
    exp.Month: "MONTH",
    exp.Day: "DAY",
    exp.DayOfMonth: "DAY",
    exp.DayOfYear: "DOY",
    exp.DayOfWeek: "DOW",
    exp.DayOfWeekIso: "ISODOW",
    exp.WeekOfYear: "WEEK",
    exp.Week: "WEEK",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
}


@handles(exp.Extract, *_NAMED_PARTS)
def part(t: Typer, node: exp.Expr) -> Value:
    if isinstance(node, exp.Extract):
        inner, name = t.value(node.expression), unit_of(node.this)
    else:
        inner, name = t.value(node.this), _NAMED_PARTS[type(node)]
    if not _instant(t, node, inner):
        return Value(INT64)
    if name in _FRACTIONS:
        return _fraction(t, node, inner, name)
    bounds = _PARTS.get(name)
    if bounds is None:
        t.hit("time.part", node)
        return Value(INT64)
    _after_1970(t, node, inner, "time.dow" if name in ("DOW", "DAYOFWEEK") else "time.plain")
    return Value(INT64, nullable=inner.nullable, lo=bounds[0], hi=bounds[1])


def _fraction(t: Typer, node: exp.Expr, inner: Value, name: str) -> Value:
    lo, hi = _FRACTIONS[name]
    _after_1970(t, node, inner, "time.part_whole" if _whole(node, name) else "time.part_fraction")
    return Value(Type("decimal", 20, 6), nullable=inner.nullable, lo=lo, hi=hi)


def _whole(node: exp.Expr, name: str) -> bool:
    """Whether the fraction is cut off around an EXTRACT: CAST(FLOOR(…) AS BIGINT), and for sub-seconds `% 1000` after it."""
    above = node.parent
    floored = isinstance(above, exp.Floor)
    if floored and above is not None:
        above = above.parent
    cast = isinstance(above, exp.Cast) and above.to.this == exp.DType.BIGINT
    if name in ("SECOND", "EPOCH"):
        return cast and floored
    rest = above.parent if cast and above is not None else None
    limit = 1000 if name == "MILLISECOND" else 1_000_000
    return isinstance(rest, exp.Mod) and number(rest.expression) == limit


@handles(exp.DateDiff, exp.TimestampDiff, exp.DatetimeDiff)
def difference(t: Typer, node: exp.Expr) -> Value:
    end, start = t.value(node.this), t.value(node.expression)
    unit = unit_of(node.args.get("unit")) or "DAY"
    for side in (end, start):
        if not _instant(t, node, side):
            return Value(INT64)
    if end.before_1970 or start.before_1970:
        t.hit("time.before_1970", node)
    elif unit in ("SECOND", "MILLISECOND"):
        far = any(_year(v) not in range(1970, 2038) for v in (end, start) if isinstance(v.constant, str))
        t.hit("time.diff" if far else "time.diff_second", node)
    else:
        t.hit("time.diff" if unit in ("DAY", "HOUR", "MINUTE", "MONTH", "YEAR") else "time.diff_unit", node)
    reach = {"MILLISECOND": 2**48, "SECOND": 2**39}.get(unit, 2**33)
    return Value(INT64, nullable=end.nullable or start.nullable, lo=-reach, hi=reach)


def _year(value: Value) -> int:
    text = str(value.constant)[:4]
    return int(text) if text.isdigit() else 1970


_CHANGING = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
    exp.Rand,
    exp.Randn,
    exp.Uuid,
)


@handles(*_CHANGING)
def changing(t: Typer, node: exp.Expr) -> Value:
    t.hit("time.now", node, name=function_name(node))
    return Value(FLOAT64 if isinstance(node, exp.Rand) else TIMESTAMP)


@handles(exp.AtTimeZone)
def zone(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    t.hit("time.zone", node)
    return Value(TIMESTAMP if inner.type == TIMESTAMPTZ else TIMESTAMPTZ, nullable=inner.nullable)


@handles(exp.TimeToStr)
def to_text(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    _formatted(t, node)
    return Value(STRING, nullable=inner.nullable, ascii=True)


@handles(exp.StrToTime)
def from_text(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    if inner.known and not isinstance(inner.constant, str):
        t.hit("cast.text_fallible", node)
    else:
        _formatted(t, node)
    return Value(TIMESTAMP, nullable=inner.nullable)


def _formatted(t: Typer, node: exp.Expr) -> None:
    form = node.args.get("format")
    text = form.name if isinstance(form, exp.Literal) else None
    t.hit("time.format" if text is not None and _FORMAT.fullmatch(text) else "time.format_other", node)


@handles(exp.UnixToTime)
def from_epoch(t: Typer, node: exp.Expr) -> Value:
    inner, scale = t.value(node.this), number(node.args["scale"]) if node.args.get("scale") is not None else 0
    if inner.is_instant:   # the parser reads DuckDB's epoch_ms(timestamp) as its inverse
        t.hit("time.epoch_ms", node)
        return Value(INT64, nullable=inner.nullable)
    if inner.known and not inner.is_int or scale not in (0, 3):
        t.hit("type.operand", node, type=str(inner.type))
    else:
        t.hit("time.from_epoch", node)
        _epoch_range(t, node, inner, 1000 if scale else 1)
    zoned = scale == 0
    early = inner.lo is None or inner.lo < 0
    return Value(TIMESTAMPTZ if zoned else TIMESTAMP, nullable=inner.nullable, before_1970=early)


def _epoch_range(t: Typer, node: exp.Expr, inner: Value, unit: int) -> None:
    bounds = inner.bounds()
    limits = -EPOCH_SECONDS_MAX * unit, EPOCH_SECONDS_MAX * unit
    if bounds is not None and (bounds[0] < limits[0] or bounds[1] > limits[1]):
        node.meta["range"] = limits
        t.hit("time.range", node)


@handles(exp.TimeToUnix)
def epoch(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    t.hit("time.epoch_double", node)
    return Value(FLOAT64, nullable=inner.nullable)


@handles(exp.DateBin)
def bucket(t: Typer, node: exp.Expr) -> Value:
    width, inner = t.value(node.this), t.value(node.expression)
    origin = node.args.get("unit") or node.args.get("zone") or node.args.get("origin")
    start = t.value(origin).constant if origin is not None else None
    if not _instant(t, node, inner):
        return UNKNOWN_VALUE
    if not (isinstance(start, str) and start[:10] == "1970-01-01"):
        t.hit("time.bucket_origin", node)
    elif interval_us(node.this) is None or width.type != INTERVAL:
        t.hit("time.interval_unit", node)
    else:
        _after_1970(t, node, inner, "time.bucket")
    return replace(Value(TIMESTAMP), nullable=inner.nullable, event_time=inner.event_time, cut=inner.event_time)


@handles(exp.LastDay)
def last_day(t: Typer, node: exp.Expr) -> Value:
    inner = t.value(node.this)
    t.hit("time.last_day", node)
    return Value(DATE, nullable=inner.nullable)


def named_time_function(t: Typer, node: exp.Expr, name: str, values: list[Value]) -> Value | None:
    """A function of time that the parser has no class for; None for other functions."""
    if name in (
        "now",
        "today",
        "uuid",
        "gen_random_uuid",
        "random",
        "setseed",
        "get_current_timestamp",
        "clock_timestamp",
        "transaction_timestamp",
    ):
        t.hit("time.now", node, name=name.upper())
        return Value(STRING)
    if name in ("epoch_us", "epoch_ns"):
        t.hit("time.epoch_ms", node)
        return Value(INT64)
    return None
