"""Where compiled SQL came from in the model file: only what is certain.

A model file is text with Jinja in between. The text outside Jinja stands in the compiled SQL unchanged and in order, with
whatever the Jinja gave in the gaps. A piece of text has one possible place when its leftmost and its rightmost fit are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_JINJA = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
_OPENS = re.compile(r"{%-?\s*(for|if|macro|call|filter|raw|set(?=\s+[\w, ]+-?%}))\b")
_CLOSES = re.compile(r"{%-?\s*end(for|if|macro|call|filter|raw|set)\b")


@dataclass(frozen=True)
class Piece:
    """Text outside Jinja: its offset in the model file, its text, whether it stands in a loop, branch or block."""

    start: int
    text: str
    inside: bool


def pieces_of(raw: str) -> list[Piece]:
    """The texts of a model file outside Jinja, without the white space at their ends (which `-` may cut)."""
    out, at, depth = [], 0, 0
    for jinja in [*_JINJA.finditer(raw), None]:
        end = jinja.start() if jinja else len(raw)
        text = raw[at:end]
        if text.strip():
            out.append(Piece(at + len(text) - len(text.lstrip()), text.strip(), depth > 0))
        if jinja:
            at = jinja.end()
            depth += 1 if _OPENS.match(jinja[0]) else -1 if _CLOSES.match(jinja[0]) else 0
    return out


class ModelText:
    """The model file `raw` beside the SQL `compiled` from it."""

    def __init__(self, raw: str, compiled: str) -> None:
        self.raw, self.compiled = raw, compiled
        self.places = _places([p for p in pieces_of(raw) if not p.inside], compiled)

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """The offsets in the model file of compiled[start:end], None where they are not certain or Jinja stands between."""
        for piece, at in self.places:
            if at <= start and end <= at + len(piece.text):
                return piece.start + start - at, piece.start + end - at
        return None

    def line(self, start: int) -> tuple[int, int, bool]:
        """(line, column, exact) in the model file of an offset in the compiled SQL.

        Not exact: the line of the nearest certain text before it, where the Jinja begins that gave this SQL; column 0.
        """
        span = self.span(start, start + 1)
        if span is not None:
            at = span[0]
            return self.raw.count("\n", 0, at) + 1, at - (self.raw.rfind("\n", 0, at) + 1) + 1, True
        before = [piece for piece, at in self.places if at <= start]
        if not before:
            return 1, 0, False
        end = before[-1].start + len(before[-1].text)
        jinja = _JINJA.search(self.raw, end)
        return self.raw.count("\n", 0, jinja.start() if jinja else end) + 1, 0, False


def _places(pieces: list[Piece], compiled: str) -> list[tuple[Piece, int]]:
    """The pieces that have one possible offset in the compiled SQL, with it. None where the texts do not fit together at all."""
    if not pieces:
        return []
    first, at = [], 0
    for piece in pieces:
        found = compiled.find(piece.text, at)
        if found < 0:
            return []
        first.append(found)
        at = found + len(piece.text)
    last, at = [], len(compiled)
    for piece in reversed(pieces):
        found = compiled.rfind(piece.text, 0, at)
        last.append(found)
        at = found
    last.reverse()
    return [(piece, a) for piece, a, b in zip(pieces, first, last, strict=True) if a == b]
