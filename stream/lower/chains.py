"""SELECTs with several windows: Flink plans one window a SELECT, so they become a chain of SELECTs, one window a level."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.windows import Over
from skewless.stream.lower.aggregates import typed
from skewless.stream.lower.overs import ends_before, over_of, positional, to_current
from skewless.stream.lower.printer import Printer, indent, value

ALIAS = "skw"


def windows_of(select: exp.Select) -> list[exp.Window]:
    """The window functions of a SELECT's columns and QUALIFY, not of its subqueries."""
    roots = [*select.expressions, *([select.args["qualify"]] if select.args.get("qualify") is not None else [])]
    return [n for root in roots for n in root.find_all(exp.Window) if n.find_ancestor(exp.Select) is select]


def needed(p: Printer, select: exp.Select) -> bool:
    """Whether Flink cannot take the windows of a SELECT as they are."""
    windows = windows_of(select)
    return p.flink and (len({_key(w) for w in windows}) > 1 or any(ends_before(w) for w in windows))


def _key(node: exp.Window) -> str:
    """Equal for functions of one window: Flink takes LAG and ROW_NUMBER for windows of their own."""
    return f"{over_of(node).key('duckdb')} {type(node.this).__name__ if positional(node) else ''}"


@dataclass
class _Level:
    """One SELECT of a chain: a window, and the functions over it, by their column: (text, function)."""

    over: Over
    functions: dict[str, tuple[str, exp.Window]] = field(default_factory=dict)


class _Chain:
    """The windows of one SELECT in the order they appear, and the columns of its relations that they and the SELECT read."""

    def __init__(self, p: Printer, select: exp.Select) -> None:
        self.p, self.select = p, select
        self.columns: dict[tuple[str, str], str] = {}
        self.levels: dict[str, _Level] = {}

    def column(self, node: exp.Column) -> str:
        """The name under which a column of the relations passes through."""
        key = (node.table.lower(), node.name.lower())
        if key not in self.columns:
            taken = set(self.columns.values())
            tries = (key[1], f"{key[0]}_{key[1]}", *(f"{key[0]}_{key[1]}_{i}" for i in range(2, 100)))
            self.columns[key] = next(t for t in tries if t not in taken)
        return self.columns[key]

    def moved(self, root: exp.Expr) -> exp.Expr:
        """An expression with its windows and columns replaced by the names that they have inside the chain."""
        return self._step(root.copy())

    def _step(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Window):
            return self._step(to_current(node)) if ends_before(node) else self._hoisted(node)
        if isinstance(node, exp.Column):
            return typed(exp.column(self.column(node)), value(node))
        for key, child in list(node.args.items()):
            if isinstance(child, exp.Expr):
                node.set(key, self._step(child))
            elif isinstance(child, list):
                node.set(key, [self._step(item) if isinstance(item, exp.Expr) else item for item in child])
        return node

    def _hoisted(self, node: exp.Window) -> exp.Expr:
        level = self.levels.setdefault(_key(node), _Level(over_of(node)))
        text = node.this.sql(dialect="duckdb", comments=False).lower()
        name = next((n for n, (known, _) in level.functions.items() if known == text), None)
        if name is None:
            name = f"skw_w{1 + sum(len(x.functions) for x in self.levels.values())}"
            level.functions[name] = (text, node.copy())
        return typed(exp.column(name), value(node))

    def inside(self, node: exp.Window) -> exp.Window:
        """A window function that reads the columns that passed."""
        over = over_of(node)
        out = exp.Window(this=self.moved(node.this))
        order = over.order.copy() if over.order is not None else None
        if order is not None:
            order.set("expressions", [self.moved(o) for o in order.expressions])
        out.meta["over"] = Over(tuple(self.moved(part) for part in over.partition_by), order, over.spec)
        return typed(out, value(node))   # type: ignore[return-value]


def chain(p: Printer, select: exp.Select, source: str) -> str:
    """A SELECT, one window a level. `source` is its printed FROM and WHERE. Raises SK821 beside GROUP BY or a subquery."""
    if select.args.get("group") is not None or select.args.get("having") is not None or any(
        e.find(exp.Subquery, exp.Exists) is not None for e in select.expressions
    ):
        raise SkewlessError(
            "SK821", "a SELECT with windows has GROUP BY or a subquery among its columns",
            hint="Group in a query of WITH, and window its rows.",
        )
    c = _Chain(p, select)
    projections = [c.moved(e) for e in select.expressions]
    qualify = select.args.get("qualify")
    keep = c.moved(qualify.this) if qualify is not None else None
    inner = _levels(c, source)
    columns = ",\n".join(indent(p.text(_named(e, o))) for e, o in zip(projections, select.expressions, strict=True))
    where = f"\nWHERE {p.text(keep)}" if keep is not None else ""
    distinct = " DISTINCT" if select.args.get("distinct") is not None else ""
    return f"SELECT{distinct}\n{columns}\nFROM (\n{indent(inner)}\n) AS {p.name(ALIAS)}{where}"


def _named(node: exp.Expr, original: exp.Expr) -> exp.Expr:
    """A column under the name that it had."""
    if isinstance(node, exp.Alias) or original.alias_or_name.lower() == node.name.lower():
        return node
    return exp.alias_(node, original.alias_or_name)


def _levels(c: _Chain, source: str) -> str:
    """The nested SELECTs. Columns pass in reversed order: else Flink 2.3 names columns twice, from four levels on."""
    p = c.p
    inside = {name: c.inside(node) for level in c.levels.values() for name, (_, node) in level.functions.items()}
    base = [
        f"{p.column(table, name)} AS {p.name(alias)}" for (table, name), alias in c.columns.items()
    ]
    passed = [p.name(alias) for alias in c.columns.values()]
    text = "SELECT\n" + ",\n".join(indent(b) for b in base) + source
    for level in c.levels.values():
        last = level is list(c.levels.values())[-1]
        columns = [*passed, *(f"{_barred(c, inside[name], last)} AS {p.name(name)}" for name in level.functions)]
        text = "SELECT\n" + ",\n".join(indent(x) for x in columns) + f"\nFROM (\n{indent(text)}\n) AS {p.name(ALIAS)}"
        passed = [*(p.name(name) for name in reversed(level.functions)), *reversed(passed)]
    return text


def _barred(c: _Chain, node: exp.Window, last: bool) -> str:
    """A window function behind an expression that Flink's planner cannot remove.

    Without one it merges levels (under DISTINCT even two) and then fails: Field names must be unique. Found duplicates: [w0$o0].
    """
    text = c.p.text(node)
    if last or not c.p.flink:
        return text
    function = node.this.this if isinstance(node.this, exp.Filter) else node.this
    if isinstance(function, (exp.Count, exp.RowNumber)):
        return f"NULLIF({text}, -1)"   # a count is never negative
    order = over_of(node).order
    if order is None:
        return text
    return f"CASE WHEN {c.p.text(order.expressions[0].this)} >= TIMESTAMP '0001-01-01 00:00:00' THEN {text} END"


def kept(p: Printer, select: exp.Select, source: str) -> str:
    """A SELECT with QUALIFY, for engines without it: the windows are columns of a query inside."""
    return chain(p, select, source)
