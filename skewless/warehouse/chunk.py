"""One window of a run: compute, check, compare with what is known, write the difference, commit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.clock import BEGIN_OF_TIME_US, format_instant
from skewless.errors import SkewlessError
from skewless.warehouse import columns, files, ledger, order
from skewless.warehouse.columns import EVENT, INGESTED, SUPERSEDED, literal, names, quoted, slot
from skewless.warehouse.files import LakeFile
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    from skewless.warehouse.run import Run, Step, Totals

GUARD_FROM_ROWS = 100
APPEND_FILES_MAX = 8                        # a partition with this many current files is rewritten as one
SAMPLE = 3
NOTHING_GONE = "(select timestamp 'epoch' superseded_at, timestamp 'epoch' ingested_at, date 'epoch' event_date where false)"


@dataclass
class Fold:
    """Stream rows that this commit moves into the history: those with event times before `after`.

    Rows older than `before` came too late and never counted. `dates` are the partitions of all of them.
    """

    before: int
    after: int
    pending: list[LakeFile]

    @property
    def dates(self) -> set[str]:
        return {f.event_date.isoformat() for f in self.pending}


class Chunk:
    """[start, end) of one run."""

    def __init__(self, run: Run, start: int, end: int, begin: int | None, say: list[str]) -> None:
        self.run, self.table, self.view = run, run.table, run.view
        self.start, self.end, self.begin, self.say = start, end, begin, say
        self.within = f"{EVENT} >= {literal(start)} and {EVENT} < {literal(end)}"
        self.cells = quoted([*names(self.view), INGESTED])

    def steps(self) -> Generator[Step, Any, Totals]:
        """Computes and checks the window without a lock, then compares, writes and commits under the commit lock."""
        rows_in = yield from self._compute()
        with self.table.committing():
            return (yield from self._commit(rows_in))

    def _compute(self) -> Generator[Step, Any, int]:
        run = self.run
        bounds = {"start": literal(self.start), "end": literal(self.end)}
        yield run._step("rows", fetch=False, say=self.say, model=run._model((self.start, self.end)), **bounds)
        found = _value((yield run._step("check")))
        if found["nulls"]:
            raise self._refusal("SK501", "has rows with a NULL join key or event_timestamp", found["nulls"],
                                _value((yield run._step("null_sample"))), "Filter them in the model.")
        if found["doubled"]:
            yield run._step("collapse", fetch=False)
            found = _value((yield run._step("check")))
        if found["doubled"]:
            raise self._refusal("SK502", f"has rows that share ({', '.join(slot(self.view))}) and differ", found["doubled"],
                                _value((yield run._step("doubled_sample"))), "Make the model choose one of them.")
        return int(found["rows_in"])

    def _commit(self, rows_in: int) -> Generator[Step, Any, Totals]:
        run, snapshot = self.run, self.table.snapshot()
        self._refuse_gap(snapshot)
        fold = self._fold(snapshot)
        before = yield from self._before(snapshot, fold)
        wanted = self._wanted(snapshot, fold)
        yield run._step("difference", fetch=False, wanted=wanted, before=before, moved="c.__moved" if fold else "false")
        days = _value((yield run._step("touched", gone=f"select * from {'skw_gone' if fold else NOTHING_GONE}"))) or []
        yield from self._guard(days, before)
        stamp = self.table.next_stamp()
        added, removed = yield from self._write(snapshot, fold, wanted, before, days, stamp)
        entry = self._entry(days, stamp, rows_in)
        self.table.commit(entry, added=added, removed=removed)
        from skewless.warehouse.run import Totals

        return Totals(rows_in, entry.rows_inserted, entry.rows_corrected, entry.rows_retracted, 1)

    def _entry(self, days: list[dict[str, Any]], stamp: int, rows_in: int) -> LedgerEntry:
        request = self.run.request
        return LedgerEntry(
            kind=ledger.WINDOW, r_us=stamp, window_start_us=self.start, window_end_us=self.end, rows_in=rows_in,
            rows_inserted=_sum(days, "i"), rows_corrected=_sum(days, "c"), rows_retracted=_sum(days, "r"),
            definition_hash=request.definition_hash, run_id=request.run_id, feature_names=self.view.feature_names,
            begin_us=self.begin if self.view.begin_us is None else None,
            folded_since_us=min((d["oldest"] for d in days if d["k"]), default=None),
            late_rows=sum(d.get("late", 0) for d in days),
        )

    def _refuse_gap(self, snapshot: Snapshot) -> None:
        """A stream's rows count from complete_through on; a window ahead of it would write the same slots from two sides."""
        through = snapshot.complete_through_us()
        reached = self.begin if through is None else through
        if snapshot.of("pending") and reached is not None and self.start > reached:
            raise SkewlessError(
                "SK509", f"window {self._window()} would leave a gap in {self.view.ref}, which a stream writes too",
                detail=f"The history is complete through {format_instant(reached)}.",
                hint="Start the window there or earlier, or run dbt without a window.",
            )

    def _fold(self, snapshot: Snapshot) -> Fold | None:
        before = snapshot.complete_through_us()
        entry = LedgerEntry(kind=ledger.WINDOW, r_us=0, window_start_us=self.start, window_end_us=self.end,
                            definition_hash=self.run.request.definition_hash, feature_names=self.view.feature_names)
        covered = ledger.covered([*snapshot.entries, entry], definition_hash=self.run.request.definition_hash)
        begin = self.begin if self.view.begin_us is None else self.view.begin_us
        after = ledger.contiguous_end(covered, begin)
        if after is None:
            return None
        due = [f for f in snapshot.of("pending") if f.oldest_event_us is None or f.oldest_event_us < after]
        return Fold(BEGIN_OF_TIME_US if before is None else before, after, due) if due else None

    def _before(self, snapshot: Snapshot, fold: Fold | None) -> Generator[Step, Any, str]:
        """A select of the rows that count now, in this window and in the slots that streams wrote: what the run compares with."""
        current = self._current(snapshot, fold)
        if not fold:
            return f"select {self.cells}, false as __moved from ({snapshot.scan(current)}) where {self.within}"
        cut = f"select {self.cells} from ({snapshot.scan(fold.pending)}) where {EVENT} < {literal(fold.after)}"
        yield self.run._step("pending", fetch=False, pending=cut, complete=literal(fold.before))
        candidates = (
            f"select {self.cells} from ({snapshot.scan(current)}) where ({self.within}) or {self._streamed()} "
            f"union all select {self.cells} from skw_pending where not __late"
        )
        yield self.run._step("visible", fetch=False, versions=order.versions(candidates, self.view))
        yield self.run._step("gone", fetch=False, unstored="true")
        moved = f"{self._streamed()} as __moved"
        return f"select {self.cells}, {moved} from skw_visible where {SUPERSEDED} is null"

    def _wanted(self, snapshot: Snapshot, fold: Fold | None) -> str:
        """A select of the rows that shall count: the model's, and outside the window what earlier runs stored."""
        model = f"select {quoted(names(self.view))} from skw_new"
        if not fold:
            return model
        stored = snapshot.scan(self._current(snapshot, fold))
        return (
            f"{model} union all select {quoted(names(self.view))} from ({stored}) "
            f"where not ({self.within}) and {self._streamed()}"
        )

    def _streamed(self) -> str:
        cells = quoted(slot(self.view))
        return f"({cells}) in (select ({cells}) from skw_pending where not __late)"

    def _current(self, snapshot: Snapshot, fold: Fold | None) -> list[LakeFile]:
        dates = fold.dates if fold else set()
        inside = {f.path for f in snapshot.of("current", lo_us=self.start, hi_us=self.end)}
        return [f for f in snapshot.of("current") if f.path in inside or f.event_date.isoformat() in dates]

    def _guard(self, days: list[dict[str, Any]], before: str) -> Generator[Step, Any, None]:
        retracted, request = _sum(days, "r"), self.run.request
        if not retracted or request.allow_retract:
            return
        known = _value((yield self.run._step("known", before=before)))
        if known >= GUARD_FROM_ROWS and retracted > known * request.retract_limit:
            raise SkewlessError(
                "SK503", f"this run would retract {retracted} of the {known} rows of {self.view.ref} in its window",
                detail=f"Window {self._window()}; retract_limit is {request.retract_limit:g}. Nothing was written for it.",
                hint="Check the model's inputs. If the rows are really gone: dbt run --vars '{skewless_allow_retract: true}'",
            )

    def _write(
        self, snapshot: Snapshot, fold: Fold | None, wanted: str, before: str, days: list[dict[str, Any]], stamp: int
    ) -> Generator[Step, Any, tuple[list[str], list[LakeFile]]]:
        added: list[str] = []
        removed: list[LakeFile] = list(fold.pending) if fold else []
        for day in days:
            there = [f for f in snapshot.of("current") if f.event_date.isoformat() == day["date"]]
            replaces = day["c"] + day["r"] + day["k"]
            rewrite = bool(there) and (replaces > 0 or len(there) >= APPEND_FILES_MAX)
            places = {"day": f"date '{day['date']}'", "stamp": literal(stamp), "wanted": wanted}
            if day["i"] + day["c"] + day["k"] or (rewrite and there):
                kept = f"union all select {self.cells} from skw_visible join skw_delta using ({quoted(slot(self.view))}) "
                kept += f"where __op = 'k' and {SUPERSEDED} is null and event_date = {places['day']}"
                path = yield from self._copy(
                    "current_file", "current", day["date"], stamp, files=snapshot.scan(there if rewrite else []),
                    kept=kept if day["k"] else "", **places,
                )
                added.append(path)
            removed += there if rewrite else []
            if day["c"] + day["r"] + day["gone"]:
                chain = f"union all select {self.cells}, {SUPERSEDED} from skw_gone where event_date = {places['day']}"
                old = before if fold else f"select {self.cells} from ({snapshot.scan(there)})"
                added.append((yield from self._copy(
                    "superseded_file", "superseded", day["date"], stamp, before=old, gone=chain if fold else "", **places,
                )))
        if fold:
            added += yield from self._rest(snapshot, fold, stamp)
        return added, removed

    def _rest(self, snapshot: Snapshot, fold: Fold, stamp: int) -> Generator[Step, Any, list[str]]:
        """Stream rows of the folded files that still lie ahead of the batch stay pending."""
        added = []
        for date in sorted(fold.dates):
            there = [f for f in fold.pending if f.event_date.isoformat() == date]
            if any(f.newest_event_us is None or f.newest_event_us >= fold.after for f in there):
                scan = f"select {self.cells} from ({snapshot.scan(there)}) where {EVENT} >= {literal(fold.after)}"
                added.append((yield from self._copy("pending_file", "pending", date, stamp, pending=scan)))
        return added

    def _copy(self, name: str, state: str, date: str, r_us: int, **places: str) -> Generator[Step, Any, str]:
        path = files.new_path(self.table.path, state, date, r_us, self.view.schema.fingerprint)
        yield self.run._step(name, fetch=False, say=None, path=columns.text(str(self.table.path / path)), **places)
        return path

    def _window(self) -> str:
        return f"{format_instant(self.start)} .. {format_instant(self.end)}"

    def _refusal(self, code: str, fact: str, number: int, sample: Any, hint: str) -> SkewlessError:
        shown = "; ".join(str(s) for s in (sample or [])[:SAMPLE])
        detail = f"{number} in window {self._window()}, for example {shown}. Nothing was written for this window."
        return SkewlessError(code, f"{self.view.ref} {fact}", detail=detail, hint=hint)


def _sum(days: list[dict[str, Any]], op: str) -> int:
    return sum(d[op] for d in days)


def _value(answer: Any) -> Any:
    import json

    return json.loads(answer) if isinstance(answer, str) else answer
