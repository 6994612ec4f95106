"""Values and rules of OVER: which frames and functions a stream computes row by row with the warehouse's values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlglot import exp

from skewless.sql.inference import Typer, function_name, handles, number
from skewless.sql.parsing import spelling
from skewless.sql.times import interval_us, unit_of
from skewless.sql.value import INT64, ROWS_MAX, TIMESTAMP, UNKNOWN_VALUE, Value
from skewless.sql.zeros import normalised

_AGGREGATES = (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.LogicalAnd, exp.LogicalOr, exp.CountIf)
_POSITIONS = (exp.Lag, exp.RowNumber, exp.FirstValue, exp.LastValue)
_FUTURE = {"LEAD", "NTILE", "PERCENT_RANK", "CUME_DIST"}


@dataclass(frozen=True)
class Over:
    """One window, its name resolved: partitions, order, frame."""

    partition_by: tuple[exp.Expr, ...]
    order: exp.Order | None
    spec: exp.WindowSpec | None

    def key(self, dialect: str = "") -> str:
        """Equal for equal windows, however they are written."""
        parts = [*self.partition_by, *([self.order] if self.order else []), *([self.spec] if self.spec else [])]
        return " ".join(spelling(p) for p in parts)

    def __deepcopy__(self, memo: dict[int, object]) -> Over:
        return self


def resolved(node: exp.Window, named: dict[str, exp.Window]) -> Over:
    """The window of a function, with what its name stands for."""
    base = named.get(node.args["alias"].name.lower()) if node.args.get("alias") is not None else None
    under = resolved(base, named) if base is not None and base is not node else Over((), None, None)
    return Over(
        tuple(node.args.get("partition_by") or ()) or under.partition_by, node.args.get("order") or under.order,
        node.args.get("spec") or under.spec,
    )


@handles(exp.Window)
def window(t: Typer, node: exp.Expr) -> Value:
    assert isinstance(node, exp.Window)
    name = node.args.get("alias")
    if name is not None and name.name.lower() not in t.windows:
        t.hit("over.name", node, name=name.name)
        return UNKNOWN_VALUE
    over = resolved(node, t.windows)
    node.meta["over"] = over
    function = node.this
    if isinstance(function, (exp.IgnoreNulls, exp.RespectNulls)):
        if isinstance(function, exp.IgnoreNulls):
            t.hit("over.ignore_nulls", node)
        function = function.this
    order = [t.value(o.this) for o in over.order.expressions] if over.order else []
    for part in over.partition_by:
        _partition(t, part)
    before, t.over = t.over, node
    known = _function(t, node, function, over)
    t.over = before
    if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
        known = replace(known, nonzero=True)   # frames end at the current row, which counts; others are refused
    if not t.hits_refuse(node):
        _frame(t, node, function, over, order)
    return replace(known, event_time=False, cut=False)


def _partition(t: Typer, part: exp.Expr) -> None:
    value = t.value(part)
    if value.is_float and not normalised(part):
        t.hit("group.float_zero", part)


def _function(t: Typer, node: exp.Window, function: exp.Expr, over: Over) -> Value:
    inner = function.this if isinstance(function, exp.Filter) else function
    if isinstance(inner, exp.RowNumber):
        known = Value(INT64, nullable=False, lo=1, hi=ROWS_MAX)
    elif isinstance(inner, exp.Lag):
        known = _lag(t, node, inner)
    elif isinstance(inner, (exp.FirstValue, exp.LastValue)):
        known = t.value(inner.this)
        if known.nullable:
            t.hit("over.nulls" if isinstance(inner, exp.FirstValue) else "over.last_value", node)
    elif isinstance(inner, (exp.Rank, exp.DenseRank)):
        t.hit("over.rank", node, name=function_name(inner))
        return Value(INT64)
    elif isinstance(inner, exp.Func) and function_name(inner) in _FUTURE:
        t.hit("over.following", node)
        return UNKNOWN_VALUE
    elif isinstance(inner, exp.AggFunc) and not isinstance(inner, exp.NthValue):
        known = t.value(function)
    else:
        t.hit("over.function", node, name=function_name(inner) if isinstance(inner, exp.Func) else inner.name.upper())
        return UNKNOWN_VALUE
    inner.meta["value"] = known
    return known


def _lag(t: Typer, node: exp.Window, lag: exp.Lag) -> Value:
    known = t.value(lag.this)
    offset, default = lag.args.get("offset"), lag.args.get("default")
    if offset is not None and (number(offset) is None or number(offset) < 0):   # type: ignore[operator]
        t.hit("over.function", node, name="LAG by an offset that is no constant")
    if default is None:
        return replace(known, nullable=True, constant=None)
    t.value(default)
    if known.nullable:
        t.hit("over.lag_default", node)
    return replace(known, constant=None)


def _frame(t: Typer, node: exp.Window, function: exp.Expr, over: Over, order: list[Value]) -> None:
    inner = function.this if isinstance(function, exp.Filter) else function
    if over.order is None:
        t.hit("over.none", node)
        return
    descending = any(o.args.get("desc") for o in over.order.expressions)
    if isinstance(inner, exp.RowNumber) and (descending or not _by_time(t, over, order)):
        _deduplication(t, node, over)
    elif descending:
        t.hit("over.descending", node)
    elif not _by_time(t, over, order):
        t.hit("over.order", node)
    elif over.spec is not None and over.spec.args.get("exclude") is not None:
        t.hit("over.exclude", node)
    else:
        _bounds(t, node, inner, over)


def _by_time(t: Typer, over: Over, order: list[Value]) -> bool:
    """Whether rows are ordered by their event time and nothing else; without a declared one, by any timestamp column."""
    if len(order) != 1 or over.order is None:
        return False
    column = over.order.expressions[0].this
    if not isinstance(column, exp.Column):
        return order[0].event_time and order[0].cut
    declared = any(c.value.event_time for source in t.scope.sources.values() for c in source.columns)
    if order[0].event_time or not order[0].known:
        return True
    mixed = any(source.mixed for source in t.scope.sources.values())
    return not declared and not mixed and not t.reading.stream and order[0].type == TIMESTAMP and not order[0].nullable


def _deduplication(t: Typer, node: exp.Window, over: Over) -> None:
    cut = any(part.meta["value"].cut for part in over.partition_by)
    t.hit("over.window_dedup" if cut else "over.keep_last", node)


def _bounds(t: Typer, node: exp.Window, inner: exp.Expr, over: Over) -> None:
    spec = over.spec
    rows = spec is not None and str(spec.args.get("kind") or "").upper() == "ROWS"
    positional = isinstance(inner, _POSITIONS)
    if (rows or positional) and not _unique(t, over):
        t.hit("over.unique", node)
        return
    if spec is None:
        t.hit("over.lag" if positional else "over.plain", node)
        return
    if str(spec.args.get("kind") or "").upper() == "GROUPS":
        t.hit("over.function", node, name="GROUPS")
        return
    start, end = spec.args.get("start"), spec.args.get("end")
    sides = {str(spec.args.get(side) or "").upper() for side in ("start_side", "end_side")}
    if (
        "FOLLOWING" in sides
        or _word(start) == "CURRENT ROW"
        and rows
        and end is not None
        and _word(end) != "CURRENT ROW"
    ):
        t.hit("over.following", node)
    elif end is not None and _word(end) != "CURRENT ROW":
        _before_current(t, node, inner, rows, start, end)
    elif not rows and isinstance(start, exp.Expr) and not _range(t, node, start):
        return
    else:
        t.hit("over.lag" if positional else "over.plain", node)


def _word(bound: object) -> str:
    """UNBOUNDED, CURRENT ROW; empty for an expression."""
    return "" if isinstance(bound, exp.Expr) else str(bound).upper()


def _range(t: Typer, node: exp.Window, start: exp.Expr) -> bool:
    if not isinstance(start, exp.Interval):
        t.hit("over.order", node)
        return False
    t.value(start)
    if unit_of(start.unit) in ("MONTH", "QUARTER", "YEAR"):
        t.hit("over.month", node)
        return False
    if interval_us(start) is None:
        t.hit("time.interval_unit", start)
        return False
    return True


def _before_current(t: Typer, node: exp.Window, inner: exp.Expr, rows: bool, start: object, end: object) -> None:
    """A frame that ends before the current row: its peers excluded, or ROWS n to 1 PRECEDING of an exact sum."""
    argument = inner.this if isinstance(inner, (exp.Count, exp.Sum)) else None
    value = argument.meta.get("value") if isinstance(argument, exp.Expr) else None
    exact = isinstance(inner, exp.Count) or isinstance(inner, exp.Sum) and value is not None and value.is_exact
    if isinstance(start, exp.Interval):
        _range(t, node, start)
    if not rows and exact and isinstance(end, exp.Interval) and interval_us(end) in (1, 1000):
        t.hit("over.peers", node)
    elif rows and exact and isinstance(end, exp.Literal) and number(end) == 1:
        t.hit("over.rows_before", node)
    else:
        t.hit("over.end", node)


def _unique(t: Typer, over: Over) -> bool:
    """Whether no two rows of a partition share the event time."""
    columns = [*over.partition_by, *(o.this for o in over.order.expressions)] if over.order else []
    have = {(c.table.lower(), c.name.lower()) for c in columns if isinstance(c, exp.Column)}
    return any(key <= have for key in t.scope.unique)
