"""The visitor: a typed syntax tree -> the SQL text of one engine. A node without a printer is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.value import Value
from skewless.types import TABLE, Type

Engine = Literal["duckdb", "postgres", "flink"]
ENGINES: tuple[Engine, ...] = ("duckdb", "postgres", "flink")
Handler = Callable[["Printer", Any], str]
Function = TypeVar("Function", bound=Handler)
_HANDLERS: dict[type[exp.Expr], tuple[Handler, frozenset[str]]] = {}

# What the parser notes about a node and no engine's text says: they describe the dialect that was read.
_NOTES = frozenset({
    "typed", "safe", "big_int", "ignore_nulls", "coalesce", "date_part_boundary", "charset", "single_replace", "is_string",
})
_WIDE = {
    "int16": {"duckdb": "SMALLINT", "postgres": "smallint", "flink": "SMALLINT"},
    "timestamptz": {"duckdb": "TIMESTAMPTZ", "postgres": "timestamptz", "flink": "TIMESTAMP_LTZ(6)"},
}


class Infix(str):
    """Text whose outermost part is an operator: it is put in parentheses where it is an operand."""


def prints(*nodes: type[exp.Expr], args: str = "this expression") -> Callable[[Function], Function]:
    """Registers how nodes are printed. `args` names every argument that the printer reads: a node with another one is refused."""

    def register(function: Function) -> Function:
        for node in nodes:
            assert node not in _HANDLERS, node
            _HANDLERS[node] = function, frozenset(args.split()) | _NOTES
        return function

    return register


class Printer:
    """Prints the nodes of one query for one engine. `tables`: relation as written, lower case -> the name that is printed.

    `qualifiers`: relations of the SELECT being printed whose printed name is another one. `ctes` and `rowtimes` hold, for
    relations of WITH and for inputs, the event times that Flink orders by another column.
    """

    def __init__(self, engine: Engine, tables: dict[str, str] | None = None) -> None:
        self.engine: Engine = engine
        self.tables = tables or {}
        self.ctes: dict[str, dict[str, str]] = {}
        self.qualifiers: dict[str, str] = {}
        self.hoisted: list[tuple[str, str]] = []
        self.rowtimes: dict[str, dict[str, str]] = {}
        self._hoists = 0

    @property
    def flink(self) -> bool:
        return self.engine == "flink"

    @property
    def postgres(self) -> bool:
        return self.engine == "postgres"

    @property
    def duckdb(self) -> bool:
        return self.engine == "duckdb"

    def text(self, node: exp.Expr) -> str:
        """A node's SQL. Raises SK820 for a node, or an argument of one, that has no form."""
        if self.flink:
            from skewless.stream.lower.constants import folded

            constant = folded(node)
            if constant is not None:
                return constant
        found = _HANDLERS.get(type(node))
        if found is None:
            raise no_form(self.engine, node)
        handler, allowed = found
        extra = [name for name, value in node.args.items() if name not in allowed and value not in (None, False) and value != []]
        if extra:
            raise no_form(self.engine, node, ", ".join(sorted(extra)))
        return handler(self, node)

    def operand(self, node: exp.Expr) -> str:
        """A node's SQL as the operand of an operator."""
        return enclosed(self.text(node))

    def items(self, nodes: Any) -> str:
        """Nodes with commas between."""
        return ", ".join(self.text(node) for node in nodes)

    def call(self, name: str, *nodes: exp.Expr) -> str:
        """A function of some nodes."""
        return f"{name}({self.items(nodes)})"

    def name(self, name: str) -> str:
        """A quoted identifier, lower case: the warehouses ignore case, Flink does not."""
        return self.exact(name.lower())

    def column(self, table: str, name: str) -> str:
        """A column of a relation, by the name under which that is printed."""
        return f"{self.name(self.qualifiers.get(table.lower(), table))}.{self.name(name)}" if table else self.name(name)

    def exact(self, name: str) -> str:
        """A quoted identifier as it is."""
        mark = "`" if self.flink else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def type(self, type_: Type) -> str:
        """A type's name."""
        if type_.name in _WIDE:
            return _WIDE[type_.name][self.engine]
        if type_.name not in TABLE:
            raise SkewlessError("SK820", f"a value of type {type_} has no form in {self.engine}")
        return type_.world(self.engine).upper() if not type_.array else type_.world(self.engine)

    def cast(self, text: str, type_: Type) -> str:
        """A CAST of a text to a type."""
        return f"CAST({text} AS {self.type(type_)})"

    def string(self, text: str) -> str:
        """A text literal on one line."""
        quoted = "'" + text.replace("'", "''") + "'"
        if not re.search(r"[\x00-\x1f\x7f]", text):
            return quoted
        if self.flink:
            return "U&" + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\{ord(m[0]):04x}", quoted.replace("\\", "\\\\"))
        return "E" + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\x{ord(m[0]):02x}", quoted.replace("\\", "\\\\"))

    @contextmanager
    def names_of(self, node: exp.Expr) -> Iterator[None]:
        """Inside, the names of a query's WITH are known; after it, those of the queries around it."""
        before = dict(self.ctes), dict(self.qualifiers)
        yield
        self.ctes, self.qualifiers = before

    def hoist(self, prefix: str, text: str) -> str:
        """The quoted name of a query that the SELECT being printed puts in its WITH."""
        self._hoists += 1
        name = self.name(f"{prefix}{self._hoists}")
        self.hoisted.append((name, text))
        return name

    def table(self, parts: list[str]) -> str:
        """The printed name of a relation written `a.b.c` (lower case): of the longest form that is known, else its last part."""
        for start in range(len(parts)):
            found = self.tables.get(".".join(parts[start:]))
            if found is not None:
                return found
        return parts[-1]


def enclosed(text: str) -> str:
    """The text, in parentheses if it is an operator's."""
    return f"({text})" if isinstance(text, Infix) else text


def value(node: exp.Expr) -> Value:
    """What the checker knows of a node. Raises SK820 where it knows nothing."""
    known = node.meta.get("value")
    if not isinstance(known, Value):
        raise SkewlessError("SK820", f"{_words(node)} has no known type")
    return known


def no_form(engine: str, node: exp.Expr, what: str = "") -> SkewlessError:
    """The refusal of a node that no printer knows."""
    fact = f"{_words(node)}{' with ' + what if what else ''} has no form in {engine}"
    return SkewlessError("SK820", fact, hint="Use the SQL of docs/portable-sql.md: skewless check lists what is outside it.")


def _words(node: exp.Expr) -> str:
    text = " ".join(node.sql(dialect="duckdb", comments=False).split())
    return f"{node.key.upper()} `{text if len(text) <= 60 else text[:57] + '...'}`"


def indent(text: str) -> str:
    """The text two spaces further in. No literal spans lines (`Printer.string`)."""
    return "\n".join("  " + line if line else line for line in text.split("\n"))
