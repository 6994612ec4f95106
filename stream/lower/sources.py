"""FROM: relations, joins, windows of event time, as-of joins."""

from __future__ import annotations

from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.relations import AsOfJoin, WindowRelation
from skewless.stream.lower.printer import Printer, indent, no_form
from skewless.stream.lower.times import of_ms

_ORIGIN = "TIMESTAMP '1970-01-01 00:00:00'"
_JOINS = frozenset({"this", "on", "side", "kind", "method", "using"})
_ASOF_RIGHT = "skw_version"


class Read:
    """The printed FROM of a SELECT.

    `rowtimes`: alias -> column -> the column that Flink orders by. `windowed`: (alias, kind) of a window relation.
    """

    def __init__(self, p: Printer, select: exp.Select) -> None:
        self.p, self.select = p, select
        self.rowtimes: dict[str, dict[str, str]] = {}
        self.windowed: tuple[str, str] | None = None
        self.conditions: list[str] = []
        first = select.args.get("from_")
        self.text = "" if first is None else "\nFROM " + self._item(first.this)
        self.left = first.this.alias_or_name if first is not None else ""
        for item in select.args.get("joins") or ():
            self.text += self._join(item)

    def _item(self, node: exp.Expr) -> str:
        alias = node.alias_or_name.lower()
        found = node.meta.get("window")
        text, rowtimes = relation(self.p, node)
        self.rowtimes[alias] = rowtimes
        if isinstance(found, WindowRelation):
            self.windowed = (alias, found.kind)
        return text

    def _join(self, node: exp.Join) -> str:
        p = self.p
        side, kind, method = (str(node.args.get(a) or "").upper() for a in ("side", "kind", "method"))
        extra = [k for k, v in node.args.items() if v and k not in _JOINS]
        if extra or side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER", "CROSS") or method not in ("", "ASOF"):
            raise no_form(p.engine, node)
        if method:
            return self._as_of(node)
        text, on, using = self._item(node.this), node.args.get("on"), node.args.get("using")
        if using:
            return f"\n{side} JOIN {text} USING ({', '.join(p.name(c.name) for c in using)})".replace("\n JOIN", "\nJOIN")
        if kind == "CROSS" or on is None or isinstance(on, exp.Boolean) and on.this:
            if side:
                raise no_form(p.engine, node)
            return f"\nCROSS JOIN {text}"
        return f"\n{side + ' ' if side else ''}JOIN {text} ON {p.text(on)}"

    def _as_of(self, node: exp.Join) -> str:
        """A native ASOF JOIN. Its left side is any relation before it, so the condition is printed as it is written."""
        p, found = self.p, node.meta.get("as_of")
        if not isinstance(found, AsOfJoin):
            raise no_form(p.engine, node)
        alias, on = node.this.alias_or_name, node.args["on"]
        lead = "LEFT JOIN" if found.outer else "JOIN"
        if p.duckdb:
            return f"\nASOF {lead} {self._item(node.this)} ON {p.text(on)}"
        used = sorted({c.name.lower() for c in self.select.find_all(exp.Column) if c.table.lower() == alias.lower()} - {""})
        if p.postgres:
            text, _ = relation(p, node.this)
            newest = f"SELECT * FROM {text} WHERE {p.text(on)} ORDER BY {p.name(alias)}.{p.name(found.right_time)} DESC LIMIT 1"
            return f"\n{lead} LATERAL ({newest}) AS {p.name(alias)} ON TRUE"
        times = (c for c in on.find_all(exp.Column) if c.name.lower() == found.left_time.lower())
        left = next(c.table for c in times if c.table.lower() != alias.lower())
        _plain_time(self.rowtimes.get(left.lower(), {}), found.left_time)
        versions = _versions(p, node.this, [b for _, b in found.keys], found.right_time, used)
        keys = [c for c in _conjuncts(on) if isinstance(c, exp.EQ)]
        moment = f"{p.name(left)}.{p.name(found.left_time)}"
        return f"\n{lead} {versions} FOR SYSTEM_TIME AS OF {moment} AS {p.name(alias)} ON {' AND '.join(p.text(k) for k in keys)}"


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    inner = node.unnest()
    return [*_conjuncts(inner.left), *_conjuncts(inner.right)] if isinstance(inner, exp.And) else [inner]


def aliased(p: Printer, alias: exp.TableAlias) -> str:
    """An alias, with names for the columns where it gives them."""
    columns = alias.args.get("columns")
    return p.name(alias.name) + (f" ({', '.join(p.name(c.name) for c in columns)})" if columns else "")


def relation(p: Printer, node: exp.Expr) -> tuple[str, dict[str, str]]:
    """One relation of FROM with its alias, and its event times that Flink orders by another column."""
    from skewless.stream.lower.queries import query

    if isinstance(node, exp.Table):
        return _table(p, node)
    alias = node.args.get("alias")
    tail = f" AS {aliased(p, alias)}" if alias is not None else ""
    if isinstance(node, exp.Values):
        return f"({values(p, node)}){tail}", {}
    if not isinstance(node, exp.Subquery) or node.args.get("with_") or node.args.get("pivots") or node.args.get("sample"):
        raise no_form(p.engine, node)
    if isinstance(node.this, (exp.Table, exp.Subquery)) and not tail:
        return relation(p, node.this)
    if "window" in node.meta or "as_of" in node.meta:
        text, rowtimes = macro(p, node)
        return text + tail, rowtimes
    printed = query(p, node.this, carry=p.flink and not (alias is not None and alias.args.get("columns")))
    return f"(\n{indent(printed.text)}\n){tail}", printed.rowtimes


def _table(p: Printer, node: exp.Table) -> tuple[str, dict[str, str]]:
    extra = [k for k, v in node.args.items() if v and k not in ("this", "db", "catalog", "alias")]
    if extra or not isinstance(node.this, exp.Identifier):
        raise no_form(p.engine, node)
    parts = [part.name.lower() for part in node.parts]
    rowtimes = p.ctes.get(parts[0]) if len(parts) == 1 else None
    name = parts[0] if rowtimes is not None else p.table(parts)
    alias = node.args.get("alias")
    text = p.name(name) if rowtimes is not None else p.exact(name)
    written = aliased(p, alias) if alias is not None and alias.name else text
    if written == text and name != parts[-1]:
        p.qualifiers[parts[-1]] = name
    if rowtimes is None:
        rowtimes = p.rowtimes.get(name, {})
    return (text if text == written else f"{text} AS {written}"), rowtimes


def values(p: Printer, node: exp.Values) -> str:
    """VALUES (…), (…)."""
    cells = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
    for column in zip(*cells, strict=True):
        known = next((c.meta["value"] for c in column if not isinstance(c, exp.Null) and "value" in c.meta), None)
        for cell in column:
            if isinstance(cell, exp.Null) and known is not None:
                cell.meta["value"] = known
    return f"VALUES {', '.join(f'({p.items(row)})' for row in cells)}"


def macro(p: Printer, node: exp.Expr) -> tuple[str, dict[str, str]]:
    """A relation macro in the engine's own form, in parentheses or as a table function."""
    found = node.meta.get("window")
    if isinstance(found, WindowRelation):
        return (_window_flink if p.flink else _window_rows)(p, found)
    join = node.meta["as_of"]
    assert isinstance(join, AsOfJoin)
    return _as_of_rows(p, join)


def _plain_time(rowtimes: dict[str, str], time: str) -> None:
    """Refuses a window or as-of join by the end of another window: Flink's event time of it lies a millisecond before."""
    if time.lower() in rowtimes:
        raise SkewlessError(
            "SK821", f"{time} is the end of a window, by which Flink can order rows but not cut windows or look up versions",
            hint="Use OVER with a RANGE of an INTERVAL, or compute both windows from the events themselves.",
        )


def _named(p: Printer, node: exp.Expr, prefix: str) -> tuple[str, dict[str, str]]:
    """The name of a relation for a table function, which takes no query: one is hoisted to WITH."""
    from skewless.stream.lower.queries import query

    if isinstance(node, exp.Table):
        bare = node.copy()
        bare.set("alias", None)
        text, rowtimes = _table(p, bare)
        return text.split(" AS ")[0], rowtimes
    if not isinstance(node, exp.Subquery):
        raise no_form(p.engine, node)
    printed = query(p, node, carry=p.flink)
    name = p.hoist(prefix, printed.text)
    return name, printed.rowtimes


def _window_flink(p: Printer, window: WindowRelation) -> tuple[str, dict[str, str]]:
    name, rowtimes = _named(p, window.input, "skw_windowed")
    _plain_time(rowtimes, window.time)
    keys = f" PARTITION BY {', '.join(p.name(k) for k in window.keys)}" if window.kind == "session" and window.keys else ""
    if keys:
        known = " AND ".join(f"{p.name(k)} IS NOT NULL" for k in window.keys)
        name = p.hoist("skw_keyed", f"SELECT * FROM {name} WHERE {known}")
    sizes = [ms for ms in (window.slide_ms, window.step_ms, window.size_ms, window.gap_ms, window.offset_ms) if ms]
    lengths = ", ".join(of_ms(p, ms) for ms in sizes)
    text = f"TABLE({window.kind.upper()}(TABLE {name}{keys}, DESCRIPTOR({p.name(window.time)}), {lengths}))"
    return text, {"window_end": "window_time", "window_start": "window_time"}


def _window_rows(p: Printer, window: WindowRelation) -> tuple[str, dict[str, str]]:
    source, _ = relation(p, window.input)
    if window.kind == "session":
        return _session_rows(p, window, source), {}
    time = f"{p.name('skw_in')}.{p.name(window.time)}"
    width = window.slide_ms or window.size_ms
    origin = f"{_ORIGIN} + {of_ms(p, window.offset_ms)}" if window.offset_ms else _ORIGIN
    bucket = f"{'TIME_BUCKET' if p.duckdb else 'DATE_BIN'}({of_ms(p, width)}, {time}, {origin})"
    part = window.slide_ms or window.step_ms
    steps = f"{p.name('skw_part')}.skw_n * {of_ms(p, part)}" if part else ""
    start = f"{bucket} - {steps}" if window.kind == "hop" else bucket
    end = f"{bucket} + {steps} + {of_ms(p, part)}" if window.kind == "cumulate" else f"{start} + {of_ms(p, window.size_ms)}"
    join = f" CROSS JOIN GENERATE_SERIES(0, {window.size_ms // part - 1}) AS {p.name('skw_part')}(skw_n)" if part else ""
    where = f" WHERE {time} < {end}" if window.kind == "cumulate" else ""
    columns = f"{p.name('skw_in')}.*, {start} AS {p.name('window_start')}, {end} AS {p.name('window_end')}"
    return f"(SELECT {columns} FROM {source}{join}{where})", {}


def _session_rows(p: Printer, window: WindowRelation, source: str) -> str:
    """Sessions: the rows of a key that follow each other by at most the gap. Rows without a key belong to none."""
    time, gap = p.name(window.time), of_ms(p, window.gap_ms)
    keys = ", ".join(p.name(k) for k in window.keys)
    partition = f"PARTITION BY {keys} " if keys else ""
    known = f" WHERE {' AND '.join(f'{p.name(k)} IS NOT NULL' for k in window.keys)}" if keys else ""
    first = f"CASE WHEN {time} <= LAG({time}) OVER ({partition}ORDER BY {time}) + {gap} THEN 0 ELSE 1 END"
    opened = f"SELECT *, {first} AS skw_opens FROM {source}{known}"
    number = f"SUM(skw_opens) OVER ({partition}ORDER BY {time} RANGE UNBOUNDED PRECEDING)"
    numbered = f"SELECT *, {number} AS skw_number FROM ({opened}) AS skw_a"
    whole = f"OVER (PARTITION BY {keys + ', ' if keys else ''}skw_number)"
    start, end = f"MIN({time}) {whole}", f"MAX({time}) {whole} + {gap}"
    return f"(SELECT *, {start} AS {p.name('window_start')}, {end} AS {p.name('window_end')} FROM ({numbered}) AS skw_b)"


def _as_of_rows(p: Printer, join: AsOfJoin) -> tuple[str, dict[str, str]]:
    assert join.left is not None
    left_text, rowtimes = relation(p, join.left)
    left, right = p.name(join.left.alias_or_name), p.name("skw_right")
    columns = ", ".join([f"{left}.*", *(f"{right}.{p.name(name)} AS {p.name(output)}" for name, output in join.columns)])
    keys = " AND ".join(f"{left}.{p.name(a)} = {right}.{p.name(b)}" for a, b in join.keys)
    times = f"{left}.{p.name(join.left_time)} >= {right}.{p.name(join.right_time)}"
    lead = "LEFT JOIN" if join.outer else "JOIN"
    if p.flink:
        _plain_time(rowtimes, join.left_time)
        versions = _versions(p, join.right, [b for _, b in join.keys], join.right_time, [name for name, _ in join.columns])
        moment = f"{left}.{p.name(join.left_time)}"
        join_text = f"{lead} {versions} FOR SYSTEM_TIME AS OF {moment} AS {right} ON {keys}"
        return f"(\n  SELECT {columns}\n  FROM {left_text}\n  {join_text}\n)", rowtimes
    bare, _ = relation(p, _renamed(join.right, "skw_right"))
    if p.duckdb:
        return f"(\n  SELECT {columns}\n  FROM {left_text}\n  ASOF {lead} {bare} ON {keys} AND {times}\n)", {}
    newest = f"SELECT * FROM {bare} WHERE {keys} AND {times} ORDER BY {right}.{p.name(join.right_time)} DESC LIMIT 1"
    return f"(\n  SELECT {columns}\n  FROM {left_text}\n  {lead} LATERAL ({newest}) AS {right} ON TRUE\n)", {}


def _renamed(node: exp.Expr, alias: str) -> exp.Expr:
    out = node.copy()
    out.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return out


def _versions(p: Printer, node: exp.Expr, keys: list[str], time: str, columns: list[str]) -> str:
    """The name of a versioned relation for Flink: the newest row a key, by event time, which has that key as its primary key."""
    source, rowtimes = _named(p, node, "skw_history")
    _plain_time(rowtimes, time)
    wanted = list(dict.fromkeys(p.name(c) for c in (*keys, time, *columns)))
    place = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(p.name(k) for k in keys)} ORDER BY {p.name(time)} DESC)"
    inner = f"SELECT {', '.join(wanted)}, {place} AS {p.name('skw_place')} FROM {source}"
    return p.hoist(_ASOF_RIGHT, f"SELECT {', '.join(wanted)}\nFROM (\n{indent(inner)}\n)\nWHERE {p.name('skw_place')} = 1")


