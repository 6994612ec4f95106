"""`skewless dev …`: real servers on this machine, for development."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.errors import EXIT_FOUND

app = typer.Typer(
    add_completion=False, no_args_is_help=True,
    help="Real servers on this machine, for development. Example: skewless dev up kafka flink",
)


@app.command()
def up(
    servers: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVER]…", help="kafka, flink, valkey, postgres; default: all.")
    ] = None,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Start servers on free ports of loopback, and print where each is.

    Nothing needs to be installed: Kafka and Flink come as jars, the first time from the network. Data and logs lie in
    .skewless/dev and outlive `down`; Postgres is empty each time. Example: skewless dev up kafka flink
    """
    from skewless.dev.stack import check_names
    from skewless.dev.supervisor import folder_of
    from skewless.dev.supervisor import up as start

    config, names = read_config(project_dir or None, target=target or None), check_names(servers or [])
    say(f"starting {', '.join(names)} …")
    _show(start(config, names), as_json)
    say(f"logs: {folder_of(config)}; stop them with: skewless dev down")


@app.command()
def down(
    remove: Annotated[bool, typer.Option("--remove", help="Delete what they hold, and their logs.")] = False,
    project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Stop the servers. Example: skewless dev down"""
    from skewless.dev.supervisor import down as stop

    ran = stop(read_config(project_dir or None, target=target or None), remove=remove)
    say("stopped" if ran else "nothing was running")


@app.command()
def status(as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "") -> None:
    """Print where the servers are; exit 1 when none runs. Example: skewless dev status"""
    from skewless.dev.supervisor import state

    now = state(read_config(project_dir or None, target=target or None))
    if now is None:
        if as_json:
            print_json({"servers": [], "endpoints": {}})
        say("nothing is running")
        raise typer.Exit(EXIT_FOUND)
    _show(now, as_json)


def _show(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    width = max(map(len, state["endpoints"]))
    for name, where in state["endpoints"].items():
        print(f"{name:<{width}}  {where}")
