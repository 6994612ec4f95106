"""`skewless compact`: fewer, larger files."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command()
def compact(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: every view with a history.")] = None,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Merge small files of the lake: one file a partition. Readers see no difference. Example: skewless compact

    What streamed into a view that only streams becomes its history first, as by dbt run; that asks dbt for the macros.
    """
    config = read_config(project_dir or None, target=target or None)
    from skewless.warehouse.selection import tables
    from skewless.warehouse.streamed import fold_and_compact

    done = fold_and_compact(config, tables(config, views or []))
    if as_json:
        print_json([
            {"view": d.view, "files_before": d.files_before, "files_after": d.files_after, "rows_folded": d.rows_folded}
            for d in done
        ])
    for result in [] if as_json else done:
        folded = f"{result.rows_folded:,} rows of the stream became history; " if result.rows_folded else ""
        print(f"{result.view}: {folded}{result.files_before} files, now {result.files_after}")
