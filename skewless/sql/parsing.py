"""Compiled SQL -> syntax tree, and where in the text a node stands."""

from __future__ import annotations

from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokens import Token, TokenType

from skewless.errors import SkewlessError

DIALECTS = ("duckdb", "postgres")


@cache
def require_pure_python() -> None:
    """Refuses sqlglot's compiled build, whose trees cannot be extended. Raises SK912."""
    if str(getattr(exp, "__file__", "")).endswith((".so", ".pyd")) or _refuses_subclasses():
        raise SkewlessError(
            "SK912", "sqlglot is installed in its compiled build",
            hint="Remove the compiled extra: pip uninstall sqlglotc sqlglotrs; pip install sqlglot.",
        )


def _refuses_subclasses() -> bool:
    try:
        type("Probe", (exp.Func,), {})()
    except TypeError:
        return True
    return False


class Unreadable(SkewlessError):
    """SQL that does not parse. `offset`: where in the text, 0 where that is not known."""

    offset = 0


def parse_query(sql: str, dialect: str) -> exp.Query:
    """One query. Raises SK201 with the place for text that does not parse, holds several statements or no SELECT."""
    require_pure_python()
    if dialect not in DIALECTS:
        raise SkewlessError(
            "SK201", f'"{dialect}" is not a dialect that is checked', hint="Dialects: " + ", ".join(DIALECTS) + "."
        )
    try:
        trees = [t for t in sqlglot.parse(sql, dialect=dialect) if t is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        column = max(1, first.get("col", 1) - len(first.get("highlight") or "x") + 1)   # sqlglot counts to the token's end
        raise _no_parse(sql, first.get("description", "syntax error"), first.get("line"), column) from None
    except SqlglotError as error:
        raise _no_parse(sql, str(error).splitlines()[0], None, None) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SkewlessError("SK201", "the SQL of a view is not one SELECT", hint="A model is one query: WITH … SELECT ….")
    return trees[0]


def _no_parse(sql: str, description: str, line: int | None, column: int | None) -> Unreadable:
    error = Unreadable(
        "SK201", f"the SQL does not parse: {description.rstrip('.')}".replace("\n", " "),
        detail=f"Line {line}, column {column} of the compiled SQL." if line else "",
        hint="Run `dbt compile` and read the file under target/compiled.",
    )
    if line and column:
        before = "\n".join(sql.split("\n")[:line - 1])
        error.offset = min(len(sql) - 1, len(before) + (line > 1) + column - 1)
    return error


def spelling(node: object) -> str:
    """A text that is equal for nodes that say the same, in whatever letter case and white space: much cheaper than SQL."""
    if isinstance(node, exp.Column):
        return f"{node.table}.{node.name}".lower()
    if isinstance(node, exp.Literal):
        return f"'{node.this}'" if node.args.get("is_string") else str(node.this)
    if isinstance(node, exp.Expr):
        return f"{node.key}({','.join(_spelt(name, part) for name, part in node.args.items() if part)})"
    return str(node).lower()


def _spelt(name: str, part: object) -> str:
    return f"{name}:{' '.join(spelling(p) for p in part)}" if isinstance(part, list) else f"{name}:{spelling(part)}"


def start_of(node: exp.Expr) -> int | None:
    """The offset of the first token that belongs to a node, None where the parser kept none."""
    found = _places(node)
    return min(start for start, _ in found) if found else None


def _places(node: exp.Expr) -> list[tuple[int, int]]:
    """First and last offset of the parts that have some. The parser reads DECIMAL as a text of its own, with offsets in that."""
    return [(n.meta["start"], n.meta["end"]) for n in node.walk() if "start" in n.meta and not n.find_ancestor(exp.DataTypeParam)]


def offset_of(node: exp.Expr) -> int:
    """The offset of a node in its text; of the nearest enclosing node that has a place, else 0."""
    at: exp.Expr | None = node
    while at is not None:
        start = start_of(at)
        if start is not None:
            return start
        at = at.parent
    return 0


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    return sql.count("\n", 0, offset) + 1, offset - (sql.rfind("\n", 0, offset) + 1) + 1


def written_name(sql: str, node: exp.Expr) -> str:
    """A function's name as the text spells it, lower case; empty where the parser kept no place."""
    meta = node.meta
    return sql[meta["start"]:meta["end"] + 1].lower() if "start" in meta else ""


def extent(sql: str, node: exp.Expr, dialect: str) -> tuple[int, int] | None:
    """Start and end (exclusive) of a node's text: the shortest run of tokens around its places that reads as the node."""
    places = _places(node)
    if not places:
        return None
    tokens = sqlglot.tokenize(sql, read=dialect)
    first = next((i for i, t in enumerate(tokens) if t.end >= min(p[0] for p in places)), None)
    last = next((i for i, t in enumerate(tokens) if t.end >= max(p[1] for p in places)), None)
    if first is None or last is None:
        return None
    wanted = _plain(node)
    for grown in range(_REACH):
        for before in range(grown + 1):
            left, right = first - before, last + grown - before
            if left < 0 or right >= len(tokens) or tokens[left].token_type == TokenType.COMMA:     # which the parser skips
                continue
            start, end = tokens[left].start, tokens[right].end + 1
            if _is_balanced(tokens[left:right + 1]) and _reads_as(sql[start:end], dialect) == wanted:
                return start, end
    return None


_REACH = 40   # how many tokens around a node's places are tried


def _is_balanced(tokens: list[Token]) -> bool:
    """Whether each parenthesis has its other half; the parser takes a CAST that is not closed for a whole one."""
    depth = 0
    for token in tokens:
        depth += 1 if token.token_type == TokenType.L_PAREN else -1 if token.token_type == TokenType.R_PAREN else 0
        if depth < 0:
            return False
    return depth == 0


def _plain(node: exp.Expr) -> str:
    copy = node.copy()
    for column in copy.find_all(exp.Column):
        column.set("table", None)
    return copy.sql(comments=False).lower()


def _reads_as(text: str, dialect: str) -> str:
    try:
        parsed = sqlglot.parse_one("select " + text, dialect=dialect)
    except SqlglotError:
        return ""
    selects = parsed.selects if isinstance(parsed, exp.Select) else []
    return _plain(selects[0]) if len(selects) == 1 and not isinstance(selects[0], exp.Alias) and len(parsed.args) >= 1 else ""


@cache
def table_key(relation: str, dialect: str) -> str:
    """The key of `inputs` for a relation as SQL spells it: `"Dev"."main"."t"` -> `dev.main.t`."""
    try:
        table = sqlglot.parse_one(f"select 1 from {relation}", dialect=dialect).find(exp.Table)
    except SqlglotError:
        table = None
    return ".".join(p.name for p in table.parts).lower() if table is not None else relation.strip('"').lower()
