"""The ledger: one entry per commit to a view's Delta table, kept as that commit's metadata; and the coverage it gives.

Windows are half-open, [start, end). All instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

METADATA_KEY = "skewless"
WINDOW, APPLIED, PENDING, FOLD, COMPACT, CREATE = "window", "applied", "pending", "fold", "compact", "create"


class Position(msgspec.Struct, frozen=True):
    """How far a reader has read: the table, the Delta version and that version's commit stamp."""

    table_id: str
    version: int
    r_us: int


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit did.

    `kind`: create (the empty table), window (a materialized window), applied (a definition was applied), pending (a stream's
    flush), fold (what streamed into a view that no batch computes became its history), compact. `r_us` is the commit stamp,
    strictly increasing within a table.
    """

    kind: str
    r_us: int
    version: int = -1
    window_start_us: int = 0
    window_end_us: int = 0
    rows_in: int = 0
    rows_inserted: int = 0
    rows_corrected: int = 0
    rows_retracted: int = 0
    definition_hash: str = ""
    run_id: str = ""
    feature_names: tuple[str, ...] = ()
    begin_us: int | None = None             # the first instant of the history, where the definition gives none
    newest_ingested_us: int = 0             # newest ingested_at that a stream's flush brought
    folded_since_us: int | None = None      # oldest ingested_at of rows that this commit moved from pending to current
    late_rows: int = 0                      # stream rows older than complete_through, ignored
    counts: tuple[str, ...] = ()            # applied: the definitions whose windows count as coverage
    restates: bool = False                  # applied: windows before it do not count any more
    partition: str = ""                     # create: day or month


def encode(entry: LedgerEntry) -> str:
    """The entry as commit metadata. The version is the commit's own, so it is not written."""
    return msgspec.json.encode(msgspec.structs.replace(entry, version=-1)).decode()


def decode(text: str, version: int) -> LedgerEntry:
    """The inverse of `encode`, for the commit of that version."""
    return msgspec.structs.replace(msgspec.json.decode(text, type=LedgerEntry), version=version)


def read(table: Path, first: int, last: int) -> list[LedgerEntry]:
    """The entries of the commits `first`..`last`, both included, oldest first; commits of other tools have none.

    From the log's own files, whose names carry the version. `DeltaTable.history()` counts versions down from the one that is
    loaded, so it misnames them when a commit came after that.
    """
    infos = ((version, commit_info(table, version)) for version in range(first, last + 1))
    return [decode(info[METADATA_KEY], version) for version, info in infos if METADATA_KEY in info]


def actions(table: Path, version: int, *kinds: str) -> list[dict[str, Any]]:
    """The actions of these kinds of one version, each below its kind; none where the log has the version no more."""
    try:
        lines = (table / "_delta_log" / f"{version:020d}.json").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    wanted = [f'"{kind}"'.encode() for kind in kinds]
    found = [msgspec.json.decode(line) for line in lines if any(name in line for name in wanted)]
    return [action for action in found if not action.keys().isdisjoint(kinds)]


def commit_info(table: Path, version: int) -> dict[str, Any]:
    """The commitInfo of one version; empty where the log has none."""
    return next((action["commitInfo"] for action in actions(table, version, "commitInfo")), {})


Interval = tuple[int, int]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted, disjoint intervals that cover the same instants. Adjacent intervals become one; empty ones vanish."""
    out: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def gaps(covered: list[Interval], start: int, end: int) -> list[Interval]:
    """The parts of [start, end) that merged intervals leave open, in order."""
    out, at = [], start
    for lo, hi in covered:
        if lo > at:
            out.append((at, min(lo, end)))
        at = max(at, hi)
        if at >= end:
            break
    if at < end:
        out.append((at, end))
    return [g for g in out if g[0] < g[1]]


def counting_hashes(entries: list[LedgerEntry], definition_hash: str | None = None) -> set[str] | None:
    """The definitions whose windows count as coverage.

    An applied table counts the applied definition and those it was grown from without restating. A draft counts only
    `definition_hash`, or that of its newest window.
    """
    for entry in reversed(entries):
        if entry.kind == APPLIED:
            return {entry.definition_hash, *entry.counts}
    if definition_hash is not None:
        return {definition_hash}
    newest = [e.definition_hash for e in entries if e.kind == WINDOW]
    return {newest[-1]} if newest else set()


def covered(entries: list[LedgerEntry], *, feature: str | None = None, definition_hash: str | None = None) -> list[Interval]:
    """The merged windows that were materialized: of the whole view, or those in which `feature` was computed."""
    hashes = counting_hashes(entries, definition_hash) or set()
    restated = max((at for at, e in enumerate(entries) if e.restates), default=-1)
    return merge(
        (e.window_start_us, e.window_end_us)
        for e in entries[restated + 1 :]
        if e.kind == WINDOW and e.definition_hash in hashes and (feature is None or feature in e.feature_names)
    )


def begin_us(entries: list[LedgerEntry], declared: int | None) -> int | None:
    """The first instant of the history: declared, else the one that the first run found. None before any run."""
    if declared is not None:
        return declared
    found = [e.begin_us for e in entries if e.begin_us is not None]
    return min(found) if found else None


def contiguous_end(intervals: list[Interval], begin: int | None) -> int | None:
    """The end of the coverage that starts at `begin` (or before it) without a gap. None where it is not covered."""
    if begin is None:
        return None
    for start, end in intervals:
        if start <= begin < end:
            return end
    return None
