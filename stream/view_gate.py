"""The gate for the views of a project: each streamed or portable view's own SQL, lowered, before a real Flink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.finding import Finding
from skewless.registry.inputs import Inputs
from skewless.registry.lineage import dialect_of
from skewless.registry.model import View
from skewless.sql.value import UNKNOWN
from skewless.stream.gate import Verdict, gate
from skewless.stream.lower.dag import Source, lower_view
from skewless.stream.session import Session

SAID = ("SK1", "SK2")       # what `check` reports without asking Flink


def gate_views(manifest: dict[str, Any], views: Sequence[View], session: Session) -> list[SkewlessError]:
    """SK810 where a view's SQL has no plan in Flink, SK811 where the plan of a view that streams does not only append.

    SK820 to SK823 where it has no form in Flink. A view that `check` has refused by its rules is left out.
    """
    dialect = dialect_of(manifest)
    readers = {stream: Inputs(manifest, dialect, stream=stream) for stream in (False, True)}
    out: list[SkewlessError] = []
    for view in views:
        try:
            script = lower_view(manifest, view, dialect, "flink", inputs=readers[view.streamed])
            setup = [_table(source) for source in script.sources] + script.setup()
        except SkewlessError as error:
            if not error.code.startswith(SAID):
                out.append(Finding(error.code, error.fact, file=view.file, subject=f'view "{view.ref}"', hint=error.hint))
            continue
        verdict = gate([*setup, script.query], session)
        out += _finding(view, verdict)
    return out


def _finding(view: View, verdict: Verdict) -> list[Finding]:
    refusal = verdict.refusal("the view's SQL")
    if refusal is None or verdict.mode == "retracting" and not view.streamed:
        return []
    fact = f"{refusal.fact}, from {verdict.operator} on" if verdict.operator else refusal.fact
    return [Finding(refusal.code, fact, file=view.file, subject=f'view "{view.ref}"', hint=refusal.hint)]


def _table(source: Source) -> str:
    """A stream of that shape without any data: enough for a plan."""
    columns = []
    for column in source.relation.columns:
        kind = column.value.type
        if kind == UNKNOWN:
            raise SkewlessError("SK801", f'the type of column "{column.name}" of {source.name} is not known')
        columns.append(f"`{column.name}` {'TIMESTAMP(3)' if column.value.event_time else kind.world('flink')}")
    if source.event_time:
        columns.append(f"WATERMARK FOR `{source.event_time}` AS `{source.event_time}` - INTERVAL '1' SECOND")
    return f"CREATE TEMPORARY TABLE `{source.name}` ({', '.join(columns)}) WITH ('connector'='datagen')"
