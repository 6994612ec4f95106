"""What streamed into views that no batch computes becomes their history outside of a run of dbt, as such a run would make it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace

from skewless.config import Config
from skewless.warehouse.dbt import compile_inline
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.run import Request, Run, Steps, Totals, describe
from skewless.warehouse.session import memory
from skewless.warehouse.upkeep import Upkeep, compact

Statements = dict[str, str]


def fold_and_compact(config: Config, tables: Sequence[LakeTable]) -> list[Upkeep]:
    """`compact` of each; before that the pending rows of views that only stream are folded, under the guards of a run and with
    its ledger entry. Raises SK504, SK505, SK507, SK511, and SK911 where the macros of the project cannot be rendered."""
    due = [table for table in tables if _is_due(table)]
    rendered = statements(config, due) if due else {}
    done = []
    for table in tables:
        before = len(table.snapshot().files)
        folded = fold(table, rendered[table.view.ref]) if table.view.ref in rendered else 0
        done.append(replace(compact(table), files_before=before, rows_folded=folded))
    return done


def fold(table: LakeTable, rendered: Statements) -> int:
    """How many pending rows of a view that only streams became history, in one commit; none without such rows."""
    view = table.view
    assert view.stream is not None and view.stream.only, "rows of other views are folded by the batch that reaches them"
    run = Run(table, Request(
        view=view, sql="", statements=rendered, definition_hash=view.definition_hash, run_id=f"compact-{secrets.token_hex(8)}"
    ))
    steps = run.steps()
    try:
        return _driven(steps).rows_in
    finally:
        steps.close()
        run.close()


def statements(config: Config, tables: Sequence[LakeTable]) -> dict[str, Statements]:
    """The statements of the materialization for each view, by `name@version`: the project's macros, rendered by dbt."""
    told = {table.view.ref: describe(table.view, table.snapshot().partition) for table in tables}
    calls = ", ".join(
        f"'{ref}': skewless.feature_view_statements(fromjson({json.dumps(json.dumps(view))}))" for ref, view in told.items()
    )
    found: dict[str, Statements] = json.loads(compile_inline(config, "{{ tojson({" + calls + "}) }}"))
    return found


def _is_due(table: LakeTable) -> bool:
    snapshot = table.snapshot()
    return snapshot.streams_only and bool(snapshot.of("pending"))


def _driven(steps: Steps) -> Totals:
    """Executes the steps one by one on a session of our own: all that a fold reads are the table's files."""
    with memory() as con:
        answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                totals: Totals = stop.value
                return totals
            rows = con.execute(step.sql).fetchall()
            answer = rows[0][0] if step.fetch else None
