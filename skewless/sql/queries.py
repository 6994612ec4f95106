"""SELECTs, WITH, set operations: which rows they yield, and the rules that their clauses meet."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from skewless.sql import aggregates, casts, conditions, numbers, texts, times, windows
from skewless.sql.inference import Reading, Scope, Typer, bare, number
from skewless.sql.joins import as_of_rules, exact_keys, join, lose_order
from skewless.sql.parsing import spelling
from skewless.sql.relations import WindowRelation, fault_of, joined, marker_of, read_marker, windowed
from skewless.sql.value import UNKNOWN_VALUE, Column, Relation, Value, beside_double, beyond_38, either
from skewless.sql.zeros import no_minus_zero, normalised

HANDLED_BY = (aggregates, casts, conditions, numbers, texts, times, windows)   # their handlers register on import
_CLAUSES = {
    "expressions",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "qualify",
    "windows",
    "distinct",
    "with_",
    "order",
    "limit",
    "offset",
    "kind",
    "hint",
}
OPEN = Relation((), open=True)
_SETS = (exp.GroupingSets, exp.Rollup, exp.Cube)


def read_query(node: exp.Expr, outer: Scope | None, reading: Reading, *, scalar: bool = False) -> Relation:
    """The rows of a query. `outer` is the scope that its columns and names of WITH may refer to."""
    scope = Scope(outer=outer, ctes=dict(outer.ctes) if outer is not None else {})
    _with(node, scope, reading)
    if isinstance(node, exp.Subquery):
        return _subquery(node, scope, reading, scalar)
    if isinstance(node, exp.SetOperation):
        return _set_operation(node, scope, reading)
    if isinstance(node, exp.Select):
        marker = marker_of(node)
        if marker is not None:
            return _macro(node, marker, scope, reading)
        return _Select(node, scope, reading, scalar).read()
    if isinstance(node, exp.Values):
        return _values(node, Typer(reading, scope, _inner))
    reading.hit("clause.unknown", node, name=node.key.upper())
    return OPEN


def _inner(node: exp.Expr, scope: Scope, reading: Reading, scalar: bool = False) -> Relation:
    return read_query(node, scope, reading, scalar=scalar)


def _with(node: exp.Expr, scope: Scope, reading: Reading) -> None:
    clause = node.args.get("with_")
    if clause is None:
        return
    if clause.args.get("recursive"):
        reading.hit("clause.unknown", clause, name="WITH RECURSIVE")
    for cte in clause.expressions:
        rows = read_query(cte.this, scope, reading)
        scope.ctes[cte.alias.lower()] = _renamed(rows, cte.args.get("alias"))


def _renamed(rows: Relation, alias: exp.Expr | None) -> Relation:
    """A relation under an alias that may name its columns: AS t(a, b)."""
    names = [c.name for c in alias.args.get("columns") or ()] if alias is not None else []
    if not names:
        return rows
    columns = tuple(
        Column(names[i], c.value) if i < len(names) else c for i, c in enumerate(rows.columns)
    )
    return replace(rows, columns=columns, unique=())


def _subquery(node: exp.Subquery, scope: Scope, reading: Reading, scalar: bool) -> Relation:
    for name, part in node.args.items():
        if part and name not in ("this", "alias", "with_"):
            reading.hit(
                "query.order" if name in ("order", "limit", "offset") else "clause.unknown", node, name=name.strip("_").upper()
            )
    rows = read_query(node.this, scope, reading, scalar=scalar)
    for kept in ("window", "as_of"):
        if kept in node.this.meta:
            node.meta[kept] = node.this.meta[kept]
    return _renamed(rows, node.args.get("alias"))


def _set_operation(node: exp.SetOperation, scope: Scope, reading: Reading) -> Relation:
    left, right = read_query(node.this, scope, reading), read_query(node.expression, scope, reading)
    for name in ("order", "limit", "offset"):
        if node.args.get(name):
            reading.hit("query.order", node.args[name])
    if node.args.get("by_name"):
        reading.hit("clause.unknown", node, name="UNION BY NAME")
    every = isinstance(node, exp.Union) and not node.args.get("distinct")
    if not every and reading.stream:
        reading.hit("stream.update", node)
    if not every:
        no_minus_zero(node, reading)
    if isinstance(node, (exp.Except, exp.Intersect)) and not node.args.get("distinct"):
        reading.hit("clause.unknown", node, name=f"{node.key.upper()} ALL")
    reading.hit("query.plain", node)
    if len(left.columns) != len(right.columns) and not (left.open or right.open):
        reading.hit("query.width", node)
    columns = tuple(
        Column(a.name, _either(node, a.value, b.value, reading)) for a, b in zip(left.columns, right.columns, strict=False)
    )
    names = frozenset(c.name.lower() for c in columns)
    return Relation(columns, () if every else (names,), left.static and right.static, open=left.open or right.open,
                    mixed=left.mixed or right.mixed, paced=left.paced or right.paced)


def _either(node: exp.Expr, left: Value, right: Value, reading: Reading) -> Value:
    known = either([left, right])
    if not known.known and left.known and right.known:
        reading.hit("type.mixed", node)
    elif digits := beyond_38([left, right]):
        reading.hit("arith.decimal_38", node, digits=str(digits))
    elif any(beside_double([left, right])):
        reading.hit("cast.decimal_implicit", node)
    return known


def _values(node: exp.Values, t: Typer) -> Relation:
    rows = [[t.value(e) for e in (row.expressions if isinstance(row, exp.Tuple) else [row])] for row in node.expressions]
    columns = tuple(Column(f"col{i}", either([row[i] for row in rows])) for i in range(len(rows[0]))) if rows else ()
    t.hit("query.plain", node)
    return _renamed(Relation(columns, static=True, constant=True), node.args.get("alias"))


def _macro(node: exp.Select, marker: str, scope: Scope, reading: Reading) -> Relation:
    found = read_marker(node, marker)
    if found is None:
        reading.hit("window.macro", node, name=marker)
        return OPEN
    if isinstance(found, WindowRelation):
        source = _source(found.input, scope, reading)
        fault = fault_of(found, source)
        node.meta["window"] = found
        reading.hit(fault[0], node, **fault[1]) if fault else reading.hit("window.relation", node)
        return windowed(found, source)
    assert found.left is not None
    left, right = _source(found.left, scope, reading), _source(found.right, scope, reading)
    node.meta["as_of"] = found
    time = left.column(found.left_time)
    timed = time is not None and time.value.event_time
    t = Typer(reading, scope, _inner)
    exact_keys(t, node, [(left, a) for a, _ in found.keys] + [(right, b) for _, b in found.keys])
    as_of_rules(t, node, found.right.alias_or_name, timed, [b for _, b in found.keys] + [found.right_time], right, {"left": left})
    return joined(found, left, right)


def _source(node: exp.Expr, scope: Scope, reading: Reading) -> Relation:
    """The rows of an item of FROM."""
    if isinstance(node, exp.Table):
        if not isinstance(node.this, exp.Identifier):
            reading.hit("query.table_function", node, name=node.this.name or node.this.key)
            return OPEN
        for name in ("pivots", "sample", "version", "when", "joins", "laterals"):
            if node.args.get(name):
                reading.hit("clause.unknown", node, name=name.rstrip("s").upper())
        return _table(node, scope, reading)
    if isinstance(node, exp.Values):
        return _values(node, Typer(reading, scope, _inner))
    if isinstance(node, exp.Subquery):
        if isinstance(node.this, exp.Table):
            return _source(node.this, scope, reading)
        return read_query(node, Scope(outer=scope.outer, ctes=scope.ctes), reading)
    reading.hit("clause.unknown", node, name=node.key.upper())
    return OPEN


def _table(node: exp.Table, scope: Scope, reading: Reading) -> Relation:
    parts = [p.name.lower() for p in node.parts]
    if len(parts) == 1 and parts[0] in scope.ctes:
        return _renamed(scope.ctes[parts[0]], node.args.get("alias"))
    for start in range(len(parts)):
        found = reading.inputs.get(".".join(parts[start:]))
        if found is not None:
            return _renamed(found, node.args.get("alias"))
    reading.hit("name.relation", node)
    return OPEN


class _Select:
    """The reading of one SELECT, clause by clause in the order of evaluation."""

    def __init__(self, node: exp.Select, scope: Scope, reading: Reading, scalar: bool) -> None:
        self.node, self.scope, self.reading, self.scalar = node, scope, reading, scalar
        self.t = Typer(reading, scope, _inner)
        self.mixed_star = False

    def read(self) -> Relation:
        node, t = self.node, self.t
        for name, part in node.args.items():
            if part and name not in _CLAUSES:
                t.hit("clause.unknown", node, name=name.strip("_").upper())
        self._from()
        self._aliases()
        where = node.args.get("where")
        if where is not None:
            t.value(where.this)
            t.facts.extend(t._follows(where.this, True))
        if self._subqueries():
            lose_order(self.scope)   # Flink joins them, and a join has no event time
        self._expand_stars()
        self._windows()
        grouped = self._group()
        having = node.args.get("having")
        for select in node.expressions:
            if not select.is_star:   # a star that is left stands for a relation of unknown columns
                t.value(select)
        if having is not None:
            t.value(having.this)
        self._qualify()
        self._rest(grouped)
        return self._output(grouped)

    def _from(self) -> None:
        first = self.node.args.get("from_")
        if first is None:
            self.scope.sources[""] = Relation((), constant=True, static=True)
            return
        rows = _source(first.this, self.scope, self.reading)
        alias = first.this.alias_or_name
        self.scope.sources[alias] = rows
        self.scope.unique = tuple(frozenset((alias.lower(), c) for c in key) for key in rows.unique)
        for item in self.node.args.get("joins") or ():
            source = item.this
            name = source.alias_or_name
            if name in self.scope.sources:
                self.t.hit("name.ambiguous", item)
            join(self.t, item, name, OPEN if isinstance(source, exp.Lateral) else _source(source, self.scope, self.reading))

    def _subqueries(self) -> bool:
        """Whether a subquery stands among the columns or conditions."""
        roots = [*self.node.expressions, *(self.node.args.get(k) for k in ("where", "qualify", "having"))]
        found = (n for root in roots if root is not None for n in root.find_all(exp.Exists, exp.In, exp.Subquery))
        return any(not isinstance(n, exp.In) or n.args.get("query") is not None for n in found)

    def _aliases(self) -> None:
        self.t.aliases = {s.alias.lower(): s.this for s in self.node.expressions if isinstance(s, exp.Alias)}

    def _expand_stars(self) -> None:
        if not any(s.is_star for s in self.node.expressions):
            return
        out: list[exp.Expr] = []
        for select in self.node.expressions:
            out += self._star(select) if select.is_star else [select]
        self.node.set("expressions", out)

    def _star(self, star: exp.Expr) -> list[exp.Expr]:
        inner = star.this if isinstance(star, exp.Column) else star
        if any(inner.args.get(name) for name in ("replace", "rename")):
            self.t.hit("clause.unknown", star, name="* REPLACE")
        table = star.table.lower() if isinstance(star, exp.Column) else ""
        sources = {a: s for a, s in self.scope.sources.items() if not table or a.lower() == table}
        if not table and len(sources) > 1:
            self.t.hit("name.star", star)
            self.mixed_star = True
        if any(s.open for s in sources.values()):
            return [star]
        without = {e.name.lower() for e in inner.args.get("except_") or ()}
        return [
            _placed(exp.column(c.name, table=alias), star)
            for alias, source in sources.items() for c in source.columns if c.name.lower() not in without
        ]

    def _windows(self) -> None:
        for named in self.node.args.get("windows") or ():
            self.t.windows[named.name.lower()] = named

    def _group(self) -> exp.Group | None:
        group = self.node.args.get("group")
        if group is None:
            return None
        if group.args.get("all"):
            self.t.hit("group.ordinal", group)
            keys = [s.unalias().copy() for s in self.node.expressions if not _aggregates(s)]
            group.set("all", None)
            group.set("expressions", keys)
        group.set("expressions", [self._group_key(e) for e in group.expressions])
        for key in group.expressions:
            if isinstance(key, _SETS):
                self._optional_keys(key)
                continue
            value = self.t.value(key)
            if value.is_float and not normalised(key):
                self.t.hit("group.float_zero", key)
        for name in ("rollup", "cube", "grouping_sets"):
            for sets in group.args.get(name) or ():
                self._optional_keys(sets)
        self.t.hit("group.plain", group)
        return group if isinstance(group, exp.Group) else None

    def _optional_keys(self, sets: exp.Expr) -> None:
        """The keys of GROUPING SETS, ROLLUP: NULL in the rows of a set without them."""
        items = [i for e in sets.expressions for i in (e.expressions if isinstance(e, exp.Tuple) else [e])]
        for item in items:
            if item.find(exp.Column) is None or self._alias(item.unnest()) is not None:
                self.t.hit("group.set_name", item, x=item.unnest().sql())
        for column in sets.find_all(exp.Column):
            if self.t.value(column).is_float:
                self.t.hit("group.float_zero", column)
        empty = any(isinstance(e, exp.Tuple) and not e.expressions for e in sets.expressions)
        if empty or not isinstance(sets, exp.GroupingSets):
            self.t.hit("group.empty_set", sets)
        self.t.absent |= {spelling(bare(item)) for item in items}

    def _group_key(self, key: exp.Expr) -> exp.Expr:
        """A key of GROUP BY with ordinals and aliases replaced by what they stand for."""
        bare_key = key.unnest()
        at = number(bare_key) if isinstance(bare_key, exp.Literal) else None
        if at is not None and 1 <= at <= len(self.node.expressions):
            self.t.hit("group.ordinal", key)
            return self.node.expressions[int(at) - 1].unalias().copy()
        stands_for = self._alias(key)
        if stands_for is not None:
            self.t.hit("group.ordinal", key)
            return stands_for.copy()
        return key

    def _alias(self, key: exp.Expr) -> exp.Expr | None:
        """What a key stands for that is the name of a result, and of no column."""
        if isinstance(key, exp.Column) and not key.table and not any(s.column(key.name) for s in self.scope.sources.values()):
            return self.t.aliases.get(key.name.lower())
        return None

    def _qualify(self) -> None:
        qualify = self.node.args.get("qualify")
        if qualify is not None:
            self.t.value(qualify.this)
            self.t.hit("query.qualify", qualify)

    def _rest(self, grouped: exp.Group | None) -> None:
        node, t = self.node, self.t
        for name in ("order", "limit", "offset"):
            if node.args.get(name):
                t.hit("query.order", node.args[name])
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on"):
            t.hit("query.distinct_on", distinct)
        if distinct is not None:
            no_minus_zero(node, t.reading)
        for key in grouped.expressions if grouped is not None else ():
            if "group.float_zero" in key.meta.get("rules", ()):     # a column that is grouped by stays the key
                for same in (s.unalias() for s in node.expressions if s.unalias().unnest() == key.unnest()):
                    t.hit("group.float_zero", same)
        if self._hops(grouped):
            for total in node.find_all(exp.Sum):
                if isinstance(total.this, exp.Distinct):
                    t.hit("agg.sum_distinct_hop", total)
        aggregate = any(_aggregates(s) for s in node.expressions)
        if grouped is None and aggregate and not self.scalar:
            t.hit("agg.global", node)
        overs = {w.meta["over"].key(t.reading.dialect) for w in node.find_all(exp.Window) if "over" in w.meta and _own(w, node)}
        if len(overs) > 1:
            t.hit("over.several", node)
        if t.reading.stream:
            self._stream(grouped, distinct)

    def _windowed(self) -> list[WindowRelation]:
        items = [self.node.args.get("from_"), *(self.node.args.get("joins") or ())]
        found = [item.this.meta.get("window") for item in items if item is not None]
        return [window for window in found if isinstance(window, WindowRelation)]

    def _hops(self, grouped: exp.Group | None) -> bool:
        """Whether rows are grouped by hopping windows, or by windows of which kind does not show here."""
        found = self._windowed()
        keys = grouped.expressions if grouped is not None and not found else ()
        further_in = any(isinstance(k, exp.Column) and k.meta.get("value", UNKNOWN_VALUE).cut for k in keys)
        return further_in or any(f.kind == "hop" for f in found)

    def _stream(self, grouped: exp.Group | None, distinct: exp.Expr | None) -> None:
        keys = [k.meta["value"] for k in grouped.expressions if "value" in k.meta] if grouped is not None else []
        if grouped is not None and not any(k.cut for k in keys):
            self.t.hit("stream.update", grouped)
        timed = any(s.meta["value"].event_time for s in self.node.expressions if "value" in s.meta)
        if distinct is not None and not timed:   # with the event time, the first row of each kind is kept, which only appends
            self.t.hit("stream.update", distinct)

    def _output(self, grouped: exp.Group | None) -> Relation:
        columns: list[Column] = []
        names: set[str] = set()
        for i, select in enumerate(self.node.expressions):
            if select.is_star:
                return replace(OPEN, columns=tuple(columns))
            name = select.alias_or_name or select.output_name or f"_col_{i}"
            if name.lower() in names and not self.mixed_star:   # that is reported already
                self.t.hit("name.duplicate", select, name=name)
            names.add(name.lower())
            columns.append(Column(name, select.meta.get("value", UNKNOWN_VALUE)))
        sources = self.scope.sources.values()
        return Relation(
            tuple(columns), self._unique(grouped), all(s.static for s in sources),
            constant=all(s.constant for s in sources), mixed=any(s.mixed for s in sources), first_of=self._row_numbers(),
            paced=any(s.paced for s in sources) or self._waits(),
        )

    def _waits(self) -> bool:
        """Whether Flink holds rows back until the watermark passes them: for OVER, and for joins by time."""
        return bool(self.node.args.get("joins")) or any(_own(w, self.node) for w in self.node.find_all(exp.Window))

    def _row_numbers(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Output columns that number the rows of partitions -> the output columns of those partitions."""
        names = {(c.table.lower(), c.name.lower()): s.alias_or_name.lower()
                 for s in self.node.expressions if isinstance(c := s.unalias(), exp.Column)}
        out: dict[str, tuple[tuple[str, ...], ...]] = {}
        for select in self.node.expressions:
            inner = select.unalias()
            over = inner.meta.get("over") if isinstance(inner, exp.Window) and isinstance(inner.this, exp.RowNumber) else None
            if over is not None:
                columns = [
                    names.get((p.table.lower(), p.name.lower())) if isinstance(p, exp.Column) else None for p in over.partition_by
                ]
                if all(columns):
                    out[select.alias_or_name.lower()] = (tuple(str(c) for c in columns),)
        return out

    def _unique(self, grouped: exp.Group | None) -> tuple[frozenset[str], ...]:
        """The sets of output columns that no two rows share."""
        kept: dict[tuple[str, str], str] = {}
        texts_: dict[str, str] = {}
        for select in self.node.expressions:
            inner = select.unalias()
            if grouped is not None:
                texts_.setdefault(spelling(inner), select.alias_or_name.lower())
            if isinstance(inner, exp.Column):
                kept.setdefault((inner.table.lower(), inner.name.lower()), select.alias_or_name.lower())
        out = []
        if grouped is not None:
            keys = [spelling(k) for k in grouped.expressions]
            if all(k in texts_ for k in keys):
                out.append(frozenset(texts_[k] for k in keys))
        else:
            out += [frozenset(kept[c] for c in key) for key in self.scope.unique if all(c in kept for c in key)]
            out += self._first_rows(kept)
        if self.node.args.get("distinct") is not None:
            out.append(frozenset(s.alias_or_name.lower() for s in self.node.expressions))
        return tuple(out)

    def _first_rows(self, kept: dict[tuple[str, str], str]) -> list[frozenset[str]]:
        """WHERE rn = 1 over ROW_NUMBER: one row a partition."""
        where = self.node.args.get("where")
        out = []
        for equal in where.find_all(exp.EQ) if where is not None else ():
            column = equal.this
            source = (
                self.scope.sources.get(column.table) if isinstance(column, exp.Column) and number(equal.expression) == 1 else None
            )
            for partition in source.first_of.get(column.name.lower(), ()) if source is not None else ():
                keys = [(column.table.lower(), c) for c in partition]
                if all(k in kept for k in keys):
                    out.append(frozenset(kept[k] for k in keys))
        return out


def _placed(node: exp.Expr, star: exp.Expr) -> exp.Expr:
    """A column that a star stands for, with the star's place in the text."""
    at = star if "start" in star.meta else star.this
    for identifier in node.find_all(exp.Identifier):
        for key in ("line", "col", "start", "end"):
            if key in at.meta:
                identifier.meta[key] = at.meta[key]
    return node


def _own(node: exp.Expr, select: exp.Select) -> bool:
    return node.find_ancestor(exp.Select) is select


def _aggregates(node: exp.Expr) -> bool:
    """Whether an expression aggregates rows, other than over a window or in a subquery."""
    select = node.find_ancestor(exp.Select)
    for found in node.find_all(exp.AggFunc):
        inside = found.parent
        while isinstance(inside, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
            inside = inside.parent
        if not isinstance(inside, exp.Window) and found.find_ancestor(exp.Select) is select:
            return True
    return False
