"""`skewless sync`: push what changed since the last sync to the online store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.registry.model import View

app = typer.Typer(add_completion=False)


@app.command(
    help="Push rows that changed since the last sync to the online store.\n\n"
    "Example: skewless sync carrier_delays"
)
def sync(
    views: Annotated[list[str] | None, typer.Argument(help="Views: name or name@version; default: all that are online.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Push every entity's newest row, and remove what is gone.")] = False,
    rate: Annotated[
        float, typer.Option("--max-rows-per-second", min=0, help="Spare the store; 0 = as fast as it goes.")
    ] = 50_000,
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """A line a view on stderr; with --json a list of results on stdout."""
    from skewless.sync import batch
    from skewless.warehouse.selection import applied_views

    config = read_config(project_dir or None, target=target or None)
    chosen = applied_views(config, views or [])
    results = batch.sync(
        config, chosen, full=full, rows_per_second_max=rate, on_view=_progress,
        on_skip=lambda view, why: say(f"{view.ref}: skipped, {why}"),
    )
    for result in results:
        kind = "all" if result.full else "changes"
        say(
            f"{result.view}: {kind}, {result.rows} rows written, {result.retracted} retractions, "
            f"{result.ignored} unchanged, {result.seconds:.1f} s"
        )
    if as_json:
        print_json([{**r._asdict(), "position": [r.position.table_id, r.position.version, r.position.r_us]} for r in results])


def _progress(view: View) -> Callable[[int, int], None]:
    """Says how far a long push is, every few seconds."""
    import time

    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 2.0 and done < total:
            last = time.monotonic()
            say(f"{view.ref}: {done} of {total} rows")

    return tell
