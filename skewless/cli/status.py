"""`skewless status`: everything about the views on one screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.clock import format_duration, format_instant
from skewless.config import read_config

if TYPE_CHECKING:
    from skewless.status import Status, ViewStatus

app = typer.Typer(add_completion=False)

COLUMNS = ("view", "state", "rows", "superseded", "complete through", "newest event", "lag", "last sync")
RIGHT = ("rows", "superseded", "lag")
COLOURS = {
    "ok": "green", "warn": "yellow", "error": "red", "draft": "cyan", "changed": "yellow", "gone": "red", "behind": "yellow",
}
WIDTH_MIN = 120


@app.command()
def status(as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "") -> None:
    """Views, rows, completeness, freshness and last sync on one screen. Example: skewless status --json"""
    config = read_config(project_dir or None, target=target or None)
    from skewless.status import read_status

    found = read_status(config)
    if as_json:
        print_json(as_data(found))
        return
    say(f"{found.project}, target {found.target}, {format_instant(found.now_us)}")
    if not found.views:
        say("There is no feature view yet. Start with: skewless check, then skewless plan")
        return
    _print_table(found)
    for line in notes(found):
        say(line)


def as_data(found: Status) -> dict[str, Any]:
    """The status with instants as RFC 3339 and durations as milliseconds."""
    return {
        "project": found.project, "target": found.target, "now": format_instant(found.now_us), "snapshot": found.snapshot,
        "online_store": found.online_store, "trouble": found.trouble, "services": list(found.services),
        "views": [
            {
                "view": v.view, "entity": v.entity, "state": v.state, "online": v.online, "rows": v.rows,
                "superseded": v.superseded, "pending": v.pending, "files": v.files, "bytes": v.bytes,
                "complete_through": _instant(v.complete_through_us), "newest_event": _instant(v.newest_event_us),
                "freshness": v.freshness, "freshness_ms": None if v.lag_us is None else v.lag_us // 1000,
                "last_sync": _instant(v.synced_at_us), "behind": v.behind,
            }
            for v in found.views
        ],
    }


def cells(view: ViewStatus) -> tuple[str, ...]:
    """The texts of one line, in the order of COLUMNS."""
    lag = "-" if view.lag_us is None else format_duration(view.lag_us // 60_000_000 * 60_000_000)
    if view.freshness in ("warn", "error"):
        lag += f" {view.freshness}"
    synced = _short(view.synced_at_us) if view.online else "offline only"
    if view.behind and view.synced_at_us is not None:
        synced += " (behind)"
    return (
        view.view, view.state, f"{view.rows:,}", f"{view.superseded:,}", _short(view.complete_through_us),
        _short(view.newest_event_us), lag, synced,
    )


def notes(found: Status) -> list[str]:
    """What to do next, a line each."""
    out = []
    states = {v.state for v in found.views}
    if states & {"draft", "changed", "gone"}:
        out.append("The project differs from what is applied: skewless plan")
    if any(v.state != "draft" and v.complete_through_us is None and not v.streams_only for v in found.views):
        out.append("Some history is not there yet: skewless materialize")
    if found.trouble:
        out.append(f"Online store: {found.trouble}")
    elif found.snapshot != "current" and states - {"draft"}:
        out.append(f"The published snapshot is {found.snapshot}: apply the plan again.")
    if any(v.behind for v in found.views):
        out.append("Some rows are not pushed yet: skewless sync")
    return out


def _print_table(found: Status) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    for view in found.views:
        texts = [Text(text) for text in cells(view)]
        texts[1].stylize(COLOURS.get(view.state, ""))
        texts[6].stylize(COLOURS.get(view.freshness, ""))
        if view.behind:
            texts[7].stylize(COLOURS["behind"])
        table.add_row(*texts)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_MIN * 2, color_system=None)
    console.print(table)


def _short(us: int | None) -> str:
    return "-" if us is None else format_instant(us // 60_000_000 * 60_000_000).replace("T", " ").removesuffix(":00Z")


def _instant(us: int | None) -> str | None:
    return None if us is None else format_instant(us)
