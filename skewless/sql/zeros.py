"""-0.0: Flink groups and joins it apart from 0.0, the warehouses do not."""

from __future__ import annotations

from sqlglot import exp

from skewless.sql.inference import Reading, Typer
from skewless.sql.value import Value


def normalised(node: exp.Expr) -> bool:
    """Whether a double has no -0.0: it comes from exact numbers, or is CASE WHEN d = 0 THEN 0 ELSE d END."""
    node = node.unnest()
    return from_exact(node) or _zero_case(node)


def from_exact(node: exp.Expr) -> bool:
    """Whether a double is made of exact numbers, whose zero has no sign, and divided by none that is negative."""
    node = node.unnest()
    known = node.meta.get("value")
    if isinstance(known, Value) and known.is_exact:
        return True
    if isinstance(node, (exp.Cast, exp.Avg, exp.Window, exp.Filter)):
        return from_exact(node.this)
    if isinstance(node, exp.Div):
        divisor = node.expression.meta.get("value")
        positive = isinstance(divisor, Value) and divisor.lo is not None and divisor.lo >= 0
        return positive and from_exact(node.this)
    if isinstance(node, exp.Nullif):
        return from_exact(node.this)
    if isinstance(node, exp.Case):
        values = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
        return all(value is None or isinstance(value, exp.Null) or from_exact(value) for value in values)
    return False


def _zero_case(node: exp.Expr) -> bool:
    if not isinstance(node, exp.Case) or node.this is not None or len(node.args["ifs"]) != 1:
        return False
    branch, default = node.args["ifs"][0], node.args.get("default")
    compared = branch.this
    return (
        isinstance(compared, exp.EQ)
        and default is not None
        and compared.this.unnest() == default.unnest()
        and branch.args["true"].find(exp.Literal) is not None
    )


def no_minus_zero(node: exp.Expr, reading: Reading) -> None:
    """Records the doubles among the columns of rows that are compared: Flink takes -0.0 and 0.0 for two values there."""
    if isinstance(node, exp.Subquery):
        no_minus_zero(node.this, reading)
    if isinstance(node, exp.SetOperation):
        no_minus_zero(node.this, reading)
        no_minus_zero(node.expression, reading)
    for select in node.expressions if isinstance(node, exp.Select) else ():
        inner = select.unalias()
        known = inner.meta.get("value")
        if known is not None and known.is_float and not normalised(inner):
            reading.hit("group.float_zero", inner)


def equated(t: Typer, node: exp.Expr, left: Value, right: Value) -> None:
    """Records the doubles of an equality between two relations, which Flink's planner makes the key of a join."""
    if not (left.is_float or right.is_float) or not isinstance(node.find_ancestor(exp.Where, exp.Join, exp.Select),
                                                               (exp.Where, exp.Join)):
        return
    above = node.find_ancestor(exp.Where, exp.Join)
    if above is not None and str(above.args.get("method") or "").upper() == "ASOF":
        return      # which takes columns only: `key.float`
    sides = [{c.table.lower() for c in side.find_all(exp.Column)} for side in (node.this, node.expression)]
    if not all(sides) or len(sides[0] | sides[1]) < 2:
        return
    for side, known in ((node.this, left), (node.expression, right)):
        if known.is_float and not normalised(side):
            t.hit("join.float_zero", side)
