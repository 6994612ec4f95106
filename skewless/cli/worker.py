"""`skewless worker`: does the jobs that the HTTP API is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import ProjectDir, Target, say
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command(
    help="Do the jobs that POST /feature-views/{id}/materialize and POST /training-datasets ask for, one at a time.\n\n"
    "Run several for several at once. SIGTERM finishes the job in hand; a job whose worker dies is done again by another one. "
    "Example: skewless worker"
)
def worker(
    burst: Annotated[bool, typer.Option("--burst", help="Do what waits now, then end.")] = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Everything goes to stderr."""
    from skewless.worker import work

    work(read_config(project_dir or None, target=target or None), burst=burst, on_line=say)
    say("stopped")
