"""Rules of joins: which of them give each row once, as of its own time."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from skewless.sql.inference import Scope, Typer
from skewless.sql.relations import AsOfJoin
from skewless.sql.value import Relation


def join(t: Typer, node: exp.Join, alias: str, right: Relation) -> None:
    """Adds a joined relation to the scope, with the rules that the join meets."""
    side, kind, method = (str(node.args.get(a) or "").upper() for a in ("side", "kind", "method"))
    scope, lefts = t.scope, dict(t.scope.sources)
    scope.sources[alias] = right
    condition = node.args.get("on")
    using = [c.name for c in node.args.get("using") or ()]
    scope.merged |= {name.lower() for name in using}
    if condition is not None:
        t.value(condition)
    exact_keys(t, node, [(side, name) for name in using for side in (right, *lefts.values())])
    if method == "ASOF":
        _as_of(t, node, alias, right, lefts)
    elif (
        method == "NATURAL"
        or side in ("FULL", "RIGHT")
        or kind in ("SEMI", "ANTI", "OUTER")
        and not side
        or isinstance(node.this, exp.Lateral)
    ):
        t.hit("join.outer", node, name=f"{method or side or kind or 'LATERAL'} JOIN".replace("  ", " "), relation=alias)
        lose_order(scope)
    elif right.constant and side != "LEFT":
        t.hit("join.plain", node)
        scope.unique = ()
    elif condition is not None and _bounded(t, condition, alias):
        t.hit("join.plain", node)
        scope.sources[alias] = (right.optional() if side == "LEFT" else right).without_event_time()
        scope.unique = ()
    elif side == "LEFT":
        t.hit("join.left_static" if right.static else "join.left_unbounded", node, relation=alias)
        scope.sources[alias] = right.optional()
        lose_order(scope)
    else:
        _inner(t, node, alias, right, lefts)


def _inner(t: Typer, node: exp.Join, alias: str, right: Relation, lefts: dict[str, Relation]) -> None:
    static = right.static or all(left.static for left in lefts.values())
    t.hit("join.plain" if static else "join.unbounded", node, relation=alias)
    if not (right.static and all(left.static for left in lefts.values())):
        lose_order(t.scope)


def exact_keys(t: Typer, node: exp.Expr, keys: list[tuple[Relation, str]]) -> None:
    """Refuses doubles as keys where no expression can take their place."""
    for side, name in keys:
        column = side.column(name)
        if column is not None and column.value.is_float:
            t.hit("key.float", node, name=name)


def lose_order(scope: Scope) -> None:
    """Takes the event time from every relation: what is read after a join has no order."""
    scope.sources = {name: source.without_event_time() for name, source in scope.sources.items()}
    scope.unique = ()


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _bounded(t: Typer, condition: exp.Expr, alias: str) -> bool:
    """Whether both ends of the right side's event time follow from the left side's: an interval join."""
    low = high = False
    for part in _conjuncts(condition):
        if isinstance(part, exp.Between):
            if _times(part.this, part.args["low"], alias) and _times(part.this, part.args["high"], alias):
                return True
        elif isinstance(part, (exp.GT, exp.GTE, exp.LT, exp.LTE)) and _times(part.left, part.right, alias):
            right_first = _side(part.left) == alias.lower()
            above = isinstance(part, (exp.GT, exp.GTE)) == right_first
            low, high = low or above, high or not above
    return low and high


def _side(node: exp.Expr) -> str:
    column = node.find(exp.Column)
    return column.table.lower() if column is not None else ""


def _times(left: exp.Expr, right: exp.Expr, alias: str) -> bool:
    """Whether a comparison is between the event times of the two sides, each moved by constant intervals at most."""
    columns = [[*node.find_all(exp.Column)] for node in (left, right)]
    if any(len(found) != 1 for found in columns):
        return False
    one, other = columns[0][0], columns[1][0]
    timed = all(c.meta.get("value") is not None and c.meta["value"].event_time for c in (one, other))
    return timed and (one.table.lower() == alias.lower()) != (other.table.lower() == alias.lower())


def _as_of(t: Typer, node: exp.Join, alias: str, right: Relation, lefts: dict[str, Relation]) -> None:
    keys, times = [], []
    condition = node.args.get("on")
    for part in _conjuncts(condition) if condition is not None else ():
        pair = _oriented(part, alias)
        if pair is not None and isinstance(part, exp.EQ):
            keys.append(pair)
        elif pair is not None and (isinstance(part, exp.GTE) and part.right.table.lower() == alias.lower()   # type: ignore[attr-defined]
                                   or isinstance(part, exp.LTE) and part.left.table.lower() == alias.lower()):   # type: ignore[attr-defined]
            times.append(pair)
        else:
            t.hit("join.asof", node, relation=alias)
            return
    if len(times) != 1 or not keys:
        t.hit("join.asof", node, relation=alias)
        return
    (left_time, right_time), outer = times[0], str(node.args.get("side") or "").upper() == "LEFT"
    exact_keys(t, node, [(side, c.name) for a, b in keys for side, c in ((lefts.get(a.table), a), (right, b)) if side])
    node.meta["as_of"] = AsOfJoin(
        None, node.this, tuple((a.name, b.name) for a, b in keys), left_time.name, right_time.name, outer)
    as_of_rules(t, node, alias, left_time.meta["value"].event_time, [b.name for _, b in keys] + [right_time.name], right, lefts)
    t.scope.sources[alias] = (right.optional() if outer else right).without_event_time()


def as_of_rules(
    t: Typer, node: exp.Expr, alias: str, timed: bool, key: list[str], right: Relation, lefts: dict[str, Relation]
) -> None:
    """The rules of an as-of join: by the left side's event time, to a right side with one row a key and instant."""
    declared = any(c.value.event_time for left in lefts.values() for c in left.columns)
    if (declared or any(left.mixed for left in lefts.values())) and not timed:
        t.hit("join.asof", node, relation=alias)
    elif not right.open and not any(unique <= {k.lower() for k in key} for unique in right.unique):
        t.hit("join.asof_ties", node, relation=alias, keys=", ".join(key))
    else:
        t.hit("join.plain", node)


def _oriented(part: exp.Expr, alias: str) -> tuple[exp.Column, exp.Column] | None:
    """A comparison of two columns as (left side's, right side's), None for anything else."""
    if not isinstance(part, exp.Binary) or not isinstance(part.left, exp.Column) or not isinstance(part.right, exp.Column):
        return None
    one, other = part.left, part.right
    right_first = one.table.lower() == alias.lower()
    if right_first == (other.table.lower() == alias.lower()):
        return None
    return (other, one) if right_first else (one, other)
