"""Random expressions from the templates, over the columns of a relation."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skewless.conformance.constructs import EXPRESSIONS, LITERALS
from skewless.conformance.macro_text import call

_HOLE = re.compile(r"\{(\w+)(:leaf)?\}")
_MACRO = re.compile(r"@(\w+)\((.*)\)$", re.DOTALL)
_ATOM = re.compile(r"[\w.]+|'(?:[^']|'')*'|case\b.*\bend|\w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", re.DOTALL)
LEAF_SHARE = 0.25
FOCUS_SHARE = 0.6
_NUMBERS = ("int", "dec", "dbl")
COLUMN_SHARE = 0.85


@dataclass
class Expressions:
    """Expressions over columns (kind -> names). `focus`: kind -> templates that are taken half of the time.

    `used` collects the templates of what was made.
    """

    rng: random.Random
    columns: Mapping[str, Sequence[str]]
    focus: Mapping[str, Sequence[str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def of(self, kind: str, depth: int) -> str:
        """An expression of a kind, at most `depth` templates deep."""
        if kind in self.focus and depth >= 0 and self.rng.random() < FOCUS_SHARE:
            return self.fill(self.rng.choice(self.focus[kind]), depth - 1)
        if kind not in EXPRESSIONS:
            return self._leaf(kind)
        if kind not in ("num", "any") and (depth <= 0 or self.rng.random() < LEAF_SHARE):
            return self._leaf(kind)
        template = self.rng.choice(EXPRESSIONS[kind])
        return self.fill(template, depth - (kind not in ("num", "any")))

    def fill(self, template: str, depth: int, **fixed: str) -> str:
        """A template with expressions in its holes; `fixed` are the texts of named holes."""
        self.used.append(template)
        macro = _MACRO.match(template)

        def hole(match: re.Match[str]) -> str:
            kind = match[1]
            if kind in fixed:
                return fixed[kind]
            text = self._leaf(kind) if match[2] else self.of(kind, depth)
            return text if macro or _ATOM.fullmatch(text) or template == match[0] or kind in _RAW else f"({text})"

        if macro is None:
            return _HOLE.sub(hole, template)
        arguments = [_HOLE.sub(hole, part.strip()) for part in macro[2].split(",")]
        return call("duckdb", macro[1], *(int(a) if a.isdigit() and n else a for n, a in enumerate(arguments)))

    def _leaf(self, kind: str) -> str:
        if kind in ("num", "any"):
            kind = self.rng.choice(_NUMBERS if kind == "num" else (*_NUMBERS, "str", "uni", "bool", "date", "ts"))
        columns, literals = self.columns.get(kind, ()), LITERALS.get(kind, ())
        if columns and (not literals or self.rng.random() < COLUMN_SHARE):
            return self.rng.choice(columns)
        return self.rng.choice(literals) if literals else "null"


_RAW = {"field", "unit", "amount", "trunc", "part", "diff", "regex", "like", "few", "digits", "bucket", "format", "over", "w"}
