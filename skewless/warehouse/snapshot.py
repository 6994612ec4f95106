"""One version of a view's table, read once: files and ledger belong together, whatever other processes commit meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skewless.clock import BEGIN_OF_TIME_US
from skewless.registry.model import View
from skewless.warehouse import files, ledger, order
from skewless.warehouse.columns import EVENT, INGESTED, SUPERSEDED, literal, names, quoted
from skewless.warehouse.files import LakeFile
from skewless.warehouse.ledger import LedgerEntry, Position


@dataclass(frozen=True)
class Snapshot:
    """Files and ledger as of one commit. `partition` is the table's own (day or month), fixed when it was created."""

    root: Path
    view: View
    position: Position
    entries: list[LedgerEntry]
    files: list[LakeFile]
    partition: str

    def complete_through_us(self, feature: str | None = None) -> int | None:
        """The end of the coverage without a gap from the begin of the history; of one feature, where it was computed."""
        begin = ledger.begin_us(self.entries, self.view.begin_us)
        return ledger.contiguous_end(ledger.covered(self.entries, feature=feature), begin)

    def streams_count_from_us(self) -> int:
        """From where rows of a stream count: complete_through, or the beginning of time."""
        at = self.complete_through_us()
        return BEGIN_OF_TIME_US if at is None else at

    def contest(
        self, pending: list[LakeFile], *, lo_us: int | None = None, hi_us: int | None = None
    ) -> tuple[int, str]:
        """From which event time on the rows of these stream files count, and a select of all versions that law 2 has to order
        from there on: stored rows and the streams'.

        Without a batch (`only`) a stored version may be sent again after it was replaced, so superseded ones are among them.
        """
        oldest = [f.oldest_event_us for f in pending]
        since = max([self.streams_count_from_us(), *([] if None in oldest else [min(o for o in oldest if o is not None)])])
        states = ("current", "superseded") if self.streams_only else ("current",)
        stored = self.of(*states, lo_us=lo_us if lo_us is not None else since, hi_us=hi_us)
        both = f"{self.scan(stored)} union all {self.scan(pending)}"
        return since, f"select * from ({both}) where {EVENT} >= {literal(since)}"

    @property
    def streams_only(self) -> bool:
        """Whether no batch computes the view."""
        return self.view.stream is not None and self.view.stream.only

    def of(self, *states: str, lo_us: int | None = None, hi_us: int | None = None) -> list[LakeFile]:
        """The files of these row states whose partition may hold event times within [lo, hi]."""
        return [f for f in self.files if f.row_state in states and f.holds(self.partition, lo_us, hi_us)]

    def scan(self, chosen: list[LakeFile], *, superseded: bool = False) -> str:
        """A select of keys, event_timestamp, features, ingested_at (and superseded_at) over these files."""
        wanted = [*names(self.view), INGESTED, *([SUPERSEDED] if superseded else [])]
        return files.scan(self.root, chosen, self.view, wanted)

    def relation(
        self, kind: Literal["current", "versions"] = "current", *, lo_us: int | None = None, hi_us: int | None = None
    ) -> str:
        """A parenthesised select of the rows within [lo, hi]: current ones, or every version with its superseded_at.

        Rows of a stream count from complete_through on and are resolved with current rows by law 2; older ones do not count.
        """
        current = self.scan(self.of("current", lo_us=lo_us, hi_us=hi_us))
        pending = self.of("pending", lo_us=lo_us, hi_us=hi_us)
        both = kind == "versions"
        none = f", cast(null as timestamp) as {SUPERSEDED}" if both else ""
        if pending:
            since, tail = self.contest(pending, lo_us=lo_us, hi_us=hi_us)
            rows = order.versions(tail, self.view) if both else order.winners(tail, self.view)
            sql = f"select *{none} from ({current}) where {EVENT} < {literal(since)} union all {rows}"
        else:
            sql = f"select *{none} from ({current})" if both else current
        if both:
            gone = self.scan(self.of("superseded", lo_us=lo_us, hi_us=hi_us), superseded=True)
            sql += f" union all select * from ({gone}) where {SUPERSEDED} > {INGESTED}"
            sql += f" and {EVENT} < {literal(since)}" if pending and self.streams_only else ""
        columns = quoted([*names(self.view), INGESTED, *([SUPERSEDED] if both else [])])
        bounds = [f"{EVENT} >= {literal(lo_us)}"] if lo_us is not None else []
        bounds += [f"{EVENT} <= {literal(hi_us)}"] if hi_us is not None else []
        where = f" where {' and '.join(bounds)}" if bounds else ""
        return f"(select {columns} from ({sql}){where})"

    def as_known(self, at_us: int, *, lo_us: int | None = None, hi_us: int | None = None) -> str:
        """A parenthesised select of the rows that were current at a past instant, rebuilt from the versions kept."""
        columns = quoted([*names(self.view), INGESTED])
        at = literal(at_us)
        known = f"{INGESTED} <= {at} and ({SUPERSEDED} is null or {SUPERSEDED} > {at})"
        return f"(select {columns} from {self.relation('versions', lo_us=lo_us, hi_us=hi_us)} where {known})"

    def statistics(self) -> dict[str, Any]:
        """Rows a state, files, bytes, and the newest event time of rows that count; from the log alone."""
        rows = {state: sum(f.rows for f in self.of(state)) for state in ("current", "superseded", "pending")}
        newest = [f.newest_event_us for f in self.of("current", "pending") if f.newest_event_us is not None]
        return {
            **rows, "files": len(self.files), "bytes": sum(f.size for f in self.files),
            "newest_event_timestamp_us": max(newest, default=None),
        }
