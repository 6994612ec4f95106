"""One query read as a whole: the resolved tree, the type of every expression, the columns it yields, everything wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sqlglot import exp

from skewless.sql.canonical import canonical
from skewless.sql.inference import Hit, Reading
from skewless.sql.parsing import extent, line_and_column, offset_of, parse_query
from skewless.sql.queries import read_query
from skewless.sql.rewrites import rewrite
from skewless.sql.rules import SEVERITY, Rule
from skewless.sql.value import UNKNOWN_VALUE, Relation, Value

_SHOWN = 80


@dataclass(frozen=True)
class Finding:
    """A rule that the text has to be changed for. `line` and `column` count from 1, in the text that was analysed.

    `fix` is the SQL to put in place of text[start:end]; None where nothing can be proposed. `end` is None where the text of the
    node is not one run of tokens.
    """

    rule: Rule
    message: str
    hint: str
    line: int
    column: int
    start: int
    end: int | None
    node: exp.Expr = field(compare=False, repr=False)
    fix: str | None = None

    @property
    def code(self) -> str:
        return self.rule.code


@dataclass
class Analysis:
    """The result of reading one query. `query` is the resolved tree: columns carry their relation, stars are expanded."""

    sql: str
    dialect: str
    query: exp.Query
    hits: list[Hit]
    output: Relation

    @property
    def action(self) -> str:
        """The strictest action of all rules met: allow, lower, fix or refuse."""
        return max((h.rule.action for h in self.hits), key=SEVERITY.__getitem__, default="allow")

    @property
    def verdict(self) -> str:
        """allow, rewrite or refuse."""
        return {"lower": "rewrite", "fix": "rewrite"}.get(self.action, self.action)

    def value(self, node: exp.Expr) -> Value:
        """What is known of an expression of `query`."""
        known = node.meta.get("value")
        return known if isinstance(known, Value) else UNKNOWN_VALUE

    def rules(self, node: exp.Expr) -> tuple[str, ...]:
        """The ids of the rules that a node met."""
        return tuple(node.meta.get("rules", ()))

    @cached_property
    def findings(self) -> list[Finding]:
        """Everything that has to change (rules that fix or refuse), in the order of the text."""
        found = [self.finding(hit) for hit in self.hits if hit.rule.action in ("fix", "refuse")]
        unique: dict[tuple[str, int, str], Finding] = {}
        for finding in found:
            unique.setdefault((finding.rule.id, finding.start, finding.message), finding)
        return sorted(unique.values(), key=lambda f: (f.start, f.rule.id))

    def finding(self, hit: Hit) -> Finding:
        """A rule that was met, with its place and what to write instead."""
        start = offset_of(hit.node)
        found = rewrite(hit.rule.fix, hit.node, self.dialect) if hit.rule.fix else None
        place = extent(self.sql, found[0], self.dialect) if found is not None else None
        fixed = _unqualified(found[1], self.sql).sql(dialect=self.dialect, comments=False) if found is not None else ""
        names = {
            "x": _short(_unqualified(hit.node.copy(), self.sql).sql(dialect=self.dialect, comments=False)),
            "fixed": fixed or "it in an explicit form",
            **hit.names,
        }
        line, column = line_and_column(self.sql, place[0] if place else start)
        return Finding(
            hit.rule, _filled(hit.rule.message, names), _filled(hit.rule.hint, names), line, column, place[0] if place else start,
            place[1] if place else None, hit.node, fixed if place else None,
        )


def _unqualified(node: exp.Expr, sql: str) -> exp.Expr:
    """The same with columns spelt as in the text: the relation that the analysis added is left out again."""
    for column in node.find_all(exp.Column):
        table = column.args.get("table")
        if table is not None and "start" not in table.meta:
            column.set("table", None)
    return node


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN - 3] + "..."


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    return text


def analyse(sql: str, *, dialect: str, inputs: Mapping[str, Relation], stream: bool = False) -> Analysis:
    """Reads one query. `dialect` is duckdb or postgres; `inputs`: the relations that it may name, in lower
    case (`t`, `schema.t`). `stream` adds the rules of an append-only result.

    Raises SK201 for text that does not parse, SK912 for sqlglot's compiled build.
    """
    query = canonical(parse_query(sql, dialect), dialect)
    reading = Reading(sql, dialect, inputs, stream)
    output = read_query(query, None, reading)
    return Analysis(sql, dialect, query, reading.hits, output)
