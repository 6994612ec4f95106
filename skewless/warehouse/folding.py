"""A run of a view that no batch computes: what streamed in becomes its history, ordered by law 2. Nothing is evaluated.

It is not coverage: later rows of any event time still count, so `complete_through` stays where it was.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from skewless.warehouse import ledger, order
from skewless.warehouse.chunk import Chunk, Fold
from skewless.warehouse.columns import INGESTED, SUPERSEDED, literal, names, quoted, slot
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    from skewless.warehouse.run import Run, Step, Totals

LAST_INSTANT_US = 253_402_300_799_999_999      # 9999-12-31T23:59:59.999999


class Folding(Chunk):
    """All pending rows, in one commit; none without them."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, 0, 0, None, [])

    def steps(self) -> Generator[Step, Any, Totals]:
        """Compares, writes and commits under the commit lock."""
        from skewless.warehouse.run import Totals

        if self.run.request.start_us is not None:
            self.run.notes.append(f"{self.view.ref} only streams: no window of it is computed")
        with self.table.committing():
            rows = sum(f.rows for f in self.table.snapshot().of("pending"))
            if not rows:
                return Totals()
            self.run.notes.append(f"{self.view.ref}: {rows} rows of the stream became history")
            return (yield from self._commit(rows))

    def _refuse_gap(self, snapshot: Snapshot) -> None:
        pass

    def _entry(self, days: list[dict[str, Any]], stamp: int, rows_in: int) -> LedgerEntry:
        oldest = min((d["oldest"] for d in days if d["k"]), default=None)
        return LedgerEntry(
            kind=ledger.FOLD, r_us=stamp, rows_in=rows_in, definition_hash=self.run.request.definition_hash,
            run_id=self.run.request.run_id, folded_since_us=oldest, late_rows=sum(d["late"] for d in days),
        )

    def _fold(self, snapshot: Snapshot) -> Fold | None:
        return Fold(snapshot.streams_count_from_us(), LAST_INSTANT_US, snapshot.of("pending"))

    def _before(self, snapshot: Snapshot, fold: Fold | None) -> Generator[Step, Any, str]:
        assert fold is not None
        yield self.run._step("pending", fetch=False, pending=f"select {self.cells} from ({snapshot.scan(fold.pending)})",
                             complete=literal(fold.before))
        replaced = [f for f in snapshot.of("superseded") if f.event_date.isoformat() in fold.dates]
        stored = f"select * from ({snapshot.scan(replaced, superseded=True)}) where {SUPERSEDED} > {INGESTED}"
        candidates = (
            f"select {self.cells} from ({snapshot.scan(self._current(snapshot, fold))}) where {self._streamed()} "
            f"union all select {self.cells} from ({stored}) where {self._streamed()} "
            f"union all select {self.cells} from skw_pending where not __late"
        )
        yield self.run._step("visible", fetch=False, versions=order.versions(candidates, self.view))
        version = quoted([*slot(self.view), INGESTED])
        unstored = f"({version}) not in (select ({version}) from ({stored}))"
        yield self.run._step("gone", fetch=False, unstored=unstored)
        return f"select {self.cells}, true as __moved from skw_visible where {SUPERSEDED} is null"

    def _wanted(self, snapshot: Snapshot, fold: Fold | None) -> str:
        return f"select {quoted(names(self.view))} from skw_visible where {SUPERSEDED} is null"

    def _current(self, snapshot: Snapshot, fold: Fold | None) -> list[Any]:
        assert fold is not None
        return [f for f in snapshot.of("current") if f.event_date.isoformat() in fold.dates]
