"""Materialize applied views by one dbt run, as one job that goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skewless.clock import format_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.warehouse import ledger
from skewless.warehouse.dbt import DbtRun, ensure_deps, known_failure, run_dbt, words
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.locks import FileLock

FEATURE_VIEW = "feature_view"
RESUME_SECONDS = 86_400


@dataclass(frozen=True)
class Materialized:
    """What the job wrote of one view, over all its windows, and up to where the history is complete now."""

    view: str
    windows: int
    inserted: int
    corrected: int
    retracted: int
    complete_through: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.view}: {self.windows} windows, {self.inserted} rows inserted, {self.corrected} corrected, "
            f"{self.retracted} retracted; complete through {self.complete_through or 'nothing yet'}"
        )


def materialize(
    config: Config, views: list[View], window: tuple[int, int] | None = None, *,
    on_line: Callable[[str], None] | None = None,
) -> list[Materialized]:
    """Runs dbt for the views and all that they read from; `window` (microseconds, end exclusive) instead of what is due.

    A job with the same arguments that was killed within the last day goes on: its windows are not computed again. Raises
    what the materialization refuses (SK5xx), SK505 while another job of this project and target runs, or SK512 with dbt's
    words; views that did succeed keep what they wrote.
    """
    ours = [v for v in views if v.materialized == FEATURE_VIEW]
    if not ours:
        return []
    args = ["run", "--select", *(f"+{selector(v)}" for v in ours)]
    if window:
        args += ["--event-time-start", _dbt_instant(window[0]), "--event-time-end", _dbt_instant(window[1])]
    with _alone(config):
        ensure_deps(config)
        job = _job(config, ours, window)
        token = job.read_text()
        run = run_dbt(config, args, env={"SKEWLESS_JOB": token}, on_line=on_line)
        job.unlink()
    if not run.ok:
        raise failure(run)
    return [_summary(config, view, token) for view in ours]


def selector(view: View) -> str:
    """dbt's name of the view-version: `name`, or `name.v2` for a versioned model."""
    parts = view.unique_id.split(".")
    return ".".join(parts[2:]) if len(parts) > 2 else view.name


def _alone(config: Config) -> FileLock:
    """dbt's database takes one process at a time, so one job runs at a time, whatever its views."""
    fact = f'skewless materialize is running already on target "{config.target}"'
    return FileLock(config.state / "jobs" / f".{config.target}.lock", fact=fact)


def _job(config: Config, views: list[View], window: tuple[int, int] | None) -> Path:
    """The file with the job's token: one a set of arguments, there while the job runs or after it was killed.

    A token older than a day is not taken up: what that job computed may be out of date.
    """
    asked = json.dumps([config.target, sorted(v.ref for v in views), window])
    folder = config.state / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"materialize-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    if not path.exists() or time.time() - path.stat().st_mtime > RESUME_SECONDS:
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        fresh.write_text(f"job-{secrets.token_hex(8)}")
        fresh.rename(path)
    return path


def _dbt_instant(at_us: int) -> str:
    return format_instant(at_us).rstrip("Z")


def failure(run: DbtRun) -> SkewlessError:
    """What a failed dbt run says: the error that is known for it, else SK512 with dbt's words."""
    found = known_failure(run)
    if found:
        return found
    failures = run.failures()
    detail = "\n".join(f"{node.split('.')[-1]}: {message}" for node, message in failures[:3]) or words(run.lines)
    name = failures[0][0].split(".")[-1] if failures else "a model"
    hint = "Fix it and run this again; finished windows stay."
    return SkewlessError("SK512", f"dbt failed on {name}", detail=detail, hint=hint)


def _summary(config: Config, view: View, token: str) -> Materialized:
    table = LakeTable(config.lake_root, view)
    mine = [e for e in table.ledger() if e.kind == ledger.WINDOW and e.run_id == token]
    through = table.complete_through_us()
    return Materialized(
        view.ref, len(mine), sum(e.rows_inserted for e in mine), sum(e.rows_corrected for e in mine),
        sum(e.rows_retracted for e in mine), None if through is None else format_instant(through),
    )
