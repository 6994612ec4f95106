"""CAST, literals of dates and timestamps."""

from __future__ import annotations

from sqlglot import exp

from skewless.sql.casts import parameters
from skewless.sql.value import BOOL, BYTES, DATE, INT32, INT_BITS, STRING, TIMESTAMP
from skewless.stream.lower.expressions import as_flag
from skewless.stream.lower.printer import Infix, Printer, no_form, prints, value


@prints(exp.Cast, args="this to _type")
def cast(p: Printer, node: exp.Cast) -> str:
    to, inner = value(node).type, value(node.this)
    source = node.this.unnest()
    if to in (DATE, TIMESTAMP) and isinstance(source, exp.Literal) and source.is_string:
        return instant(to.name, source.name)
    if to == BYTES or to.array:
        raise no_form(p.engine, node)
    if inner.type == BOOL and to.name in INT_BITS:
        return as_flag(p, node.this) if to == INT32 else p.cast(as_flag(p, node.this), to)
    if inner.is_int and to == BOOL:
        return Infix(f"{p.operand(node.this)} <> 0")
    if inner.type == to == TIMESTAMP and not parameters(node.to):
        return p.text(node.this)   # a CAST would take the event time off the column in Flink
    if to == STRING and parameters(node.to):
        raise no_form(p.engine, node)
    if to == STRING and inner.is_decimal and p.engine == "postgres":     # its GREATEST and CASE keep each operand's own digits
        return p.cast(p.cast(p.text(node.this), inner.type), to)
    return p.cast(p.text(node.this), to)


def instant(kind: str, text: str) -> str:
    """A literal: DATE '2024-02-29', TIMESTAMP '2024-02-29 00:00:00'."""
    if kind == "date":
        return f"DATE '{text[:10]}'"
    day, _, time = text.partition(" ")
    return f"TIMESTAMP '{day} {time + ':00' if time.count(':') == 1 else time or '00:00:00'}'"
