"""What a definition says, apart from how it is written: one hash a query, one hash a feature.

Equal up to white space, comments, letter case of names, quoting, catalog and schema of tables. The rendering is sqlglot's, so a
hash holds within one minor version of it (docs/decisions/0003-registry.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

EVENT_TIMESTAMP = "event_timestamp"


def definition_hash(compiled_sql: str, dialect: str = "duckdb") -> str:
    """16 hex digits of the whole query. SQL that does not parse is hashed by its tokens."""
    tree = parse(compiled_sql, dialect)
    return _digest(_render(tree, dialect) if tree else _tokens(compiled_sql, dialect))


def feature_hashes(
    compiled_sql: str, dialect: str, keys: Sequence[str], features: Sequence[str]
) -> dict[str, str]:
    """Feature -> 16 hex digits of the part of the query that yields (keys, event_timestamp, that feature).

    Another column added or changed leaves it as it is. Where the query cannot be cut (a star over unknown columns, GROUP BY ALL,
    a column that the query does not yield), it is the hash of the whole definition.
    """
    slices = feature_slices(compiled_sql, dialect, keys, features)
    whole = definition_hash(compiled_sql, dialect)
    return {name: _digest(_render(tree, dialect)) if tree is not None else whole for name, tree in slices.items()}


def feature_slices(
    compiled_sql: str, dialect: str, keys: Sequence[str], features: Sequence[str]
) -> dict[str, exp.Query | None]:
    """Feature -> the qualified query of (keys, event_timestamp, feature) alone, None where the query cannot be cut."""
    nothing: dict[str, exp.Query | None] = dict.fromkeys(features)
    tree = parse(compiled_sql, dialect)
    if not isinstance(tree, exp.Query) or not _cuttable(tree):
        return nothing
    try:
        query = _qualified(tree, dialect)
    except SqlglotError:
        return nothing
    if query is None:
        return nothing
    frame = [k.lower() for k in (*keys, EVENT_TIMESTAMP)]
    outputs = {s.alias_or_name.lower() for s in query.selects}
    if not outputs.issuperset(frame):
        return nothing
    return {name: _cut(query, [*frame, name.lower()]) if name.lower() in outputs else None for name in features}


def parse(sql: str, dialect: str) -> exp.Expr | None:
    """The query's tree with bare lower-case table names, or None for SQL that sqlglot does not parse."""
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect)
    except SqlglotError:
        return None
    tree = normalize_identifiers(tree, dialect=dialect)
    for table in tree.find_all(exp.Table):
        table.set("catalog", None)
        table.set("db", None)
    for node in tree.walk():
        if isinstance(node, exp.Identifier):
            node.set("quoted", False)
        for name, value in node.args.items():
            if isinstance(value, str) and name != "this":
                node.args[name] = value.upper()   # words such as RANGE and PRECEDING are kept as they were written
    return tree


def _render(tree: exp.Expr, dialect: str) -> str:
    return tree.sql(dialect=dialect, comments=False, identify=True, normalize_functions="upper")


def _tokens(sql: str, dialect: str) -> str:
    try:
        return "\x1f".join(t.text for t in sqlglot.tokenize(sql, read=dialect))
    except SqlglotError:
        return " ".join(sql.split())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cuttable(tree: exp.Query) -> bool:
    return not any(g.args.get("all") for g in tree.find_all(exp.Group)) and not list(tree.find_all(exp.Pivot))


def _qualified(tree: exp.Query, dialect: str) -> exp.Query | None:
    """The tree with every column bound to its source and no star left, or None where that is not certain."""
    tree = tree.copy()
    if isinstance(tree, exp.Select) and not (tree.args.get("distinct") and tree.args["distinct"].args.get("on")):
        tree.set("distinct", None)   # rows that are equal in every column collapse anyway (DESIGN §5)
    query = qualify(
        tree, dialect=dialect, schema=_star_schema(tree), validate_qualify_columns=False, quote_identifiers=False
    )
    for scope in traverse_scope(query):
        if any(isinstance(s, exp.Star) or s.is_star for s in getattr(scope.expression, "selects", [])):
            return None
        derived = any(not isinstance(source, exp.Table) for source in scope.sources.values())
        if derived and any(not c.table for c in scope.columns if not isinstance(c.this, exp.Star)):
            return None
    return query


def _star_schema(tree: exp.Query) -> dict[str, object]:
    """Tables read with a star -> every column name that the query mentions: more than there is, but unused ones are cut away."""
    ctes = {c.alias_or_name for c in tree.find_all(exp.CTE)}
    starred: set[str] = set()
    beside_star: set[str] = set()
    for select in tree.find_all(exp.Select):
        if select.is_star:
            starred |= {t.name for t in _sources(select) if t.name not in ctes}
            beside_star |= {s.alias for s in select.selects if isinstance(s, exp.Alias)}
    names = {c.name for c in tree.find_all(exp.Column) if not c.is_star} - beside_star
    return {table: dict.fromkeys(sorted(names), "unknown") for table in sorted(starred)} if names else {}


def _sources(select: exp.Select) -> Iterable[exp.Table]:
    first = select.args.get("from_") or select.args.get("from")
    for item in ([first] if first else []) + list(select.args.get("joins") or []):
        if isinstance(item.this, exp.Table):
            yield item.this


def _cut(query: exp.Query, columns: list[str]) -> exp.Query | None:
    outer = exp.select(*(exp.column(c, table="q") for c in columns)).from_(query.copy().subquery("q"))
    try:
        cut = pushdown_projections(outer)
    except SqlglotError:
        return None
    for select in cut.find_all(exp.Select):
        if select.args.get("windows"):
            select.set("windows", _used_windows(select))
    return cut


def _used_windows(select: exp.Select) -> list[exp.Expr]:
    """The named windows that a window function of this SELECT, or another used window, refers to."""
    named = {w.name: w for w in select.args["windows"]}
    used: set[str] = set()
    functions = [w for w in select.find_all(exp.Window) if not isinstance(w.this, exp.Identifier)]
    open_names = [w.args["alias"].name for w in functions if w.args.get("alias")]
    while open_names:
        name = open_names.pop()
        if name in named and name not in used:
            used.add(name)
            base = named[name].args.get("alias")
            open_names += [base.name] if base else []
    return [w for name, w in named.items() if name in used]
