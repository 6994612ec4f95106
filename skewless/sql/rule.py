"""One rule: a construct, what becomes of it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["allow", "lower", "fix", "refuse"]
SEVERITY = {"allow": 0, "lower": 1, "fix": 2, "refuse": 3}


@dataclass(frozen=True)
class Rule:
    """`action`: allow (same text, same value), lower (the text stays, the printer of an engine spells it differently), fix (the
    model's text has to change; `fix` names the rewrite), refuse.

    In `message` and `hint`, {x} stands for the SQL that the rule met and {fixed} for what to write instead. `fact` is what was
    measured.
    """

    id: str
    action: Action
    code: str
    construct: str
    message: str = ""
    hint: str = ""
    fact: str = ""
    fix: str = ""

    @property
    def verdict(self) -> str:
        """allow, rewrite (by the printers or in the text) or refuse."""
        return {"lower": "rewrite", "fix": "rewrite"}.get(self.action, self.action)

    @property
    def area(self) -> str:
        return self.id.split(".")[0]
