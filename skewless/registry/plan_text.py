"""A plan as a tree for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skewless.clock import format_instant
from skewless.registry.model import View
from skewless.registry.plan import Change, Plan

SIGNS = {"added": "+", "changed": "~", "breaking": "!", "deprecated": "-", "vanished": "-"}
COUNTED = {"added": "to add", "changed": "to change", "breaking": "breaking", "deprecated": "deprecated", "vanished": "to remove"}

# (keys to push, complete_through_us) of a view's history, as far as it is there
Facts = Callable[[View], tuple[int | None, int | None]]


def render(plan: Plan, facts: Facts, *, redefine: bool = False) -> str:
    """The tree, the notices, the counts, and the command that applies the plan."""
    lines: list[str] = []
    width = max((len(_title(c)) for c in plan.changes), default=0)
    for change in plan.changes:
        lines += _change(plan, change, facts, width, redefine)
    lines += [f"  notice: {notice}." for notice in plan.notices]
    if lines:
        lines.append("")
    counts = [f"{len(found)} {COUNTED[kind]}" for kind in SIGNS if (found := plan.of_kind(kind))]   # type: ignore[arg-type]
    lines.append((", ".join(counts) or "Nothing changes") + ".")
    lines += _ending(plan, redefine)
    return "\n".join(lines) + "\n"


def as_data(plan: Plan, facts: Facts, *, redefine: bool = False) -> dict[str, Any]:
    """id, applicable, changes (kind, what, name, headline, details, actions), notices."""
    return {
        "id": plan.id,
        "applicable": _applicable(plan, redefine),
        "changes": [
            {
                "kind": c.kind, "what": c.what, "name": c.name, "headline": c.headline,
                "details": [{"sign": d.sign, "name": d.name, "text": d.text, "breaks": d.breaks} for d in c.details],
                "actions": _actions(plan, c, facts, redefine),
            }
            for c in plan.changes
        ],
        "notices": list(plan.notices),
    }


def _title(change: Change) -> str:
    return change.name if change.what == "view" else f"{change.what} {change.name}"


def _change(plan: Plan, change: Change, facts: Facts, width: int, redefine: bool) -> list[str]:
    headline = change.headline
    details = list(change.details)
    if not headline and len(details) == 1:
        only = details.pop()
        headline = " ".join(part for part in (only.sign if only.sign in "+-" else "", only.name, only.text) if part)
    lines = [f"  {SIGNS[change.kind]} {_title(change):<{width}}   {headline}".rstrip()]
    inner = max((len(d.name) for d in details), default=0)
    lines += [f"      {d.sign} {d.name:<{inner}}   {d.text}".rstrip() for d in details]
    return lines + [f"      {action}" for action in _actions(plan, change, facts, redefine)]


def _actions(plan: Plan, change: Change, facts: Facts, redefine: bool) -> list[str]:
    view = next((v for v in plan.wanted.views if v.ref == change.name), None) if change.what == "view" else None
    if view is None or (change.kind == "breaking" and not redefine):
        return []
    keys, complete_us = facts(view)
    push = f"push {keys:,} keys" if keys is not None else "push its keys"
    out = []
    for step in change.follows:
        if step == "backfill":
            text = f"backfill {_begin(view)} .. now"
            if complete_us is not None:
                text = f"history is there up to {format_instant(complete_us)}"
            out.append(f"{text}, then {push}" if view.online else text)
        elif step == "backfill_features":
            out.append(f"older rows get them by: skewless materialize {view.name} --from {_begin(view)}")
        elif step == "restate":
            out.append(f"restate {_begin(view)} .. now by: skewless materialize {view.name}")
        elif step == "push":
            out.append(f"{push} again by: skewless sync {view.name} --full")
    return out


def _begin(view: View) -> str:
    return "the first row" if view.begin_us is None else format_instant(view.begin_us).removesuffix("T00:00:00Z")


def _applicable(plan: Plan, redefine: bool) -> bool:
    return all(redefine and "schema" not in c.breaks for c in plan.of_kind("breaking"))


def _ending(plan: Plan, redefine: bool) -> list[str]:
    if _applicable(plan, redefine):
        if plan.wanted == plan.applied:
            return []
        return [f"Apply with: skewless apply {plan.id}{' --redefine' if redefine and plan.of_kind('breaking') else ''}"]
    schema = any("schema" in c.breaks for c in plan.of_kind("breaking"))
    way = "A breaking change needs a new version of the view (versions: in the model's YAML)"
    return [way + "." if schema else f"{way},", *([] if schema else ["or restates its history: skewless plan --redefine"])]
