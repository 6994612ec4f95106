"""SELECT, WITH and set operations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.value import STRING
from skewless.sql.windows import Over
from skewless.stream.lower import chains, sources
from skewless.stream.lower.aggregates import typed
from skewless.stream.lower.lifts import lifted
from skewless.stream.lower.printer import Printer, enclosed, indent, no_form, prints, value

CLAUSES = frozenset({
    "expressions", "from_", "joins", "where", "group", "having", "qualify", "windows", "distinct", "with_",
})
_NUMBER = re.compile(r"[-( ]*[0-9.]+[) ]*")
ROWTIME = "__rowtime"
"""Behind the name of a window's end stands the column that Flink orders by: the end itself is an ordinary timestamp there."""


@dataclass
class Printed:
    """A query's text, and its event times that Flink orders by another column: name -> that column."""

    text: str
    rowtimes: dict[str, str] = field(default_factory=dict)


@prints(exp.Subquery, args="this alias with_")
def subquery(p: Printer, node: exp.Subquery) -> str:
    """A scalar subquery, or a query in parentheses."""
    return f"({query(p, node.this).text})"


@prints(exp.Exists, args="this")
def exists(p: Printer, node: exp.Exists) -> str:
    return f"EXISTS ({query(p, node.this).text})"


@prints(exp.Select, exp.Union, exp.Except, exp.Intersect, args="this expression distinct with_ " + " ".join(CLAUSES))
def nested(p: Printer, node: exp.Query) -> str:
    return query(p, node).text


def query(p: Printer, node: exp.Expr, *, carry: bool = False) -> Printed:
    """A query's text. `carry`: the columns that Flink orders by are yielded too. Raises SK820 for what has no form."""
    if isinstance(node, exp.Subquery) and not node.args.get("with_"):
        return query(p, node.this, carry=carry)
    if isinstance(node, exp.SetOperation):
        return _set_operation(p, node)
    if isinstance(node, exp.Values):
        return Printed(sources.values(p, node))
    if not isinstance(node, exp.Select):
        raise no_form(p.engine, node)
    if "window" in node.meta or "as_of" in node.meta:
        text, rowtimes = sources.macro(p, node)
        return Printed(f"SELECT * FROM {text}", rowtimes)
    with p.names_of(node):
        return _select(p, node, carry)


def _set_operation(p: Printer, node: exp.SetOperation) -> Printed:
    every = not node.args.get("distinct")
    unknown = any(node.args.get(a) for a in ("order", "limit", "offset", "by_name", "side", "kind", "on"))
    if unknown or every and not isinstance(node, exp.Union):
        raise no_form(p.engine, node)
    _type_nulls(node)
    with p.names_of(node):
        ctes = _with(p, node)
        left, right = (_branch(p, side, node) for side in (node.this, node.expression))
    return Printed(f"{_ctes(ctes)}{left}\n{node.key.upper()}{' ALL' if every else ''}\n{right}")


def _type_nulls(node: exp.SetOperation) -> None:
    """Gives a bare NULL among the columns the type that its column has in another branch."""
    for column in zip(*(branch.expressions for branch in _branches(node)), strict=False):
        bare = [c.unalias() for c in column]
        known = next((c.meta["value"] for c in bare if not isinstance(c, exp.Null) and "value" in c.meta), None)
        for item in bare:
            if isinstance(item, exp.Null) and known is not None:
                item.meta["value"] = known


def _branches(node: exp.Expr) -> list[exp.Select]:
    inner = node.unnest() if isinstance(node, exp.Subquery) else node
    if isinstance(inner, exp.SetOperation):
        return [*_branches(inner.this), *_branches(inner.expression)]
    return [inner] if isinstance(inner, exp.Select) else []


def _branch(p: Printer, side: exp.Expr, around: exp.SetOperation) -> str:
    inner = side.unnest() if isinstance(side, exp.Subquery) else side
    text = query(p, side).text
    same = type(inner) is type(around) is exp.Union and inner.args.get("distinct") == around.args.get("distinct")
    return f"(\n{indent(text)}\n)" if isinstance(inner, exp.SetOperation) and not same or inner.args.get("with_") else text


def _with(p: Printer, node: exp.Expr) -> list[tuple[str, str]]:
    found = node.args.get("with_")
    if found is None:
        return []
    if found.args.get("recursive"):
        raise no_form(p.engine, found)
    out = []
    for cte in found.expressions:
        alias = cte.args["alias"]
        printed = query(p, cte.this, carry=p.flink and not alias.args.get("columns"))
        p.ctes[cte.alias.lower()] = printed.rowtimes
        out.append((sources.aliased(p, alias), printed.text))
    return out


def _ctes(ctes: list[tuple[str, str]]) -> str:
    if not ctes:
        return ""
    return "WITH " + ",\n".join(f"{name} AS (\n{indent(text)}\n)" for name, text in ctes) + "\n"


def _select(p: Printer, node: exp.Select, carry: bool) -> Printed:
    extra = [k for k, v in node.args.items() if k not in CLAUSES and k not in ("kind", "hint") and v]
    if extra or any(node.args.get(k) for k in ("kind", "hint")):
        raise no_form(p.engine, node, ", ".join(extra) or "a modifier")
    if node.args.get("distinct") is not None and node.args["distinct"].args.get("on"):
        raise no_form(p.engine, node, "DISTINCT ON")
    node = node.copy()
    if p.flink:
        lifted(node)
    ctes = _with(p, node)
    start = len(p.hoisted)
    read = sources.Read(p, node)
    if p.flink:
        _order_by_rowtime(node, read.rowtimes)
        _complete_group(node, read)
    rowtimes = _carried(node, read.rowtimes) if carry and p.flink else {}
    ctes += p.hoisted[start:]
    del p.hoisted[start:]
    time = _distinct_by(node, read.rowtimes) if p.flink and node.args.get("distinct") is not None else None
    if time is not None:
        node.set("distinct", None)
    where = _conditions(p, node, read)
    source = read.text + where
    if chains.needed(p, node):
        body = chains.chain(p, node, source)
    elif node.args.get("qualify") is not None and not p.duckdb:
        body = chains.kept(p, node, source)
    else:
        body = _plain(p, node, source)
    if time is not None:
        body = _first_of_each(p, [s.alias_or_name for s in node.expressions], time, body)
    return Printed(_ctes(ctes) + body, rowtimes)


def _distinct_by(node: exp.Select, rowtimes: dict[str, dict[str, str]]) -> str | None:
    """The event time among the columns of a SELECT DISTINCT, None without one."""
    for select in node.expressions:
        inner = select.unalias()
        if isinstance(inner, exp.Column) and value(inner).event_time and _hidden(inner, rowtimes) is None:
            return str(select.alias_or_name)
    return None


def _first_of_each(p: Printer, names: list[str], time: str, body: str) -> str:
    """DISTINCT as the first row of each kind: Flink then only appends, where it would send updates for DISTINCT."""
    columns = [p.name(n) for n in names]
    place = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(columns)} ORDER BY {p.name(time)})"
    lines = ",\n".join(indent(c) for c in (*columns, f"{place} AS {p.name('skw_place')}"))
    inner = f"SELECT\n{lines}\nFROM (\n{indent(body)}\n) AS {p.name(chains.ALIAS)}"
    outer = ",\n".join(indent(c) for c in columns)
    return f"SELECT\n{outer}\nFROM (\n{indent(inner)}\n) AS {p.name(chains.ALIAS)}\nWHERE {p.name('skw_place')} = 1"


def _conditions(p: Printer, node: exp.Select, read: sources.Read) -> str:
    where = node.args.get("where")
    texts = [p.text(where.this)] if where is not None else []
    texts = [t for t in texts if t != "TRUE"] + read.conditions
    either = where is not None and isinstance(where.this.unnest(), exp.Or)
    plain = node.args.get("group") is None and node.args.get("distinct") is None
    if p.flink and read.windowed and read.windowed[1] == "session" and (texts or plain):
        texts = _after_session(p, read.windowed[0], texts)
    if either and len(texts) > 1:
        texts = [enclosed(t) for t in texts]
    return f"\nWHERE {' AND '.join(texts)}" if texts else ""


def _after_session(p: Printer, alias: str, texts: list[str]) -> list[str]:
    """Conditions that Flink's planner cannot move before the session, which they would cut, nor those of a query around it.

    It moves what stands between a session and its GROUP BY, unless that reads a column of the window.
    """
    start = f"{p.name(alias)}.{p.name('window_start')}" if alias else p.name("window_start")
    return [f"{start} >= TIMESTAMP '0001-01-01 00:00:00'", *texts]


def _plain(p: Printer, node: exp.Select, source: str) -> str:
    columns = ",\n".join(indent(p.text(e)) for e in node.expressions)
    text = f"SELECT{' DISTINCT' if node.args.get('distinct') is not None else ''}\n{columns}{source}"
    group, having, qualify = (node.args.get(k) for k in ("group", "having", "qualify"))
    if group is not None:
        text += f"\nGROUP BY {_group(p, group)}"
    if having is not None:
        text += f"\nHAVING {p.text(having.this)}"
    return text + (f"\nQUALIFY {p.text(qualify.this)}" if qualify is not None else "")


def _group(p: Printer, group: exp.Group) -> str:
    parts = [_set_of_keys(p, e) for e in group.expressions]
    if group.args.get("cube") or group.args.get("totals") or group.args.get("all"):
        raise no_form(p.engine, group)
    for rollup in group.args.get("rollup") or ():
        parts.append(_set_of_keys(p, rollup))
    for sets in group.args.get("grouping_sets") or ():
        parts.append(_set_of_keys(p, sets))
    return ", ".join(parts)


def _set_of_keys(p: Printer, node: exp.Expr) -> str:
    if isinstance(node, exp.Rollup):
        return f"ROLLUP ({p.items(node.expressions)})"
    if isinstance(node, exp.GroupingSets):
        return f"GROUPING SETS ({', '.join(_set(p, s) for s in node.expressions)})"
    text = p.text(node)
    if not p.flink and (_NUMBER.fullmatch(text) or isinstance(node.unnest(), (exp.Literal, exp.Null, exp.Boolean))):
        known = value(node).type     # a bare number would be the place of a column, and another constant is refused
        return p.cast(text, STRING if known.name == "null" else known)
    return text


def _set(p: Printer, node: exp.Expr) -> str:
    return f"({p.items(node.expressions)})" if isinstance(node, exp.Tuple) else f"({p.text(node.unnest())})"


def _order_by_rowtime(node: exp.Select, rowtimes: dict[str, dict[str, str]]) -> None:
    """Lets windows order by the column that Flink knows as event time."""
    for window in chains.windows_of(node):
        over = window.meta.get("over")
        if not isinstance(over, Over) or over.order is None:
            continue
        order = over.order.copy()
        for item in order.expressions:
            hidden = _hidden(item.this, rowtimes)
            if hidden is not None:
                item.set("this", hidden)
        window.meta["over"] = replace(over, order=order)


def _hidden(node: exp.Expr, rowtimes: dict[str, dict[str, str]]) -> exp.Column | None:
    """The column that Flink orders by for an event time, moved by a constant or not; None where it is the event time itself."""
    while isinstance(node, exp.Paren) or isinstance(node, (exp.Add, exp.Sub)) and isinstance(node.right, exp.Interval):
        node = node.this
    name = rowtimes.get(node.table.lower(), {}).get(node.name.lower()) if isinstance(node, exp.Column) else None
    return typed(exp.column(name, table=node.table), value(node)) if name is not None else None   # type: ignore[return-value, attr-defined]


def _carried(node: exp.Select, rowtimes: dict[str, dict[str, str]]) -> dict[str, str]:
    """Adds the column that Flink orders by beside each event time that has one; the names of both."""
    out: dict[str, str] = {}
    if node.args.get("distinct") is not None:
        return out
    for select in list(node.expressions):
        hidden = _hidden(select.unalias(), rowtimes)
        name = select.alias_or_name.lower()
        if hidden is None or name.endswith(ROWTIME):
            continue
        node.append("expressions", typed(exp.alias_(hidden, name + ROWTIME), value(hidden)))
        group = node.args.get("group")
        if group is not None:
            group.append("expressions", hidden.copy())
        out[name] = name + ROWTIME
    return out


def _complete_group(node: exp.Select, read: sources.Read) -> None:
    """Flink takes a window for one only where both its ends are grouped by; the one that is absent follows from the other."""
    group = node.args.get("group")
    if group is None or not read.windowed:
        return
    alias, kind = read.windowed
    edges = {e.name.lower(): e for e in group.expressions if isinstance(e, exp.Column) and e.table.lower() == alias}
    have = {"window_start", "window_end"} & set(edges)
    if len(have) == 1 and not (kind == "cumulate" and "window_start" in have) and kind != "session":
        other = ({"window_start", "window_end"} - have).pop()
        known = have.pop()
        group.append("expressions", typed(exp.column(other, table=alias), value(edges[known])))
    elif len(have) < 2:
        raise SkewlessError("SK821", f"a {kind} window is grouped without its window_start and window_end",
                            hint="Write GROUP BY …, window_start, window_end.")
