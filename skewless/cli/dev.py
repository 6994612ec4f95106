"""`skewless dev …`: real servers on this machine, for development."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skewless.cli.output import AsJson, Brokers, ProjectDir, Target, print_json, say
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


@app.command()
def replay(
    speed: Annotated[str, typer.Option("--speed", metavar="X|max", help="How many times faster than it happened.")] = "max",
    since: Annotated[str, typer.Option("--from", metavar="TIMESTAMP", help="Only events that arrived from then on.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="TIMESTAMP", help="Only events that arrived before then.")] = "",
    late: Annotated[float, typer.Option("--late", min=0, max=1, help="The share of events that arrive too late to count.")] = 0.0,
    duplicates: Annotated[float, typer.Option("--duplicates", min=0, max=1, help="The share that is sent twice.")] = 0.0,
    malformed: Annotated[int, typer.Option("--malformed", min=0, help="So many records besides that are no events.")] = 0,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move all times by whole days, up to now; what lies ahead waits for its time.")
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="At the end send what makes the stream's last windows end; it becomes dead letters.")
    ] = False,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="Only this topic; may be given again. Default: all.")] = None,
    partitions: Annotated[int, typer.Option("--partitions", min=1, help="Of topics that are made.")] = 2,
    recreate: Annotated[bool, typer.Option("--recreate", help="Delete the topics first.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Only make the topics, and send nothing.")] = False,
    kafka: Brokers = "",
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Publish the events that the warehouse has as if they happened again: the sources that are streams, to their topics.

    Records carry the time at which each event arrived (arrived_at), in the order of arrival, so a replay is the same each time.
    Ctrl-C ends it; what was sent by then is delivered. Example: skewless dev replay --speed 600 --shift-to-now
    """
    from skewless.cli.dev_replay import run

    run(
        read_config(project_dir or None, target=target or None), speed=speed, since=since, until=until, late=late,
        duplicates=duplicates, malformed=malformed, shift_to_now=shift_to_now, close=close, topics=topic or [],
        partitions=partitions, recreate=recreate, create=create, kafka=kafka, as_json=as_json,
    )


def _show(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    width = max(map(len, state["endpoints"]))
    for name, where in state["endpoints"].items():
        print(f"{name:<{width}}  {where}")
