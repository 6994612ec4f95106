"""`skewless vacuum`: delete what nothing refers to."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json
from skewless.clock import parse_duration
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command()
def vacuum(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: every view with a history.")] = None,
    grace: Annotated[str, typer.Option(help="Keep files that were in use within this time, for readers under way.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Delete files of the lake that nothing refers to any more. Row versions and the ledger stay. Example: skewless vacuum"""
    config = read_config(project_dir or None, target=target or None)
    from skewless.warehouse.selection import tables
    from skewless.warehouse.upkeep import vacuum

    seconds = parse_duration(grace) / 1_000_000
    done = [vacuum(table, grace_seconds=seconds, dry_run=dry_run) for table in tables(config, views or [])]
    if as_json:
        print_json([
            {"view": d.view, "deleted": d.files_before - d.files_after, "bytes": d.bytes_deleted} for d in done
        ])
    for result in [] if as_json else done:
        verb = "would delete" if dry_run else "deleted"
        print(f"{result.view}: {verb} {result.files_before - result.files_after} files, {result.bytes_deleted:,} bytes")
