"""The gate: what real Flink says of a script before anything runs. It must have a plan, and the plan must only append."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from skewless.errors import SkewlessError
from skewless.stream.script import statements
from skewless.stream.session import Session

_OPERATOR = re.compile(r"^[\s:|+-]*(?P<operator>\w[^\n]*?), changelogMode=\[(?P<changes>[A-Z,]*)\]", re.MULTILINE)
_PHYSICAL = re.compile(r"== Optimized Physical Plan ==\n(.*?)(?:\n== |\Z)", re.DOTALL)
# What a sink says that can only append; the plan is then not shown.
_CONSUMER = re.compile(r"doesn't support consuming (?:update|delete|update and delete) changes which is produced by node (.+)")
OPERATOR_LENGTH_MAX = 160


@dataclass(frozen=True)
class Verdict:
    """`mode`: the plan only appends rows; it takes rows back or replaces them; or there is no plan.

    `changes` are the kinds of change that come out: I (insert), UB and UA (update, before and after), D (delete); empty when a
    sink that can only append refused them. `operator` is the part of the plan where taking back begins. `fact` is Flink's reason
    when there is no plan.
    """

    mode: Literal["append-only", "retracting", "error"]
    changes: tuple[str, ...] = ()
    operator: str = ""
    fact: str = ""
    plan: str = ""

    def refusal(self, what: str) -> SkewlessError | None:
        """SK810 or SK811 about `what` (a view's name); None when the plan only appends."""
        if self.mode == "error":
            return SkewlessError(
                "SK810", f"{what} has no plan in Flink: {self.fact}", hint="Say it in another way, or do not stream it."
            )
        if self.mode == "retracting":
            return SkewlessError(
                "SK811", f"{what} takes rows back in Flink", detail=f"It begins at {self.operator}.",
                hint="A streamed view groups by windows (skewless.tumble …) or uses RANGE windows, and joins as of event time.",
            )
        return None


def gate(script: str | Sequence[str], session: Session, *, setup: Sequence[str] = ()) -> Verdict:
    """The verdict on a script: CREATE, SET and so on, then one SELECT, INSERT or statement set, which is explained and not run.

    `setup` are statements before it. A statement before the last that Flink refuses is an error of the script too.
    Raises SK926 when the session is gone.
    """
    parts = [*setup, *(statements(script) if isinstance(script, str) else script)]
    if not parts:
        return Verdict("error", fact="the script is empty")
    try:
        plan = session.explain(parts[:-1], parts[-1])
    except SkewlessError as error:
        if error.code != "SK801":
            raise
        fact = error.fact.partition(": ")[2]
        consumer = _CONSUMER.search(fact)
        return Verdict("retracting", operator=consumer[1]) if consumer else Verdict("error", fact=fact)
    return read_plan(plan)


def read_plan(plan: str) -> Verdict:
    """The verdict on Flink's text of a plan with changelog modes; of several sinks, all together."""
    physical = _PHYSICAL.search(plan)
    found = [(m["operator"], m["changes"].split(",")) for m in _OPERATOR.finditer(physical[1] if physical else plan)]
    out = [changes for operator, changes in found if changes != ["NONE"]]
    if not out:
        return Verdict("error", fact="the plan does not say what it changes", plan=plan)
    moving = [(operator, changes) for operator, changes in found if {"UB", "UA", "D"} & set(changes)]
    if not moving:
        return Verdict("append-only", ("I",), plan=plan)
    operator, _ = moving[-1]
    kinds = {kind for _, changes in moving for kind in changes} if len(_sinks(found)) > 1 else set(moving[0][1])
    return Verdict(
        "retracting", tuple(kind for kind in ("I", "UB", "UA", "D") if kind in kinds), operator[:OPERATOR_LENGTH_MAX], plan=plan
    )


def _sinks(found: list[tuple[str, list[str]]]) -> list[str]:
    return [operator for operator, changes in found if changes == ["NONE"]]
