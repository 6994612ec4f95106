"""How values are inferred inside one SELECT: names, the facts that hold at a place, and the table of handlers."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

from sqlglot import exp

from skewless.sql.parsing import spelling
from skewless.sql.rules import RULES, Rule
from skewless.sql.value import UNKNOWN_VALUE, UNTYPED, Column, Relation, Value


@dataclass
class Hit:
    """A rule met at a node. `names` fill the rule's message."""

    rule: Rule
    node: exp.Expr
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class Scope:
    """The relations that names of one SELECT resolve to, by alias, and the scope around it for correlated subqueries.

    `ctes` holds the relations that WITH clauses define here or above, `unique` the keys of the joined rows as (alias, column).
    """

    sources: dict[str, Relation] = field(default_factory=dict)
    outer: Scope | None = None
    ctes: dict[str, Relation] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)   # columns of USING: equal on both sides
    unique: tuple[frozenset[tuple[str, str]], ...] = ()


Handler = Callable[["Typer", exp.Expr], Value]
HANDLERS: dict[type[exp.Expr], Handler] = {}


def handles(*nodes: type[exp.Expr]) -> Callable[[Handler], Handler]:
    """Registers how the value of these nodes is inferred, and which rules they meet."""

    def register(handler: Handler) -> Handler:
        for node in nodes:
            assert node not in HANDLERS, node
            HANDLERS[node] = handler
        return handler

    return register


@dataclass
class Reading:
    """What is shared by all SELECTs of one query: the text, the inputs, the rules that were met."""

    sql: str
    dialect: str
    inputs: Mapping[str, Relation]
    stream: bool = False
    hits: list[Hit] = field(default_factory=list)

    def hit(self, rule_id: str, node: exp.Expr, **names: str) -> None:
        """Records that a node meets a rule, once."""
        met = node.meta.setdefault("rules", [])
        if rule_id not in met:
            met.append(rule_id)
            self.hits.append(Hit(RULES[rule_id], node, names))


class Typer:
    """Infers values inside one SELECT. The value of a node is kept in `node.meta["value"]`, its rules in `node.meta["rules"]`."""

    def __init__(self, reading: Reading, scope: Scope, subquery: Callable[[exp.Expr, Scope, Reading, bool], Relation]) -> None:
        self.reading, self.scope = reading, scope
        self._subquery = subquery
        self.facts: list[tuple[str, str]] = []
        self.aliases: dict[str, exp.Expr] = {}
        self.windows: dict[str, exp.Window] = {}
        self.over: exp.Window | None = None
        self.absent: set[str] = set()     # keys that are NULL in some rows: those of GROUPING SETS, ROLLUP

    def subquery(self, query: exp.Expr, *, scalar: bool = False) -> Relation:
        """The relation of a subquery that may refer to this SELECT's columns. `scalar`: it stands for one value."""
        return self._subquery(query, self.scope, self.reading, scalar)

    def value(self, node: exp.Expr) -> Value:
        """The value of an expression; rules that it meets are recorded."""
        handler = HANDLERS.get(type(node)) or _handler_of_base(node)
        if handler is None:
            known = self._not_listed(node)
        else:
            known = handler(self, node)
        known = self._with_facts(node, known)
        if self.absent and not known.nullable and spelling(bare(node)) in self.absent:
            known = replace(known, nullable=True)
        node.meta["value"] = known
        instead = node.meta.pop("instead", None)
        if instead is not None:   # the canonical form depends on the types
            instead.meta.update(node.meta)
            node.replace(instead)
        return known

    def _not_listed(self, node: exp.Expr) -> Value:
        self.hit("function.unknown" if isinstance(node, exp.Func) else "clause.unknown", node, name=function_name(node))
        for child in node.iter_expressions():
            if isinstance(child, (exp.Column, exp.Func, exp.Binary)):
                self.value(child)
        return UNKNOWN_VALUE

    def hit(self, rule_id: str, node: exp.Expr, **names: str) -> None:
        """Records that a node meets a rule."""
        self.reading.hit(rule_id, node, **names)

    @staticmethod
    def hits_refuse(node: exp.Expr) -> bool:
        """Whether a rule that refuses was met at this node."""
        return any(RULES[rule].action == "refuse" for rule in node.meta.get("rules", ()))

    def resolve(self, node: exp.Column) -> Value:
        """A column's value; the column is given its relation. SK202 and unknown where it does not exist."""
        scope: Scope | None = self.scope
        while scope is not None:
            found = self._in_scope(scope, node)
            if found:
                if len(found) > 1 and node.name.lower() not in scope.merged:
                    self.hit("name.ambiguous", node)
                if not node.table:
                    node.set("table", exp.to_identifier(found[0][0]))
                return self._typed(node, found[0][1])
            scope = scope.outer
        if not node.table and node.name.lower() in self.aliases:
            return self._inlined(node)
        if any(source.open for source in self.scope.sources.values()):
            return UNKNOWN_VALUE   # the relation itself is reported already
        names = sorted({c.name for s in self.scope.sources.values() for c in s.columns})
        self.hit("name.column", node, near=near_name(node.name, names))
        return UNKNOWN_VALUE

    def _typed(self, node: exp.Column, value: Value) -> Value:
        if value.type != UNTYPED:
            return value
        self.hit("name.untyped", node, column=node.name)
        return UNKNOWN_VALUE

    def _inlined(self, node: exp.Column) -> Value:
        """A column that names an output of the same SELECT: the tree gets the expression in its place."""
        self.hit("name.alias", node)
        name = node.name.lower()
        meant = self.aliases.pop(name)   # an alias that names itself is an unknown column
        copy = exp.paren(meant.copy(), copy=False) if isinstance(meant, exp.Binary) else meant.copy()
        known = self.value(copy)
        self.aliases[name] = meant
        node.replace(copy)
        return known

    @staticmethod
    def _in_scope(scope: Scope, node: exp.Column) -> list[tuple[str, Value]]:
        wanted = node.table.lower()
        return [
            (alias, column.value) for alias, source in scope.sources.items()
            if (not wanted or wanted == alias.lower()) and (column := source.column(node.name)) is not None
        ]

    @contextmanager
    def assuming(self, condition: exp.Expr | None, truth: bool = True) -> Iterator[None]:
        """Inside, what follows from a condition being true (or not true) is known: NOT NULL, not zero, not negative."""
        before = len(self.facts)
        if condition is not None:
            self.facts.extend(self._follows(condition, truth))
        yield
        del self.facts[before:]

    def holds(self, fact: str, node: exp.Expr) -> bool:
        """Whether a fact about a node follows from the conditions around it."""
        return (fact, spelling(bare(node))) in self.facts

    def _follows(self, condition: exp.Expr, truth: bool) -> Iterator[tuple[str, str]]:
        condition = condition.unnest()
        if isinstance(condition, exp.Not):
            yield from self._follows(condition.this, not truth)
        elif isinstance(condition, exp.And if truth else exp.Or):
            yield from self._follows(condition.this, truth)
            yield from self._follows(condition.expression, truth)
        elif isinstance(condition, exp.Is) and isinstance(condition.expression, exp.Null):
            if not truth:
                yield "notnull", spelling(bare(condition.this))
        elif truth and isinstance(condition, (exp.GT, exp.GTE, exp.NEQ, exp.LT, exp.LTE, exp.EQ, exp.Between)):
            yield from self._bounds(condition)

    def _bounds(self, condition: exp.Expr) -> Iterator[tuple[str, str]]:
        subject = spelling(bare(condition.this))
        yield "notnull", subject
        if isinstance(condition, exp.Between):
            low, high = number(condition.args["low"]), number(condition.args["high"])
            if low is not None and high is not None:
                yield f"range:{low}:{high}", subject
            return
        bound = number(condition.expression)
        if isinstance(condition.this, exp.Translate) and isinstance(condition, exp.EQ) and condition.expression.name == "":
            digits = condition.this.args["from_"].name == "0123456789" and condition.this.args["to"].name == ""
            if digits:
                for column in condition.this.find_all(exp.Column):
                    yield "digits", spelling(column)
        if bound is None:
            return
        if isinstance(condition, (exp.GT, exp.GTE)):
            yield f"range:{bound}:", subject
        elif isinstance(condition, (exp.LT, exp.LTE)):
            yield f"range::{bound}", subject
        if isinstance(condition, exp.GT) and bound >= 0 or isinstance(condition, exp.LT) and bound <= 0 or (
            isinstance(condition, exp.NEQ) and bound == 0
        ):
            yield "nonzero", subject

    def _with_facts(self, node: exp.Expr, known: Value) -> Value:
        if not self.facts or not isinstance(node, (exp.Column, exp.Func, exp.Binary, exp.Window)):
            return known
        text = spelling(bare(node))
        for fact, subject in self.facts:
            if subject != text:
                continue
            if fact == "notnull":
                known = replace(known, nullable=False)
            elif fact == "nonzero":
                known = replace(known, nonzero=True)
            elif fact.startswith("range:"):
                known = _narrowed(known, fact)
        return known


def _narrowed(known: Value, fact: str) -> Value:
    _, low, high = fact.split(":")
    lo, hi = known.lo, known.hi
    if low:
        lo = Fraction(low) if lo is None else max(lo, Fraction(low))
    if high:
        hi = Fraction(high) if hi is None else min(hi, Fraction(high))
    return replace(known, lo=lo, hi=hi)


def bare(node: exp.Expr) -> exp.Expr:
    """The expression inside parentheses and casts to DOUBLE, which do not change whether it is NULL, zero or negative."""
    while isinstance(node, exp.Paren) or isinstance(node, exp.Cast) and node.to.this in (exp.DType.DOUBLE,):
        node = node.this
    return node


def number(node: exp.Expr) -> int | Fraction | None:
    """The number that a literal, a negated literal or a cast literal says, else None."""
    if isinstance(node, (exp.Paren, exp.Cast)):
        return number(node.this)
    if isinstance(node, exp.Neg):
        inner = number(node.this)
        return None if inner is None else -inner
    if isinstance(node, exp.Literal):
        try:
            exact = Fraction(node.name)
        except ValueError:
            return None
        return int(exact) if exact.denominator == 1 else exact
    return None




def function_name(node: exp.Expr) -> str:
    """A function's name in upper case; the kind of node for anything else."""
    name = node.name if isinstance(node, exp.Anonymous) else node.sql_name() if isinstance(node, exp.Func) else node.key
    return str(name).upper()


def _handler_of_base(node: exp.Expr) -> Handler | None:
    """Aggregates that have no handler of their own are refused as aggregates, not as unknown functions."""
    return HANDLERS.get(exp.AggFunc) if isinstance(node, exp.AggFunc) else None


def near_name(name: str, names: list[str]) -> str:
    """The nearest of some names as a question, else all of them."""
    near = difflib.get_close_matches(name, names, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Columns: {', '.join(names) or 'none'}."


__all__ = ["Column", "Hit", "Reading", "Scope", "Typer", "bare", "function_name", "handles", "near_name", "number"]
