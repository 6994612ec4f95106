"""Intervals, and functions of dates and timestamps."""

from __future__ import annotations

import re
from fractions import Fraction

from sqlglot import exp

from skewless.sql.value import DATE, TIMESTAMP, TIMESTAMPTZ
from skewless.stream.lower.printer import Infix, Printer, enclosed, no_form, prints, value

_UNITS = {
    "MICROSECOND": ("SECOND", Fraction(1, 1_000_000)), "MILLISECOND": ("SECOND", Fraction(1, 1000)),
    "SECOND": ("SECOND", Fraction(1)),
    "MINUTE": ("MINUTE", Fraction(1)), "HOUR": ("HOUR", Fraction(1)), "DAY": ("DAY", Fraction(1)), "WEEK": ("DAY", Fraction(7)),
    "MONTH": ("MONTH", Fraction(1)), "QUARTER": ("MONTH", Fraction(3)), "YEAR": ("YEAR", Fraction(1)),
}
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
_TRUNC = ("YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
_PARTS = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "ISODOW", "DOY", "ISOYEAR", "HOUR", "MINUTE", "CENTURY", "DECADE"}
_SAME = {
    "DAYOFWEEK": "DOW", "DAYOFWEEKISO": "ISODOW", "DAYOFWEEK_ISO": "ISODOW", "DAYOFYEAR": "DOY", "YEAROFWEEKISO": "ISOYEAR",
}
_FRACTIONS = {"SECOND", "EPOCH", "MILLISECOND", "MICROSECOND"}
_FORMATS = {   # strftime, to_char, java.time
    "%Y": ("YYYY", "yyyy"), "%m": ("MM", "MM"), "%d": ("DD", "dd"), "%H": ("HH24", "HH"), "%M": ("MI", "mm"), "%S": ("SS", "ss"),
    "%f": ("US", "SSSSSS"), "%j": ("DDD", "DDD"),
}


def unit(node: exp.Expr | None) -> str:
    """A unit's name, upper case, singular."""
    text = node.name.upper() if node is not None else ""
    return text[:-1] if text.endswith("S") else text


def length(node: exp.Interval) -> tuple[Fraction, str] | None:
    """How long an interval is, in SECOND, MINUTE, HOUR, DAY, MONTH or YEAR; None where its number is no literal."""
    number, name = node.this, unit(node.args.get("unit"))
    negative = isinstance(number, exp.Neg)
    number = number.this if isinstance(number, exp.Neg) else number
    if name not in _UNITS or not isinstance(number, exp.Literal) or not re.fullmatch(r"-?\d+(\.\d+)?", number.name.strip()):
        return None
    base, factor = _UNITS[name]
    return Fraction(number.name.strip()) * factor * (-1 if negative else 1), base


@prints(exp.Interval, args="this unit")
def interval(p: Printer, node: exp.Interval) -> str:
    found = length(node)
    if found is not None:
        return span(p, *found)
    name = unit(node.args.get("unit"))
    if name not in _UNITS or not value(node.this).is_int:
        raise no_form(p.engine, node)
    base, factor = _UNITS[name]
    return Infix(f"{p.operand(node.this)} * {span(p, factor, base)}")


def span(p: Printer, number: Fraction, base: str) -> str:
    """An interval of a number of units. Flink has to be told about more than two digits, and about fractions of a second."""
    if base != "SECOND" and number.denominator != 1:
        raise no_form(p.engine, exp.Interval(this=exp.Literal.string(str(float(number))), unit=exp.var(base)))
    sign = "-" if number < 0 else ""
    if not p.flink:
        return f"INTERVAL '{sign}{_decimal(abs(number))}' {base}"
    return f"INTERVAL {sign}{_span_flink(p, abs(number), base)}"


def _span_flink(p: Printer, number: Fraction, base: str) -> str:
    """Up to three digits of one unit; more are spread over units. Raises SK820 beyond 999 days and below a millisecond."""
    digits = _decimal(number)
    whole, _, fraction = digits.partition(".")
    if len(fraction) > 3:
        raise no_form(p.engine, exp.Interval(this=exp.Literal.string(digits), unit=exp.var(base)))
    if len(whole) <= 3:
        size = f"({len(whole)}{', 3' if fraction else ''})" if len(whole) > 2 else ""
        return f"'{digits}' {base}{size}"
    if base == "MONTH":
        years, months = divmod(int(number), 12)
        return f"'{years}-{months}' YEAR({max(2, len(str(years)))}) TO MONTH"
    ms = int(number * SECONDS.get(base, 0) * 1000)
    days, rest = divmod(ms, 86_400_000)
    if base == "YEAR" or days > 999:
        raise no_form(p.engine, exp.Interval(this=exp.Literal.string(digits), unit=exp.var(base)))
    clock = f"{rest // 3_600_000:02}:{rest // 60_000 % 60:02}:{rest // 1000 % 60:02}.{rest % 1000:03}"
    return f"'{days} {clock}' DAY({max(2, len(str(days)))}) TO SECOND(3)"


def seconds(number_ms: int) -> str:
    """Milliseconds as the number of an interval in seconds."""
    return _decimal(Fraction(number_ms, 1000))


def of_ms(p: Printer, number_ms: int) -> str:
    """An interval of milliseconds, in its largest whole unit."""
    for base in ("DAY", "HOUR", "MINUTE"):
        if number_ms % (SECONDS[base] * 1000) == 0:
            return span(p, Fraction(number_ms, SECONDS[base] * 1000), base)
    return span(p, Fraction(number_ms, 1000), "SECOND")


def _decimal(number: Fraction) -> str:
    whole, rest = divmod(number.numerator * 1_000_000 // number.denominator, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0") if rest else str(whole)


def moment(p: Printer, node: exp.Expr) -> str:
    """A date or timestamp as a timestamp."""
    return p.text(node) if value(node).type != DATE else p.cast(p.text(node), TIMESTAMP)


@prints(exp.DateAdd, args="this expression")
def date_add(p: Printer, node: exp.DateAdd) -> str:
    return Infix(f"{p.operand(node.this)} + {p.operand(node.expression)}")


@prints(exp.TimestampTrunc, exp.DateTrunc, args="this unit")
def truncated(p: Printer, node: exp.Func) -> str:
    return truncate(p, moment(p, node.this), unit(node.args.get("unit")), node)


def truncate(p: Printer, text: str, name: str, node: exp.Expr) -> str:
    """A timestamp cut to a unit. Flink's week starts on Sunday, so Monday is computed."""
    if name not in (*_TRUNC, "WEEK", "MILLISECOND"):
        raise no_form(p.engine, node)
    if not p.flink:
        return f"DATE_TRUNC('{name.lower() + ('s' if name == 'MILLISECOND' else '')}', {text})"
    if name == "MILLISECOND":
        return f"CAST({text} AS TIMESTAMP(3))"
    if name == "WEEK":
        back = f"-MOD(DAYOFWEEK(CAST({text} AS DATE)) + 5, 7)"
        return p.cast(f"TIMESTAMPADD(DAY, {back}, FLOOR({enclosed(text)} TO DAY))", TIMESTAMP)
    return f"FLOOR({enclosed(text)} TO {name})"     # else a last INTERVAL '1' YEAR would read on: TO MONTH


@prints(exp.Extract)
def extract(p: Printer, node: exp.Extract) -> str:
    return part(p, moment(p, node.expression), unit(node.this), node)


_NAMED = {
    exp.Year: "YEAR", exp.Quarter: "QUARTER", exp.Month: "MONTH", exp.Week: "WEEK", exp.WeekOfYear: "WEEK", exp.Day: "DAY",
    exp.DayOfMonth: "DAY", exp.DayOfYear: "DOY", exp.DayOfWeek: "DOW", exp.DayOfWeekIso: "ISODOW", exp.Hour: "HOUR",
    exp.Minute: "MINUTE", exp.Second: "SECOND",
}


@prints(*_NAMED, args="this")
def named_part(p: Printer, node: exp.Func) -> str:
    return part(p, moment(p, node.this), _NAMED[type(node)], node)


def part(p: Printer, text: str, name: str, node: exp.Expr) -> str:
    """A part of a timestamp as a whole number of type bigint. Day of the week: Sunday is 0."""
    name = _SAME.get(name, name)
    if name not in _PARTS | _FRACTIONS | {"DOW"}:
        raise no_form(p.engine, node)
    if p.flink:
        plain = f"EXTRACT({name} FROM {text})"
        return Infix(f"{plain} - 1") if name == "DOW" else plain
    name = name + "S" if name in ("MILLISECOND", "MICROSECOND") and p.postgres else name
    plain = f"EXTRACT({name} FROM {text})"
    return f"CAST(FLOOR({plain}) AS BIGINT)" if name.rstrip("S") in _FRACTIONS else f"CAST({plain} AS BIGINT)"


@prints(exp.DateDiff, args="this expression unit")
def date_diff(p: Printer, node: exp.DateDiff) -> str:
    """How many boundaries of a unit lie between two instants, as bigint."""
    name = unit(node.args.get("unit")) or "DAY"
    if name not in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"):
        raise no_form(p.engine, node)
    if p.duckdb:
        return f"DATE_DIFF('{name.lower()}', {p.text(node.expression)}, {p.text(node.this)})"
    start, end = moment(p, node.expression), moment(p, node.this)
    text = _diff_flink(start, end, name) if p.flink else _diff_postgres(start, end, name)
    return f"CAST({text} AS BIGINT)"


def _diff_flink(start: str, end: str, name: str) -> str:
    if name == "SECOND":
        return f"EXTRACT(EPOCH FROM {end}) - EXTRACT(EPOCH FROM {start})"
    if name == "MILLISECOND":
        return " - ".join(f"(EXTRACT(EPOCH FROM {t}) * 1000 + MOD(EXTRACT(MILLISECOND FROM {t}), 1000))" for t in (end, start))
    return f"TIMESTAMPDIFF({name}, FLOOR({enclosed(start)} TO {name}), FLOOR({enclosed(end)} TO {name}))"


def _diff_postgres(start: str, end: str, name: str) -> str:
    if name == "DAY":
        return f"CAST({end} AS DATE) - CAST({start} AS DATE)"
    if name in ("YEAR", "MONTH"):
        years = f"EXTRACT(YEAR FROM {end}) - EXTRACT(YEAR FROM {start})"
        return years if name == "YEAR" else f"({years}) * 12 + EXTRACT(MONTH FROM {end}) - EXTRACT(MONTH FROM {start})"
    cut = "milliseconds" if name == "MILLISECOND" else name.lower()
    gap = f"EXTRACT(EPOCH FROM DATE_TRUNC('{cut}', {end})) - EXTRACT(EPOCH FROM DATE_TRUNC('{cut}', {start}))"
    factor = {"SECOND": "", "MILLISECOND": " * 1000", "MINUTE": " / 60", "HOUR": " / 3600"}[name]
    return f"({gap}){factor}" if factor else gap


@prints(exp.DateBin, args="this expression unit")
def date_bin(p: Printer, node: exp.DateBin) -> str:
    """The start of the bucket of an instant, counted from an origin that is written."""
    width, origin = node.this, node.args.get("unit")
    size = length(width) if isinstance(width, exp.Interval) else None
    if size is None or size[1] not in SECONDS or origin is None:
        raise no_form(p.engine, node)
    if not p.flink:
        name = "TIME_BUCKET" if p.duckdb else "DATE_BIN"
        return f"{name}({p.text(width)}, {moment(p, node.expression)}, {moment(p, origin)})"
    total = size[0] * SECONDS[size[1]]
    if p.text(origin) != "TIMESTAMP '1970-01-01 00:00:00'" or total.denominator != 1:
        raise no_form(p.engine, node)
    start = f"EXTRACT(EPOCH FROM {moment(p, node.expression)}) / {total} * {total}"
    return f"CAST(TO_TIMESTAMP_LTZ({start}, 0) AS TIMESTAMP(3))"


@prints(exp.LastDay, args="this")
def last_day(p: Printer, node: exp.LastDay) -> str:
    start = truncate(p, moment(p, node.this), "MONTH", node)
    return p.cast(f"{start} + {span(p, Fraction(1), 'MONTH')} - {span(p, Fraction(1), 'DAY')}", DATE)


@prints(exp.UnixToTime, args="this scale")
def from_unix(p: Printer, node: exp.UnixToTime) -> str:
    scale = node.args.get("scale")
    text, power = p.text(node.this), "0" if scale is None else scale.name
    if not value(node.this).is_int or power not in ("0", "3"):
        raise no_form(p.engine, node)
    zoned = value(node).type == TIMESTAMPTZ
    if p.flink:
        moment_ = f"TO_TIMESTAMP_LTZ({text}, {power})"
        return moment_ if zoned else f"CAST({moment_} AS TIMESTAMP(3))"
    if power == "0":
        return f"TO_TIMESTAMP({text})" if zoned else p.cast(f"TO_TIMESTAMP({text})", TIMESTAMP)
    if p.duckdb:
        return f"EPOCH_MS({text})"
    return Infix(f"TIMESTAMP '1970-01-01' + {enclosed(text)} * INTERVAL '1 millisecond'")


@prints(exp.TimeToStr, exp.StrToTime, args="this format")
def formatted(p: Printer, node: exp.Func) -> str:
    pattern = node.args["format"]
    if not isinstance(pattern, exp.Literal):
        raise no_form(p.engine, node)
    reads = isinstance(node, exp.StrToTime)
    text, format_ = p.text(node.this), p.string(_format(p, pattern.name, node))
    if p.duckdb:
        return f"{'STRPTIME' if reads else 'STRFTIME'}({text}, {format_})"
    if p.postgres:
        return p.cast(f"TO_TIMESTAMP({text}, {format_})", TIMESTAMP) if reads else f"TO_CHAR({text}, {format_})"
    return f"{'TO_TIMESTAMP' if reads else 'DATE_FORMAT'}({text}, {format_})"


def _format(p: Printer, pattern: str, node: exp.Expr) -> str:
    parts = re.findall(r"%.|[^%]", pattern)
    if any(part_ not in _FORMATS and (part_.isalpha() or part_.startswith("%") or part_ in "'\"") for part_ in parts):
        raise no_form(p.engine, node)
    if p.duckdb:
        return pattern
    return "".join(_FORMATS.get(part_, (part_, part_))[1 if p.flink else 0] for part_ in parts)


