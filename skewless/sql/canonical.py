"""One spelling for what the two warehouse dialects write differently, so that rules and printers know one form.

The canonical form is what the DuckDB reader gives; comments in front of each rule show the text that is read.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

_SPELT = (exp.Anonymous, exp.Add, exp.Cast, exp.DateBin, exp.Encode, exp.Sub)   # what a rule may change
_TO_INTERVAL = {
    "to_milliseconds": "MILLISECOND", "to_seconds": "SECOND", "to_minutes": "MINUTE", "to_hours": "HOUR", "to_days": "DAY",
    "to_weeks": "WEEK", "to_months": "MONTH", "to_years": "YEAR",
}


def canonical(query: exp.Query, dialect: str) -> exp.Query:
    """The same query in the canonical form; the tree is changed in place."""
    rules = (*_BOTH, *_POSTGRES) if dialect == "postgres" else _BOTH
    for node in [n for n in query.walk() if isinstance(n, _SPELT)][::-1]:   # the inner ones first
        for rule in rules:
            changed = rule(node)
            if changed is not None:
                _keep_place(node, changed)
                node.replace(changed)
                break
    return query


def _keep_place(node: exp.Expr, changed: exp.Expr) -> None:
    for key in ("line", "col", "start", "end"):
        if key in node.meta and key not in changed.meta:
            changed.meta[key] = node.meta[key]


def _named(node: exp.Expr, *names: str) -> list[exp.Expr] | None:
    """The arguments of a function that the parser has no class for, None for other nodes."""
    return list(node.expressions) if isinstance(node, exp.Anonymous) and node.name.lower() in names else None


def _to_interval(node: exp.Expr) -> exp.Expr | None:
    """to_minutes(n) -> n * INTERVAL '1' MINUTE."""
    unit = _TO_INTERVAL.get(node.name.lower()) if isinstance(node, exp.Anonymous) else None
    if unit is None or len(node.expressions) != 1:
        return None
    amount = node.expressions[0]
    one = exp.Interval(this=exp.Literal.string("1"), unit=exp.var(unit))
    return exp.Mul(this=exp.paren(amount, copy=False) if isinstance(amount, exp.Binary) else amount, expression=one)


def _date_part(node: exp.Expr) -> exp.Expr | None:
    """date_part('hour', ts) -> EXTRACT(HOUR FROM ts)."""
    found = _named(node, "date_part", "datepart")
    if not found or len(found) != 2 or not isinstance(found[0], exp.Literal):
        return None
    return exp.Extract(this=exp.var(found[0].name.upper()), expression=found[1])


def _trim(node: exp.Expr) -> exp.Expr | None:
    """btrim(s, 'ab') -> TRIM(s, 'ab')."""
    found = _named(node, "btrim")
    return exp.Trim(this=found[0], expression=found[1]) if found and len(found) == 2 else None


def _date_bin(node: exp.Expr) -> exp.Expr | None:
    """date_bin('15 minutes', ts, origin) with an interval for the text."""
    if not isinstance(node, exp.DateBin) or isinstance(node.this, exp.Interval):
        return None
    width = node.this.this if isinstance(node.this, exp.Cast) else node.this
    if not isinstance(width, exp.Literal) or not width.is_string or len(width.name.split()) != 2:
        return None
    amount, unit = width.name.split()
    interval = exp.Interval(this=exp.Literal.string(amount), unit=exp.var(unit.upper()))
    return exp.DateBin(this=interval, expression=node.expression, unit=node.args.get("unit") or node.args.get("zone"))


def _interval_text(node: exp.Expr) -> exp.Expr | None:
    """CAST('1 hour' AS INTERVAL), which is how '1 hour'::interval reads."""
    if not isinstance(node, exp.Cast) or node.to.this != exp.DType.INTERVAL or not isinstance(node.this, exp.Literal):
        return None
    words = node.this.name.split()
    if len(words) != 2:
        return None
    return exp.Interval(this=exp.Literal.string(words[0]), unit=exp.var(words[1].upper()))


def _day_difference(node: exp.Expr) -> exp.Expr | None:
    """CAST(b AS DATE) - CAST(a AS DATE) -> DATE_DIFF('day', a, b)."""
    if not isinstance(node, exp.Sub) or not all(_is_cast(side, exp.DType.DATE) for side in (node.left, node.right)):
        return None
    return _diff("DAY", node.right.this, node.left.this)


_PER = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600}


def _epoch_difference(node: exp.Expr) -> exp.Expr | None:
    """CAST(EXTRACT(EPOCH FROM date_trunc('second', b)) - EXTRACT(EPOCH FROM date_trunc('second', a)) AS BIGINT) -> DATE_DIFF."""
    if not _is_cast(node, exp.DType.BIGINT):
        return None
    inner, factor = node.this.unnest(), 1
    if isinstance(inner, exp.Mul) and inner.right.name == "1000":
        inner, factor = inner.this.unnest(), 1000
    if not isinstance(inner, exp.Sub):
        return None
    end, start = _truncated_epoch(inner.left), _truncated_epoch(inner.right)
    unit = {1: ("SECOND",), 1000: ("MILLISECOND",)}[factor]
    if end is None or start is None or end[0] != start[0] or end[0] not in unit:
        return None
    return _diff(end[0], start[1], end[1])


def _truncated_epoch(node: exp.Expr) -> tuple[str, exp.Expr] | None:
    node = node.unnest()
    if not isinstance(node, exp.Extract) or node.this.name.upper() != "EPOCH":
        return None
    inner = node.expression.unnest()
    if not isinstance(inner, (exp.TimestampTrunc, exp.DateTrunc)):
        return None
    return inner.args["unit"].name.upper().rstrip("S"), inner.this


def _divided_epoch(node: exp.Expr) -> exp.Expr | None:
    """CAST(EXTRACT(EPOCH FROM date_trunc('hour', b) - date_trunc('hour', a)) / 3600 AS BIGINT) -> DATE_DIFF('hour', a, b)."""
    if not _is_cast(node, exp.DType.BIGINT) or not isinstance(node.this.unnest(), exp.Div):
        return None
    quotient = node.this.unnest()
    epoch = quotient.left.unnest()
    if (
        not isinstance(epoch, exp.Extract)
        or epoch.this.name.upper() != "EPOCH"
        or not isinstance(epoch.expression.unnest(), exp.Sub)
    ):
        return None
    sides = [s.unnest() for s in (epoch.expression.unnest().left, epoch.expression.unnest().right)]
    if not all(isinstance(s, (exp.TimestampTrunc, exp.DateTrunc)) for s in sides):
        return None
    units = {s.args["unit"].name.upper().rstrip("S") for s in sides}
    unit = units.pop()
    if units or str(_PER.get(unit)) != quotient.right.name:
        return None
    return _diff(unit, sides[1].this, sides[0].this)


def _milliseconds(node: exp.Expr) -> exp.Expr | None:
    """TIMESTAMP '1970-01-01' + l * INTERVAL '1 millisecond' -> EPOCH_MS(l)."""
    if not isinstance(node, exp.Add) or not isinstance(node.right.unnest(), exp.Mul):
        return None
    product, origin = node.right.unnest(), node.left.unnest()
    interval = product.expression.unnest()
    text = origin.this.name if isinstance(origin, exp.Cast) else ""
    unit = interval.unit.name.upper().rstrip("S") if isinstance(interval, exp.Interval) and interval.unit is not None else ""
    if unit != "MILLISECOND" or interval.this.name != "1" or text not in ("1970-01-01", "1970-01-01 00:00:00"):
        return None
    return exp.UnixToTime(this=product.this, scale=exp.Literal.number(3))


def _diff(unit: str, start: exp.Expr, end: exp.Expr) -> exp.Expr:
    return exp.DateDiff(this=end, expression=start, unit=exp.var(unit), date_part_boundary=True)


def _is_cast(node: exp.Expr, to: exp.DType) -> bool:
    return isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast) and node.to.this == to


def _sha256(node: exp.Expr) -> exp.Expr | None:
    """encode(sha256(convert_to(s, 'UTF8')), 'hex') -> SHA256(s)."""
    found = [node.this, node.args.get("charset")] if isinstance(node, exp.Encode) else _named(node, "encode")
    if not found or len(found) != 2 or found[1] is None or found[1].name.lower() != "hex":
        return None
    digest, named = found[0], _named(found[0], "sha256")
    bytes_ = digest.this if isinstance(digest, (exp.SHA2, exp.SHA2Digest)) else named[0] if named else None
    text = _named(bytes_, "convert_to") if isinstance(bytes_, exp.Expr) else None
    return exp.SHA2(this=text[0], length=exp.Literal.number(256)) if text else None


_Rule = Callable[[exp.Expr], exp.Expr | None]
_BOTH: tuple[_Rule, ...] = (_to_interval, _date_part, _trim, _date_bin, _interval_text)
_POSTGRES: tuple[_Rule, ...] = (_day_difference, _epoch_difference, _divided_epoch, _milliseconds, _sha256)
