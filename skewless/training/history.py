"""The history that a training set reads: which version of each table, whether it is complete, and what of it was loaded late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skewless.clock import BEGIN_OF_TIME_US, format_instant, now_us
from skewless.errors import Findings, SkewlessError
from skewless.registry.model import Selected, View
from skewless.training.labels import LabelFrame
from skewless.training.render import backfill_name, relation_name, views_of
from skewless.warehouse.ledger import gaps, merge

if TYPE_CHECKING:
    import duckdb

    from skewless.config import Config
    from skewless.warehouse.lake import LakeTable
    from skewless.warehouse.ledger import LedgerEntry, Position

SECOND_US = 1_000_000
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class History:
    """One view's table as of one position. `lo_us` and `hi_us` bound the event times that the label frame can see, inclusive."""

    view: View
    table: LakeTable
    position: Position
    lo_us: int
    hi_us: int
    rows: int                               # rows within the window, at most: whole files are counted

    def attach(self, con: duckdb.DuckDBPyConnection, mode: str) -> int:
        """Makes the history a relation of the connection; returns how many windows count as backfill (mode known_at only)."""
        relation = _versions(self) if mode == "known_at" else _current(self)
        con.execute(f"create or replace temp view {relation_name(self.view)} as select * from {relation}").fetchall()
        if mode != "known_at":
            return 0
        found = backfills([e for e in self.table.ledger() if e.version <= self.position.version])
        name = backfill_name(self.view)
        con.execute(f"create or replace temp table {name} (r timestamp, covered_from timestamp, covered_to timestamp)").fetchall()
        if found:
            rows = ", ".join("(" + ", ".join(f"make_timestamp({us})" for us in row) + ")" for row in found)
            con.execute(f"insert into {name} values {rows}").fetchall()
        return len(found)


def open_histories(config: Config, selected: tuple[Selected, ...], frame: LabelFrame, mode: str) -> list[History]:
    """The history of every selected view at its newest position.

    Raises SK705 where it is not complete over the label frame's range, SK713 for a view past its sunset; several at once.
    """
    out: list[History] = []
    findings: list[SkewlessError] = []
    for view in views_of(selected):
        features = list(dict.fromkeys(item.feature.name for item in selected if item.view.ref == view.ref))
        if view.sunset_at_us is not None and now_us() >= view.sunset_at_us:
            past = f"{view.ref} is past its sunset of {format_instant(view.sunset_at_us)}"
            findings.append(SkewlessError("SK713", past, hint="Use a newer version of it."))
            continue
        try:
            out.append(_open(config, view, features, frame, mode))
        except SkewlessError as error:
            findings.append(error)
    if findings:
        raise findings[0] if len(findings) == 1 else Findings(findings)
    return out


def window(view: View, frame: LabelFrame, mode: str) -> tuple[int, int]:
    """[lo, hi] of event times that some label can see, both inclusive; an empty frame sees nothing."""
    if frame.min_us is None or frame.max_us is None:
        return 0, -1
    lo = BEGIN_OF_TIME_US if view.ttl_us is None else frame.min_us - view.ttl_us
    return lo, frame.max_us - (0 if mode == "known_at" else view.availability_delay_us or 0)


def backfills(entries: list[LedgerEntry]) -> list[tuple[int, int, int]]:
    """(stamp, start, end) of event times that a commit loaded late: [start, end) that no commit before it had covered.

    A commit loads the past when its window ended more than a day before the commit. The first one that did not finishes the
    initial load, so it counts too. A window that had been covered before is no backfill: what it inserts came late.
    """
    out: list[tuple[int, int, int]] = []
    covered: list[tuple[int, int]] = []
    caught_up = False
    for entry in entries:
        if entry.kind != "window":
            continue
        start, end = entry.window_start_us, entry.window_end_us
        late = end < entry.r_us - DAY_US
        if late or not caught_up:
            out += [(entry.r_us, lo, hi) for lo, hi in gaps(covered, start, end)]
        caught_up = caught_up or not late
        covered = merge([*covered, (start, end)])
    return out


def _open(config: Config, view: View, features: list[str], frame: LabelFrame, mode: str) -> History:
    from skewless.warehouse.lake import LakeTable

    table = LakeTable(config.lake_root, view)
    lo, hi = window(view, frame, mode)
    if not table.exists():
        raise _incomplete(view, None, None, hi, "pending")
    snapshot = table.snapshot()
    only = snapshot.streams_only        # no batch will ever say what is complete: the stream's newest row does
    if frame.rows:
        for feature in (None, *features):
            through = snapshot.statistics()["newest_event_timestamp_us"] if only else snapshot.complete_through_us(feature)
            if _needed(view, hi) and (through is None or through <= hi):
                raise _incomplete(view, feature, through, hi, "pending" if through is None else "in_progress")
    rows = sum(f.rows for f in snapshot.of("current", "pending", lo_us=lo, hi_us=hi))
    return History(view, table, snapshot.position, lo, hi, rows)


def _needed(view: View, hi: int) -> bool:
    return view.begin_us is None or hi >= view.begin_us


def _incomplete(view: View, feature: str | None, through: int | None, hi: int, state: str) -> SkewlessError:
    what = f"{view.ref}:{feature}" if feature else view.ref
    so_far = f"complete up to {format_instant(through)}" if through is not None else "not complete from its begin"
    start = f" --from {format_instant(view.begin_us)}" if through is None and view.begin_us is not None else ""
    end = (hi // SECOND_US + 1) * SECOND_US
    if hi >= now_us():
        hint = f"The present is {format_instant(now_us())}: labels after it cannot be joined yet. Remove them."
    elif view.stream is not None and view.stream.only:
        hint = f"No batch computes it. What is on its way tells: skewless stream status {view.ref}"
    else:
        hint = f"skewless materialize {view.name}{start} --to {format_instant(end)}"
    return SkewlessError(
        "SK705", f"the history of {what} is not complete over the label frame's range",
        detail=f"The labels see it up to {format_instant(hi)}; it is {so_far} (state: {state}).", hint=hint,
    )


def _current(history: History) -> str:
    return history.table.relation("current", lo_us=history.lo_us, hi_us=history.hi_us, version=history.position.version)


def _versions(history: History) -> str:
    """Every version as of the position, also after the files of that time were vacuumed: later stamps are taken back."""
    table, position = history.table, history.position
    snapshot = table.snapshot(position.version)
    if all((table.path / f.path).exists() for f in snapshot.files):
        return snapshot.relation("versions", lo_us=history.lo_us, hi_us=history.hi_us)
    newest = table.relation("versions", lo_us=history.lo_us, hi_us=history.hi_us)
    at = f"make_timestamp({position.r_us})"
    return (
        f"(select * replace (case when superseded_at <= {at} then superseded_at end as superseded_at) "
        f"from {newest} where ingested_at <= {at})"
    )
