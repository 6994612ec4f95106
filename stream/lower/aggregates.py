"""Aggregates and window functions, without their OVER."""

from __future__ import annotations

from sqlglot import exp

from skewless.sql.value import INT64, STRING, Value
from skewless.stream.lower.printer import Printer, no_form, prints, value


@prints(exp.Star, args="")
def star(p: Printer, node: exp.Star) -> str:
    return "*"


@prints(exp.Distinct, args="expressions")
def distinct(p: Printer, node: exp.Distinct) -> str:
    if len(node.expressions) != 1:
        raise no_form(p.engine, node)
    return f"DISTINCT {p.text(node.expressions[0])}"


@prints(exp.Count, args="this")
def count(p: Printer, node: exp.Count) -> str:
    return p.call("COUNT", node.this)


@prints(exp.Sum, args="this")
def total(p: Printer, node: exp.Sum) -> str:
    """Of integers it is a bigint: Flink would keep 32 bits, Postgres makes a numeric, DuckDB 128 bits."""
    if not value(node).is_int:
        return p.call("SUM", node.this)
    operand = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    wide = p.text(operand) if value(operand).type == INT64 or not p.flink else p.cast(p.text(operand), INT64)
    return finish(p, node, f"SUM({'DISTINCT ' if operand is not node.this else ''}{wide})")


def finish(p: Printer, node: exp.Expr, text: str) -> str:
    """The text of an aggregate cast to its type, once FILTER and OVER stand behind it."""
    above = node.parent
    if isinstance(above, (exp.Filter, exp.Window)) and above.this is node:
        return text
    function = node
    while isinstance(function, (exp.Filter, exp.Window)):
        function = function.this
    if isinstance(function, exp.Sum) and value(function).is_int:
        return p.cast(text, INT64)
    return text


@prints(exp.Min, exp.Max, args="this")
def extreme(p: Printer, node: exp.Func) -> str:
    return p.call(node.sql_name(), node.this)


@prints(exp.FirstValue, exp.LastValue, args="this")
def first_value(p: Printer, node: exp.Func) -> str:
    return f"{node.sql_name()}({_argument(p, node.this)})"


def _argument(p: Printer, node: exp.Expr) -> str:
    """The argument of a function of any type: Postgres takes the type of a bare text or NULL from nowhere."""
    bare = p.postgres and isinstance(node.unnest(), (exp.Literal, exp.Null)) and value(node).type.name in ("string", "null")
    return p.cast(p.text(node), STRING) if bare else p.text(node)


@prints(exp.Lag, args="this offset default")
def lag(p: Printer, node: exp.Lag) -> str:
    default, offset, known = node.args.get("default"), node.args.get("offset"), value(node.this)
    if default is not None and p.flink and known.nullable:
        raise no_form(p.engine, node, "a default and a value that may be NULL")
    texts = [_argument(p, node.this), *([p.text(offset)] if offset is not None else [])]
    if default is not None:
        texts.append(p.text(default) if value(default).type == known.type else p.cast(p.text(default), known.type))
    return f"LAG({', '.join(texts)})"


@prints(exp.RowNumber, args="")
def row_number(p: Printer, node: exp.RowNumber) -> str:
    return "ROW_NUMBER()"


@prints(exp.Filter)
def filtered(p: Printer, node: exp.Filter) -> str:
    return finish(p, node, f"{p.text(node.this)} FILTER (WHERE {p.text(node.expression.this)})")


AGGREGATES = (exp.Count, exp.Sum, exp.Min, exp.Max)


def cased(node: exp.Filter) -> exp.Expr:
    """`agg(x) FILTER (WHERE c)` as `agg(CASE WHEN c THEN x END)`, typed. Raises SK820 for another function."""
    function, condition = node.this.copy(), node.expression.this
    if type(function) not in AGGREGATES or isinstance(function.this, exp.Distinct):
        raise no_form("flink", node)
    counts_rows = isinstance(function.this, exp.Star)
    operand = exp.Literal.number(1) if counts_rows else function.this
    known = Value(INT64) if counts_rows else value(operand)
    case = typed(exp.Case(ifs=[exp.If(this=condition.copy(), true=operand.copy())]), known)
    function.set("this", case)
    return function


def typed(node: exp.Expr, known: Value) -> exp.Expr:
    """The node, with what is known of it."""
    node.meta["value"] = known
    return node
