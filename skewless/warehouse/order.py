"""Law 2 in SQL: among the rows of one slot (join keys, event_timestamp) the greatest ingested_at wins; a row that repeats the
values of the one before it is the same version, known since the earlier of the two."""

from __future__ import annotations

from skewless.registry.model import View
from skewless.warehouse.columns import INGESTED, SUPERSEDED, names, quote, quoted, slot


def versions(candidates: str, view: View) -> str:
    """The successive versions of each slot among `candidates` (a select of `names(view)` and ingested_at).

    Columns: those, then superseded_at: the ingested_at of the version that replaced it, NULL for the winner. Rows of one slot
    with the same ingested_at and different values are ordered by their values, so the answer is the same every time.
    """
    window = f"partition by {quoted(slot(view))} order by {quoted([INGESTED, *view.feature_names])}"
    first = f"lag({INGESTED}) over skw_slot is null"
    differs = [f"{quote(f)} is distinct from lag({quote(f)}) over skw_slot" for f in view.feature_names]
    columns = quoted([*names(view), INGESTED])
    return (
        f"select {columns}, lead({INGESTED}) over ({window}) as {SUPERSEDED} from ("
        f"select {columns} from ({candidates}) window skw_slot as ({window}) qualify {' or '.join([first, *differs])})"
    )


def winners(candidates: str, view: View) -> str:
    """The winning version of each slot, with the earliest ingested_at of its run of equal values."""
    return f"select {quoted([*names(view), INGESTED])} from ({versions(candidates, view)}) where {SUPERSEDED} is null"
