"""OVER: partitions, order, frames. Flink ends every frame at the current row and has no FILTER beside OVER."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from skewless.sql.value import INT32, INT64, Value
from skewless.sql.windows import Over
from skewless.stream.lower.aggregates import cased, finish, typed
from skewless.stream.lower.printer import Printer, no_form, prints, value


@prints(exp.Window, args="this partition_by order spec alias over")
def window(p: Printer, node: exp.Window) -> str:
    function = cased(node.this) if p.flink and isinstance(node.this, exp.Filter) else node.this.copy()
    holder = exp.Window(this=function)   # a function knows by its parent that a cast belongs behind OVER
    text = p.text(holder.this)
    return finish(p, node, f"{text} OVER ({specification(p, over_of(node))})")


def over_of(node: exp.Window) -> Over:
    """The window of a function, its name resolved by the checker. Raises SK820 for a tree that was not checked."""
    over = node.meta.get("over")
    if not isinstance(over, Over):
        raise no_form("any engine", node)
    return over


def positional(node: exp.Window) -> bool:
    """Whether a function looks at places of rows instead of a frame."""
    return isinstance(node.this, (exp.Lag, exp.RowNumber))


def specification(p: Printer, over: Over) -> str:
    """What stands in the parentheses after OVER."""
    parts = [f"PARTITION BY {p.items(over.partition_by)}"] if over.partition_by else []
    if over.order is not None:
        parts.append(f"ORDER BY {', '.join(_ordered(p, o) for o in over.order.expressions)}")
    if over.spec is not None:
        parts.append(_frame(p, over.spec))
    return " ".join(parts)


def _ordered(p: Printer, node: exp.Ordered) -> str:
    """An event time has no NULLs, so their place is not named."""
    return p.text(node.this) + (" DESC" if node.args.get("desc") else "")


def _frame(p: Printer, spec: exp.WindowSpec) -> str:
    kind = str(spec.args.get("kind") or "").upper()
    if kind not in ("RANGE", "ROWS") or spec.args.get("exclude") is not None:
        raise no_form(p.engine, spec)
    end = _bound(p, spec, "end") if spec.args.get("end") is not None else "CURRENT ROW"
    return f"{kind} BETWEEN {_bound(p, spec, 'start')} AND {end}"


def _bound(p: Printer, spec: exp.WindowSpec, side: str) -> str:
    what, direction = spec.args.get(side), str(spec.args.get(f"{side}_side") or "").upper()
    if isinstance(what, exp.Expr) and direction == "PRECEDING":
        return f"{p.text(what)} PRECEDING"
    text = str(what).upper()
    if text == "CURRENT ROW":
        return text
    if text == "UNBOUNDED" and direction == "PRECEDING":
        return "UNBOUNDED PRECEDING"
    raise no_form(p.engine, spec)


def ends_before(node: exp.Window) -> bool:
    """Whether a frame ends before the current row."""
    spec = over_of(node).spec
    return spec is not None and isinstance(spec.args.get("end"), exp.Expr)


def to_current(node: exp.Window) -> exp.Expr:
    """A frame that ends before the current row, by frames that end at it: the whole less the current row (ROWS) or peers (RANGE).

    Of COUNT and SUM of exact types only. Raises SK820 for another function.
    """
    over = over_of(node)
    assert over.spec is not None
    function = cased(node.this) if isinstance(node.this, exp.Filter) else node.this
    if not isinstance(function, (exp.Count, exp.Sum)) or isinstance(function.this, exp.Distinct):
        raise no_form("flink", node)
    whole = over.spec.copy()
    whole.set("end", "CURRENT ROW")
    whole.set("end_side", None)
    alone = _current_row if str(over.spec.args.get("kind")).upper() == "ROWS" else _peers(over, whole)
    counted = typed(exp.Count(this=function.this.copy()), Value(INT64, nullable=False, lo=0))
    rows = typed(exp.Sub(this=_over(counted, over, whole), expression=alone(counted)), Value(INT64, nullable=False))
    if isinstance(function, exp.Count):
        return typed(exp.Paren(this=rows), value(node))
    own = typed(exp.Coalesce(this=alone(function), expressions=[_zero()]), value(function))
    rest = typed(exp.Sub(this=_over(function, over, whole), expression=own), value(function))
    some = exp.GT(this=typed(exp.Paren(this=rows), value(rows)), expression=_zero())
    return typed(exp.Case(ifs=[exp.If(this=some, true=rest)]), value(node))


def _peers(over: Over, whole: exp.WindowSpec) -> Callable[[exp.Expr], exp.Expr]:
    """An aggregate over the rows of the current row's event time."""
    spec = whole.copy()
    spec.set("start", exp.Interval(this=exp.Literal.string("0"), unit=exp.var("SECOND")))
    spec.set("start_side", "PRECEDING")
    return lambda aggregate: _over(aggregate, over, spec)


def _current_row(aggregate: exp.Expr) -> exp.Expr:
    """An aggregate over the current row alone."""
    operand = aggregate.this
    if isinstance(aggregate, exp.Sum):
        return operand.copy()
    if isinstance(operand, exp.Star):
        return typed(exp.Literal.number(1), value(aggregate))
    absent = exp.Is(this=operand.copy(), expression=exp.Null())
    one = typed(exp.Literal.number(1), value(aggregate))
    return typed(exp.Case(ifs=[exp.If(this=absent, true=_zero())], default=one), value(aggregate))


def _over(aggregate: exp.Expr, over: Over, spec: exp.WindowSpec) -> exp.Expr:
    made = exp.Window(this=aggregate.copy())
    made.meta["over"] = replace(over, spec=spec)
    return typed(made, value(aggregate))


def _zero() -> exp.Expr:
    return typed(exp.Literal.number(0), Value(INT32, nullable=False, lo=0, hi=0))
