"""One run of the materialization: which SQL comes next, and what its answer means.

`Run.steps()` is a generator. It yields `Step`s; whoever drives it (the dbt materialization through the plugin, or a test with a
DuckDB connection of its own) executes each and sends back the one value of a query. The SQL comes from the macros of
macros/feature_view/, rendered once a run, with `__skw_…__` places that are bound here for each window.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from skewless import clock
from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.warehouse import columns, ledger, windows
from skewless.warehouse.chunk import Chunk
from skewless.warehouse.folding import Folding
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.ledger import Interval

WINDOW_START = "timestamp '0001-01-01 00:00:00' /*skw:start*/"
WINDOW_END = "timestamp '9999-01-01 00:00:00' /*skw:end*/"


@dataclass
class Step:
    """A statement to execute. `fetch`: send back its one value. `say`: lines for the user, before it runs."""

    sql: str
    fetch: bool = False
    say: list[str] = field(default_factory=list)


Steps = Generator[Step, Any, "Totals"]


@dataclass
class Totals:
    """What a whole run did."""

    rows_in: int = 0
    inserted: int = 0
    corrected: int = 0
    retracted: int = 0
    chunks: int = 0

    def add(self, other: Totals) -> None:
        """Sums another part of the run in."""
        for name in ("rows_in", "inserted", "corrected", "retracted", "chunks"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        return (
            f"{self.rows_in} rows in {self.chunks} windows: {self.inserted} inserted, {self.corrected} corrected, "
            f"{self.retracted} retracted"
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked to do. `sql` is the model with its window places open; `statements` are the rendered macros.

    `resume`: windows that a run of the same `run_id` wrote are left alone. `delay_us`: how long after an event the warehouse is
    known to be complete, where a stream writes too.
    """

    view: View
    sql: str
    statements: dict[str, str]
    definition_hash: str
    run_id: str = ""
    resume: bool = False
    start_us: int | None = None
    end_us: int | None = None
    full_refresh: bool = False
    allow_retract: bool = False
    retract_limit: float = 0.5
    chunk_us: int = windows.CHUNK_US
    shift_us: int = 0
    delay_us: int = 0


class Run:
    """Takes the table's writer lock in `steps()` and frees it in `close()`, which must be called."""

    def __init__(self, table: LakeTable, request: Request) -> None:
        self.table, self.request = table, request
        self.view = request.view
        self.notes: list[str] = []
        self._lock = table.writing()

    def close(self) -> None:
        """Frees the lock. Safe to call more than once."""
        self._lock.release()

    def steps(self) -> Steps:
        """The statements of the whole run, and its totals at the end. Every window is a commit of its own.

        No window ends after now - `delay_us`. A view that only streams has no windows: what streamed in is folded, in one
        commit. Raises SK501-SK505, SK507, SK509, SK511; windows committed before stay committed.
        """
        self._lock.acquire()
        self._prepare()
        if self.view.stream is not None and self.view.stream.only:
            return (yield from Folding(self).steps())
        begin = ledger.begin_us(self.table.ledger(), self.view.begin_us)
        if begin is None:
            earliest = yield self._step("earliest", model=self._model(None))
            begin = None if earliest is None else int(earliest) // windows.DAY_US * windows.DAY_US
        totals = Totals()
        done = self._done()
        pieces = [p for p in self._pieces(begin) if p not in done]
        if done:
            self.notes.append(f"{self.view.ref} goes on: {len(done)} windows of this job are there already")
        for number, (start, end) in enumerate(pieces, 1):
            said = f"{self.view.ref} {number}/{len(pieces)} {format_instant(start)} .. {format_instant(end)}"
            part = yield from Chunk(self, start, end, begin, [*self.notes, said]).steps()
            self.notes = []
            totals.add(part)
        return totals

    def _done(self) -> set[Interval]:
        """Windows that this very job wrote before it was interrupted."""
        if not self.request.resume:
            return set()
        mine = [e for e in self.table.ledger() if e.kind == ledger.WINDOW and e.run_id == self.request.run_id]
        return {(e.window_start_us, e.window_end_us) for e in mine if e.definition_hash == self.request.definition_hash}

    def _pieces(self, begin: int | None) -> list[Interval]:
        request, now = self.request, clock.now_us() - self.request.delay_us
        if (request.start_us is None) != (request.end_us is None):
            raise SkewlessError("SK509", "a window has only one end", hint="Give both ends or none.")
        if request.start_us is not None and request.end_us is not None:
            if request.start_us > request.end_us:
                raise SkewlessError("SK509", "a window ends before it starts")
            found = windows.explicit(request.start_us, request.end_us, now=now)
            if not found:
                late = " - batch_delay" if request.delay_us else ""
                self.notes.append(f"{self.view.ref}: nothing to compute, the window is empty or lies after now{late}")
        elif begin is None:
            found = []
        else:
            covered = ledger.covered(self.table.ledger(), definition_hash=request.definition_hash)
            found = windows.due(covered, begin=begin, now=now, overlap_us=self.view.overlap_us)
        if WINDOW_START not in request.sql and WINDOW_END not in request.sql:
            return found
        return windows.chunks(found, request.chunk_us, shift_us=request.shift_us)

    def _prepare(self) -> None:
        table, request = self.table, self.request
        if not table.exists():
            table.create()
        applied = table.applied_hash()
        if applied and applied != request.definition_hash:
            raise SkewlessError(
                "SK504", f"the SQL of {self.view.ref} differs from the definition that was applied",
                detail="History of an applied version is computed by one definition.",
                hint="skewless plan shows the difference; apply it, or add a version to the model.",
            )
        if request.full_refresh and applied:
            self.notes.append(f"{self.view.ref} is applied: --full-refresh keeps its history and runs normally")
        elif request.full_refresh:
            table.start_over()
        self._grow()

    def _grow(self) -> None:
        from deltalake import Schema

        have = self.table.column_types()
        want = {f.name: str(f.type) for f in Schema.from_arrow(columns.arrow_schema(self.view)).fields}
        changed = [n for n in have if want.get(n) != have[n]]
        if changed:
            draft = self.table.applied_hash() is None
            raise SkewlessError(
                "SK507", f'column "{changed[0]}" of {self.view.ref} was removed or has another type',
                detail=f"The table has {have[changed[0]]}, the model {want.get(changed[0], 'no such column')}.",
                hint="dbt run --full-refresh starts a draft over." if draft else "Add a version to the model.",
            )
        added = [n for n in want if n not in have]
        if added:
            self.table.add_columns(added)

    # -- used by Chunk --------------------------------------------------------------------------------------------------

    def _model(self, window: Interval | None) -> str:
        if window is None:
            return self.request.sql
        start, end = columns.literal(window[0]), columns.literal(window[1])
        return self.request.sql.replace(WINDOW_START, start).replace(WINDOW_END, end)

    def _step(self, name: str, *, fetch: bool = True, say: list[str] | None = None, **places: str) -> Step:
        return Step(bind(self.request.statements[name], places), fetch=fetch, say=say or [])


def bind(template: str, places: dict[str, str]) -> str:
    """The template with each `__skw_<name>__` replaced; the model's own SQL last, so it is never searched."""
    for name in sorted(places, key=lambda n: n == "model"):
        template = template.replace(f"__skw_{name}__", places[name])
    return template


def describe(view: View, partition: str) -> dict[str, Any]:
    """What the macros need to know of a view, identifiers quoted."""
    declared = columns.declared(view)
    return {
        "ref": view.ref,
        "only": view.stream is not None and view.stream.only,
        "join_keys": [columns.quote(k) for k in view.key_names],
        "slot": [columns.quote(n) for n in columns.slot(view)],
        "columns": [columns.quote(n) for n in columns.names(view)],
        "select": [f"{columns.normalised(n, t, 'skw_model')} as {columns.quote(n)}" for n, t in declared],
        "features": [{"name": columns.quote(f.name), "approximate": f.approximate} for f in view.features],
        "event_date": columns.event_date(partition, columns.EVENT),
    }


def request_of(node: dict[str, Any], view: View, **options: Any) -> Request:
    """The request for a model as dbt describes it: options of its `meta.skewless` block that a View does not carry."""
    block = (node.get("config") or {}).get("meta", {}).get("skewless", {})
    request = Request(view=view, **options)
    if block.get("chunk"):
        request = replace(request, chunk_us=clock.parse_duration(block["chunk"]))
    if block.get("retract_limit") is not None:
        request = replace(request, retract_limit=float(block["retract_limit"]))
    return request if view.stream is None else replace(request, delay_us=view.stream.batch_delay_us)
