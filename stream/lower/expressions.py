"""Literals, arithmetic, comparisons, logic, CASE and the NULL functions."""

from __future__ import annotations

import re

from sqlglot import exp

from skewless.sql.constants import compute
from skewless.sql.value import BOOL, DATE, FLOAT64, INT32, STRING, TIMESTAMP, Value, either, stored_as
from skewless.sql.zeros import from_exact
from skewless.stream.lower.printer import Infix, Printer, enclosed, no_form, prints, value
from skewless.types import Type

_SIGNS = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_SIGNED = tuple(_SIGNS)


@prints(exp.Column, args="this table db catalog")
def column(p: Printer, node: exp.Column) -> str:
    return p.column(node.table, node.name)


@prints(exp.Literal)
def literal(p: Printer, node: exp.Literal) -> str:
    text = node.name
    if node.is_string:
        return p.string(text)
    if "e" in text.lower():
        return p.cast(text, FLOAT64)
    return ("0" if text.startswith(".") else "") + text.rstrip(".")


@prints(exp.Boolean)
def boolean(p: Printer, node: exp.Boolean) -> str:
    return "TRUE" if node.this else "FALSE"


@prints(exp.Null)
def null(p: Printer, node: exp.Null) -> str:
    """Flink takes the type of a bare NULL from nowhere, so it says that of the expression around it."""
    if not p.flink:
        return "NULL"
    around: exp.Expr | None = node
    while around is not None:
        known = around.meta.get("value")
        if isinstance(known, Value) and known.type.name not in ("null", "unknown", "interval", "tuple"):
            return p.cast("NULL", known.type)
        around = around.parent
        if isinstance(around, _SIGNED):
            beside = [value(side).type for side in (around.left, around.right)]
            return p.cast("NULL", next((t for t in beside if t.name != "null"), BOOL))
        if isinstance(around, (exp.Connector, exp.Not, exp.Where, exp.Having)):
            return p.cast("NULL", BOOL)
        if not isinstance(around, (exp.Paren, exp.If, exp.Case, exp.Coalesce, exp.Alias)):
            break
    return p.cast("NULL", STRING)   # a column of NULLs: it is cast to its declared type where it leaves the query


@prints(exp.Paren, args="this")
def paren(p: Printer, node: exp.Paren) -> str:
    return p.text(node.this)


@prints(exp.Alias, args="this alias")
def alias(p: Printer, node: exp.Alias) -> str:
    return f"{p.text(node.this)} AS {p.name(node.alias)}"


@prints(exp.Neg, args="this")
def negative(p: Printer, node: exp.Neg) -> str:
    return Infix(f"-{p.operand(node.this)}")


@prints(exp.Add, exp.Sub, exp.Mul)
def arithmetic(p: Printer, node: exp.Binary) -> str:
    if isinstance(node, exp.Sub) and p.flink and all(value(side).type == DATE for side in (node.left, node.right)):
        return p.cast(f"TIMESTAMPDIFF(DAY, {p.text(node.right)}, {p.text(node.left)})", value(node).type)
    left, right = (_flink_instant(p, side) if p.flink else p.operand(side) for side in (node.left, node.right))
    return Infix(f"{left} {_SIGNS[type(node)]} {right}")


def _flink_instant(p: Printer, node: exp.Expr) -> str:
    """An operand of a sum. Of a timestamp's literal, with three digits of a second: a sum with an interval has as many in Flink.

    A date that is never NULL becomes a timestamp: else COALESCE of the sum has no plan (DATE NOT NULL is not DATE).
    """
    text, known = p.operand(node), node.meta.get("value")
    if isinstance(known, Value) and known.type == DATE and not known.nullable:
        return p.cast(text, TIMESTAMP)
    match = re.fullmatch(r"TIMESTAMP '([^'.]*)(?:\.(\d*))?'", text)
    return f"TIMESTAMP '{match[1]}.{(match[2] or '').ljust(3, '0')}'" if match else text


@prints(exp.Div)
def divide(p: Printer, node: exp.Div) -> str:
    left, right = value(node.left), value(node.right)
    if left.is_int and right.is_int:
        raise no_form(p.engine, node)
    return Infix(f"{p.operand(node.left)} / {p.operand(node.right)}")


@prints(exp.IntDiv)
def divide_whole(p: Printer, node: exp.IntDiv) -> str:
    if not (value(node.left).is_int and value(node.right).is_int):
        raise no_form(p.engine, node)
    return Infix(f"{p.operand(node.left)} {'//' if p.duckdb else '/'} {p.operand(node.right)}")


@prints(exp.Mod)
def modulo(p: Printer, node: exp.Mod) -> str:
    left, right = value(node.left), value(node.right)
    if p.flink and left.is_decimal and right.is_int:     # Flink would cast the dividend to the integer's type, and wrap it
        return f"MOD({p.text(node.left)}, {p.cast(p.text(node.right), stored_as(right))})"
    if p.flink and left.is_int and right.type == INT32 != left.type:     # a remainder and its sum have the divisor's type there
        return f"MOD({p.text(node.left)}, {p.cast(p.text(node.right), left.type)})"
    return p.call("MOD", node.left, node.right)


@prints(exp.Abs, exp.Sqrt, args="this")
def function(p: Printer, node: exp.Func) -> str:
    return p.call(node.sql_name(), node.this)


@prints(exp.Sign, args="this")
def sign(p: Printer, node: exp.Sign) -> str:
    return p.cast(p.call("SIGN", node.this), value(node).type)


@prints(exp.Pi, args="")
def pi(p: Printer, node: exp.Pi) -> str:
    return "PI()"


@prints(exp.Ceil, exp.Floor, args="this")
def whole(p: Printer, node: exp.Func) -> str:
    """Of an integer it is the integer itself: Postgres would make a double of it."""
    if value(node.this).is_int:
        return p.text(node.this)
    return p.call(node.sql_name(), node.this)


@prints(exp.Round, exp.Trunc, args="this decimals")
def rounded(p: Printer, node: exp.Func) -> str:
    """An integer stays one: Postgres would make a double of it, or with digits a decimal, which `/` divides exactly."""
    if not value(node.this).is_exact:
        raise no_form(p.engine, node)
    name = "TRUNCATE" if p.flink and isinstance(node, exp.Trunc) else node.sql_name()
    digits = node.args.get("decimals")
    if digits is None:
        return p.text(node.this) if value(node.this).is_int else p.call(name, node.this)
    text = p.call(name, node.this, digits)
    return p.cast(text, value(node).type) if p.postgres and value(node).is_int else text


@prints(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
def compare(p: Printer, node: exp.Binary) -> str:
    if _is_window_bound(node):
        return _not_null(p, node.left)
    left, right = alike(p, node.left, node.right)
    if isinstance(node, (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)):
        left = f"ABS({left})" if _meets_zero(p, node.left, node.right) else left
        right = f"ABS({right})" if _meets_zero(p, node.right, node.left) else right
    return Infix(f"{left} {_SIGNS[type(node)]} {right}")


def _meets_zero(p: Printer, node: exp.Expr, other: exp.Expr) -> bool:
    """Whether a double that may be -0.0 is compared with a constant 0 in Flink.

    Alone that is fine. Beside OR, AND or IS NULL of the same double, its planner makes a set of values of them, which holds 0.0
    only; -0.0 is found by its absolute value.
    """
    known = node.meta.get("value")
    return p.flink and isinstance(known, Value) and known.is_float and not from_exact(node) and _is_zero(other)


def _is_zero(node: exp.Expr) -> bool:
    known = node.meta.get("value")
    if isinstance(known, Value) and (known.lo == known.hi == 0 or known.is_float and known.constant == 0):
        return True
    constant = compute(node)
    return constant is not None and constant.number == 0


def alike(p: Printer, *nodes: exp.Expr) -> list[str]:
    """Operands of a comparison. Beside a double, Flink takes -0.0 for less than a decimal 0, so decimals become doubles."""
    if p.flink and any(value(node).is_float for node in nodes):
        return [p.cast(p.text(n), FLOAT64) if value(n).is_decimal else p.operand(n) for n in nodes]
    return [enclosed(text) for text in one_scale(p, *nodes)]


def one_scale(p: Printer, *nodes: exp.Expr) -> list[str]:
    """Numbers that are compared. Where their common type takes more than 38 digits, Flink would cut the fraction."""
    known = [v for v in (n.meta.get("value") for n in nodes) if isinstance(v, Value)]
    if not p.flink or len(known) < len(nodes):      # a literal that a printer made has no value
        return [p.text(n) for n in nodes]
    exact = [stored_as(v) for v in known if v.is_exact]
    scale, whole = max((t.scale for t in exact), default=0), max((t.precision - t.scale for t in exact), default=0)
    if whole + scale <= 38 or not scale or any(v.is_float for v in known):
        return [p.text(n) for n in nodes]
    wide = Type("decimal", 38, scale)
    return [p.cast(p.text(n), wide) if v.is_exact and v.type != wide else p.text(n) for n, v in zip(nodes, known, strict=True)]


def _is_window_bound(node: exp.Binary) -> bool:
    """Whether it bounds the window that a batch run computes: the macros write it as the least and greatest instant there is."""
    texts = [c.this.name for c in node.right.find_all(exp.Cast) if isinstance(c.this, exp.Literal)]
    wanted = "0001-01-01 00:00:00" if isinstance(node, exp.GTE) else "9999-01-01 00:00:00" if isinstance(node, exp.LT) else None
    return texts == [wanted] and not node.right.find(exp.Column)


def _not_null(p: Printer, node: exp.Expr) -> str:
    return Infix(f"{p.operand(node)} IS NOT NULL") if value(node).nullable else "TRUE"


@prints(exp.And, exp.Or)
def logic(p: Printer, node: exp.Connector) -> str:
    kind, absorbed = type(node), "TRUE" if isinstance(node, exp.And) else "FALSE"
    texts = ((part, p.text(part)) for part in _chain(node, kind))
    parts = [f"({text})" if isinstance(part.unnest(), exp.Connector) else text for part, text in texts if text != absorbed]
    if len(parts) < 2:
        return parts[0] if parts else absorbed
    return Infix(f" {'AND' if kind is exp.And else 'OR'} ".join(parts))


def _chain(node: exp.Expr, kind: type[exp.Connector]) -> list[exp.Expr]:
    inner = node.unnest()
    return [*_chain(inner.left, kind), *_chain(inner.right, kind)] if type(inner) is kind else [node]


@prints(exp.Not, args="this")
def negation(p: Printer, node: exp.Not) -> str:
    inner = node.this.unnest()
    if isinstance(inner, exp.Is):
        return is_(p, inner, negated=True)
    if isinstance(inner, exp.In):
        return in_(p, inner, negated=True)
    return Infix(f"NOT {p.operand(node.this)}")


@prints(exp.Is, args="this expression negate")
def is_(p: Printer, node: exp.Is, negated: bool = False) -> str:
    if not isinstance(node.expression, (exp.Null, exp.Boolean)):
        raise no_form(p.engine, node)
    what = "NULL" if isinstance(node.expression, exp.Null) else p.text(node.expression)
    no = "NOT " if negated != bool(node.args.get("negate")) else ""
    return Infix(f"{p.operand(node.this)} IS {no}{what}")


@prints(exp.Between, args="this low high")
def between(p: Printer, node: exp.Between) -> str:
    subject, low, high = alike(p, node.this, node.args["low"], node.args["high"])
    return Infix(f"{subject} BETWEEN {low} AND {high}")


@prints(exp.In, args="this expressions query")
def in_(p: Printer, node: exp.In, negated: bool = False) -> str:
    query, no = node.args.get("query"), "NOT " if negated else ""
    if query is not None:
        return Infix(f"{p.operand(node.this)} {no}IN ({p.text(query.unnest() if isinstance(query, exp.Subquery) else query)})")
    zeros = [item for item in node.expressions if _meets_zero(p, node.this, item)]
    if zeros:
        rest = [item.copy() for item in node.expressions if not _meets_zero(p, node.this, item)]
        given = dict.fromkeys(p.text(zero) if value(zero).nullable else "0" for zero in zeros)      # NULL has a range of 0, too
        parts = [f"ABS({p.text(node.this)}) = {zero}" for zero in given]
        parts += [str(in_(p, exp.In(this=node.this.copy(), expressions=rest)))] if rest else []
        return Infix(f"{'NOT ' if negated else ''}({' OR '.join(parts)})")
    subject, *items = alike(p, node.this, *node.expressions)
    known = [value(n) for n in (node.this, *node.expressions)]
    wide = either(known).type
    if p.flink and wide != known[0].type and all(v.is_exact for v in known):
        subject = p.cast(p.text(node.this), wide)   # Flink would cast the items to the subject's type, and wrap them
    return Infix(f"{subject} {no}IN ({', '.join(items)})")


@prints(exp.Case, args="this ifs default")
def case(p: Printer, node: exp.Case) -> str:
    subject, default = node.args.get("this"), node.args.get("default")
    if subject is not None and any(_meets_zero(p, subject, branch.this) for branch in node.args["ifs"]):
        whens = [str(compare(p, exp.EQ(this=subject.copy(), expression=b.this.copy()))) for b in node.args["ifs"]]
        subject = None
    else:
        whens = [p.text(branch.this) for branch in node.args["ifs"]]
    parts = ["CASE" if subject is None else f"CASE {p.operand(subject)}"]
    parts += [f"WHEN {when} THEN {p.text(branch.args['true'])}" for when, branch in zip(whens, node.args["ifs"], strict=True)]
    if default is not None:
        parts.append(f"ELSE {p.text(default)}")
    return " ".join([*parts, "END"])


@prints(exp.If, args="this true false")
def if_(p: Printer, node: exp.If) -> str:
    otherwise = node.args.get("false")
    tail = "" if otherwise is None else f" ELSE {p.text(otherwise)}"
    return f"CASE WHEN {p.text(node.this)} THEN {p.text(node.args['true'])}{tail} END"


@prints(exp.Coalesce, args="this expressions")
def coalesce(p: Printer, node: exp.Coalesce) -> str:
    return p.call("COALESCE", node.this, *node.expressions)


@prints(exp.Nullif)
def nullif(p: Printer, node: exp.Nullif) -> str:
    if _meets_zero(p, node.this, node.expression):
        return f"CASE WHEN ABS({p.text(node.this)}) = 0 THEN NULL ELSE {p.text(node.this)} END"
    plain, left, right = p.text(node.this), *one_scale(p, node.this, node.expression)
    if left != plain or right != p.text(node.expression):
        return f"CASE WHEN {enclosed(left)} = {enclosed(right)} THEN NULL ELSE {plain} END"
    return p.call("NULLIF", node.this, node.expression)


@prints(exp.Greatest, exp.Least, args="this expressions")
def greatest(p: Printer, node: exp.Func) -> str:
    """Flink gives NULL for any NULL, the others ignore it: each operand that may be NULL falls back on the others."""
    operands = [node.this, *node.expressions]
    name = node.sql_name()
    if not p.flink or len(operands) == 1 or not any(value(o).nullable for o in operands):
        return p.call(name, *operands)
    texts = [p.text(o) for o in operands]
    parts = [
        f"COALESCE({', '.join([text, *texts[:i], *texts[i + 1:]])})" if value(operands[i]).nullable else text
        for i, text in enumerate(texts)
    ]
    return f"{name}({', '.join(parts)})"


def as_flag(p: Printer, node: exp.Expr) -> str:
    """A boolean as 1, 0 or NULL."""
    text = enclosed(p.text(node))
    known = node.meta.get("value")
    no = "ELSE 0" if isinstance(known, Value) and not known.nullable else f"WHEN NOT {text} THEN 0"
    return f"CASE WHEN {text} THEN 1 {no} END"


