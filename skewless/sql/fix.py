"""The explicit portable form written into a model file: edits of its own text, with Jinja and comments left as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token

from skewless.sql.analysis import Analysis, Finding
from skewless.sql.model_text import ModelText
from skewless.sql.parsing import parse_query

ROUNDS_MAX = 20
"""A rewrite may bring up another one; what is not settled after so many rounds is left alone."""

FROM_JINJA = "Jinja gives this SQL"
HAS_COMMENT = "a comment stands inside"
NOT_SETTLED = "the changes do not come to an end"

_COMMENT = re.compile(r"--|/\*")
_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_WORD = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[A-Za-z_]\w*")
_OPENS = {"", "(", ",", "select", "distinct", "where", "when", "then", "else", "on", "having", "by", "qualify", "and", "or"}
_COMPARES = {"=", "<", ">", "<=", ">=", "<>", "!=", "is", "in", "between", "like", "not"}
_BINDS = {"[", ".", "::", "+", "-", "*", "/", "//", "%", "||", "^", "collate", "at", "ilike", "similar", "isnull", "notnull"}


@dataclass(frozen=True)
class Change:
    """One rewrite. `line` and `column` count from 1 in the model file as it was when the rewrite was found; column 0: the Jinja
    on that line gives the SQL. `reason` says why a change was not made; it is empty for one that was."""

    code: str
    rule: str
    line: int
    column: int
    before: str
    after: str
    reason: str = ""


@dataclass(frozen=True)
class Fixed:
    """A model file after the rewrites: its text, the SQL it compiles to, what was changed, what has to be changed by hand."""

    text: str
    compiled: str
    made: tuple[Change, ...]
    left: tuple[Change, ...]


@dataclass(frozen=True)
class _Edit:
    """A replacement of text[span] and compiled[at] by the same SQL."""

    span: tuple[int, int]
    at: tuple[int, int]
    change: Change


def fix_text(text: str, compiled: str, analyse: Callable[[str], Analysis]) -> Fixed:
    """The model file `text`, which compiles to `compiled`, with every rewrite made whose place in the file is certain.

    `analyse` reads compiled SQL. Fixing the outcome again changes nothing. Raises SK201 where the SQL does not parse.
    """
    now, sql = text, compiled
    made: list[Change] = []
    for _ in range(ROUNDS_MAX):
        edits, left = _plan(now, sql, analyse(sql))
        if not edits:
            return Fixed(now, sql, tuple(made), tuple(left))
        for edit in sorted(edits, key=lambda e: e.at, reverse=True):
            now = now[:edit.span[0]] + edit.change.after + now[edit.span[1]:]
            sql = sql[:edit.at[0]] + edit.change.after + sql[edit.at[1]:]
            made.append(edit.change)
    edits, left = _plan(text, compiled, analyse(compiled))
    return Fixed(text, compiled, (), (*(_left(e.change, NOT_SETTLED) for e in edits), *left))


def _left(change: Change, reason: str) -> Change:
    return Change(change.code, change.rule, change.line, change.column, change.before, change.after, reason)


def _plan(text: str, compiled: str, analysis: Analysis) -> tuple[list[_Edit], list[Change]]:
    """The edits of one round, none inside another, and the changes that cannot be made in the file."""
    model = ModelText(text, compiled)
    tokens = sqlglot.tokenize(compiled, read=analysis.dialect)
    edits: list[_Edit] = []
    left: list[Change] = []
    for finding in sorted(analysis.findings, key=lambda f: (f.end or 0) - f.start):
        if finding.fix is None or finding.end is None:
            continue
        span = model.span(finding.start, finding.end)
        line, column, _ = model.line(finding.start)
        before, after = compiled[finding.start:finding.end], _fitted(finding, analysis, text, tokens)
        change = Change(finding.code, finding.rule.id, line, column, before, after)
        if before == after:
            continue
        if span is None:
            left.append(_left(change, FROM_JINJA))
        elif _COMMENT.search(_TEXT.sub("''", before)):
            left.append(_left(change, HAS_COMMENT))
        elif not any(e.at[0] < finding.end and finding.start < e.at[1] for e in edits):
            edits.append(_Edit(span, (finding.start, finding.end), change))
    return edits, left


def _fitted(finding: Finding, analysis: Analysis, text: str, tokens: list[Token]) -> str:
    """The replacement in the letter case of the file, in parentheses where its surroundings need them, under its old name."""
    assert finding.fix is not None and finding.end is not None
    sql, dialect = analysis.sql, analysis.dialect
    after = _in_case(finding.fix, sql[finding.start:finding.end], text)
    root = parse_query("select " + finding.fix, dialect).selects[0]
    if _needs_parentheses(root, *_neighbours(tokens, finding.start, finding.end)):
        after = f"({after})"
    target = _whole_call(finding.node)
    name = target.output_name if isinstance(target.parent, exp.Select) and target.arg_key == "expressions" else ""
    if name and name != root.output_name:
        after += (" as " if _is_lower(text) else " AS ") + exp.to_identifier(name).sql(dialect=dialect)
    return after


def _whole_call(node: exp.Expr) -> exp.Expr:
    """A call with the FILTER and OVER that stand around it."""
    while isinstance(node.parent, (exp.Filter, exp.Window, exp.IgnoreNulls, exp.RespectNulls)) and node.arg_key == "this":
        node = node.parent
    return node


def _needs_parentheses(root: exp.Expr, before: str, after: str) -> bool:
    """Whether an expression has to be put in parentheses between two tokens."""
    if not isinstance(root, (exp.Binary, exp.Unary, exp.Between, exp.In)) or isinstance(root, (exp.Paren, exp.Dot)):
        return False
    arithmetic = isinstance(root, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe))
    beside = _COMPARES if arithmetic else set()
    return before not in _OPENS | beside or after in _BINDS | (_COMPARES - beside)


def _neighbours(tokens: list[Token], start: int, end: int) -> tuple[str, str]:
    """The tokens before and after a place, in lower case; empty at the ends of the text."""
    before = [t for t in tokens if t.end < start]
    after = next((t for t in tokens if t.start >= end), None)
    return before[-1].text.lower() if before else "", after.text.lower() if after else ""


def _is_lower(text: str) -> bool:
    return re.search(r"\bselect\b", text) is not None


def _in_case(fix: str, original: str, text: str) -> str:
    """SQL with its keywords in lower case where the file writes them so. Names keep the spelling of the original."""
    if not _is_lower(text):
        return fix
    spelt = set(_WORD.findall(original))
    return _WORD.sub(lambda m: m[0].lower() if m[0].isupper() and m[0] not in spelt and m[0][0] not in "'\"" else m[0], fix)
