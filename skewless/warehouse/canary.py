"""The reproducibility canary: a window computed twice, and in pieces with other boundaries, must give the same rows.

The second finds SQL that is not reproducible, the third an `input_lookback` that is too short. `approximate` features are
compared by their tolerance. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from skewless import clock
from skewless.clock import format_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.warehouse import columns, windows
from skewless.warehouse.chunk import NOTHING_GONE
from skewless.warehouse.columns import literal, quoted
from skewless.warehouse.ledger import Interval

if TYPE_CHECKING:
    from skewless.warehouse.run import Run, Step

LINE = "skewless: canary "
ENVIRONMENT = "SKEWLESS_CANARY"
SPAN_US = 31 * windows.DAY_US
PIECES = 5
SHIFT_US = 7 * 3_600_000_000 + 13 * 60_000_000


def run(config: Config, view: View) -> list[SkewlessError]:
    """The findings (SK508) for one view, none when it is reproducible. Raises SK512 when dbt cannot compute it."""
    from skewless.warehouse.dbt import ensure_deps, run_dbt
    from skewless.warehouse.materialize import failure, selector

    ensure_deps(config)
    done = run_dbt(config, ["run", "--select", f"+{selector(view)}"], env={ENVIRONMENT: "1"})
    told = [json.loads(line[line.index(LINE) + len(LINE) :]) for line in done.lines if LINE in line]
    mine = [t for t in told if t["view"] == view.ref]
    if not done.ok or not mine:
        raise failure(done)
    return [_finding(view, part) for part in mine if part["changed"]]


def steps(run: Run) -> Generator[Step, Any, list[dict[str, Any]]]:
    """The statements of a canary, and what it found: a part a comparison, with the number of rows that changed and a sample."""
    only = run.view.stream is not None and run.view.stream.only
    window = None if only else (yield from _window(run))
    if window is None:
        return [_part(run, "again", None, [], None)]
    yield from _compute(run, [window], "skw_first")
    found = []
    for name, pieces in (("again", [window]), ("shifted", _shifted(window))):
        yield from _compute(run, pieces, "skw_second")
        before = f"select *, cast(null as timestamp) as ingested_at, false as __moved from ({_cells(run, 'skw_first')})"
        wanted = _cells(run, "skw_second")
        yield run._step("difference", fetch=False, wanted=wanted, before=before, moved="false")
        days = json.loads((yield run._step("touched", gone=f"select * from {NOTHING_GONE}")) or "[]") or []
        sample = (yield run._step("delta_sample")) if days else None
        found.append(_part(run, name, window, days, sample))
    return found


def _window(run: Run) -> Generator[Step, Any, Interval | None]:
    end = run.table.complete_through_us() or clock.now_us()
    earliest = yield run._step("earliest", model=run._model(None))
    if earliest is None or int(earliest) >= end:
        return None
    return max(int(earliest), end - SPAN_US), end


def _shifted(window: Interval) -> list[Interval]:
    length = max((window[1] - window[0]) // PIECES, 1)
    return windows.chunks([window], length, shift_us=SHIFT_US)


def _compute(run: Run, pieces: list[Interval], name: str) -> Generator[Step, Any, None]:
    from skewless.warehouse.run import Step

    for number, piece in enumerate(pieces):
        bounds = {"start": literal(piece[0]), "end": literal(piece[1])}
        yield run._step("rows", fetch=False, say=None, model=run._model(piece), **bounds)
        yield run._step("collapse", fetch=False)
        head = f"create or replace temp table {name} as" if number == 0 else f"insert into {name}"
        yield Step(f"{head} select * from skw_new")


def _cells(run: Run, table: str) -> str:
    return f"select {quoted(columns.names(run.view))} from {table}"


def _part(run: Run, name: str, window: Interval | None, days: list[dict[str, Any]], sample: Any) -> dict[str, Any]:
    shown = f"{format_instant(window[0])} .. {format_instant(window[1])}" if window else ""
    changed = sum(d["i"] + d["c"] + d["r"] for d in days)
    return {"view": run.view.ref, "part": name, "window": shown, "changed": changed, "sample": sample}


def _finding(view: View, part: dict[str, Any]) -> SkewlessError:
    shown = f"Window {part['window']}; {part['changed']} rows differ, for example {part['sample']}."
    if part["part"] == "again":
        return SkewlessError(
            "SK508", f"{view.ref} computed the same window twice and got different rows", detail=shown,
            hint="Order what is ambiguous; sum decimals or integers; or declare approximate on the feature.",
        )
    return SkewlessError(
        "SK508", f"{view.ref} gives different rows when its window is cut at other instants", detail=shown,
        hint="input_lookback is shorter than what the SQL looks back, or an input misses skewless.input_window.",
    )



