"""The lines in which dbt runs tell how far a materialization is -> steps done and steps in all."""

from __future__ import annotations

import re
from typing import NamedTuple

_STEP = re.compile(r"skewless: (\S+) (\d+)/(\d+) (.+)$")
_NOTE = re.compile(r"skewless: (\S+@\d+\b.*)$")


class Step(NamedTuple):
    """`total` is 0 for a line that is a note and no step."""

    text: str
    done: int
    total: int


class Steps:
    """Counts over all views of a run; `total` grows with each view that announces its windows."""

    def __init__(self) -> None:
        self.done = 0
        self._totals: dict[str, int] = {}

    def read(self, line: str) -> Step | None:
        """What a line says of the run, None for most."""
        found = _STEP.search(line)
        if found:
            self._totals[found[1]] = int(found[3])
            self.done += 1
            return Step(f"{found[1]} {found[4]}", self.done, sum(self._totals.values()))
        note = _NOTE.search(line)
        return Step(note[1], self.done, 0) if note else None
