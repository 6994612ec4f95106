"""GROUP BY a cut event time (date_trunc, time_bucket) as a tumbling window: Flink then sends a group once, when complete."""

from __future__ import annotations

from fractions import Fraction

from sqlglot import exp

from skewless.sql.relations import WindowRelation
from skewless.stream.lower.aggregates import typed
from skewless.stream.lower.printer import value
from skewless.stream.lower.times import SECONDS, length, unit

_WEEK_MS, _MONDAY_MS = 7 * 86_400_000, 4 * 86_400_000   # 1970-01-01 was a Thursday


def lifted(select: exp.Select) -> None:
    """Changes a SELECT from one relation whose GROUP BY cuts its event time once; leaves any other as it is."""
    group, first = select.args.get("group"), select.args.get("from_")
    if group is None or first is None or select.args.get("joins") or "window" in first.this.meta or "as_of" in first.this.meta:
        return
    if any(group.args.get(name) for name in ("grouping_sets", "rollup", "cube")):
        return
    keys = [(key, found) for key in group.expressions if (found := _window(key.unnest(), first.this)) is not None]
    if len(keys) != 1 or not first.this.alias_or_name:
        return
    key, window = keys[0]
    alias = first.this.alias_or_name
    relation = exp.Subquery(this=exp.Select(), alias=exp.TableAlias(this=exp.to_identifier(alias)))
    relation.meta["window"] = window
    for name in ("expressions", "having", "group"):
        _replace(select, name, key.unnest(), alias)
    end = typed(exp.column("window_end", table=alias), value(key))
    select.args["group"].append("expressions", end)
    first.set("this", relation)


def _window(key: exp.Expr, source: exp.Expr) -> WindowRelation | None:
    """The tumbling window that a key of GROUP BY cuts, None for another key."""
    column = key.expression if isinstance(key, exp.DateBin) else key.args.get("this")
    if not isinstance(key, (exp.DateBin, exp.TimestampTrunc, exp.DateTrunc)) or not isinstance(column, exp.Column):
        return None
    if not value(column).event_time or value(column).cut:
        return None
    if isinstance(key, exp.DateBin):
        width = length(key.this) if isinstance(key.this, exp.Interval) else None
        size = width[0] * SECONDS.get(width[1], 0) * 1000 if width is not None else Fraction(0)
        offset = 0
    else:
        name = unit(key.args.get("unit"))
        size, offset = Fraction(SECONDS.get(name, 0) * 1000), 0
        if name == "WEEK":
            size, offset = Fraction(_WEEK_MS), _MONDAY_MS
    if size <= 0 or size.denominator != 1:
        return None
    return WindowRelation("tumble", column.name, source, size_ms=int(size), offset_ms=offset)


def _replace(select: exp.Select, name: str, key: exp.Expr, alias: str) -> None:
    """Puts window_start in the place of each equal expression below one clause."""
    start = typed(exp.column("window_start", table=alias), value(key))

    def step(node: exp.Expr) -> exp.Expr:
        return start.copy() if node == key else node

    part = select.args.get(name)
    if isinstance(part, list):
        select.set(name, [item.transform(step) for item in part])
    elif isinstance(part, exp.Expr):
        select.set(name, part.transform(step))
