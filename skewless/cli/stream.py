"""`skewless stream …`: Flink for streamed views."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skewless.cli import stream_jobs
from skewless.cli.consume import consume
from skewless.cli.output import AsJson, Brokers, ProjectDir, Target, print_json, say
from skewless.config import read_config

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def stream() -> None:
    """Flink for streamed views. Example: skewless stream emit carrier_delays"""


@app.command()
def install(
    again: Annotated[bool, typer.Option("--again", help="Remove what is there and make it from nothing.")] = False,
    python: Annotated[
        str, typer.Option("--python", metavar="PATH", help="Python 3.11 or newer to make it with; default: this one.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Install Flink for all projects of this user: packages, jars, and a Java where the system has none of version 17 to 21.

    It goes to `SKEWLESS_HOME` (default: ~/.cache/skewless), takes about 400 MB, and needs the network once. Running it again
    changes nothing; after an interruption it goes on where it was. Example: skewless stream install
    """
    from skewless.stream.environment import find
    from skewless.stream.install import STEPS
    from skewless.stream.install import install as make

    was_there = find() is not None and not again
    found = make(lambda step, text: say(f"[{STEPS.index(step) + 1}/{len(STEPS)}] {step}: {text}"), again=again, python=python)
    if as_json:
        print_json({"was_there": was_there, **asdict(found)})
    else:
        say("it was there" if was_there else "installed")
        print(f"Flink {found.flink_version}, Java {found.java_version}: {found.folder}")


@app.command()
def emit(
    view: Annotated[str, typer.Argument(metavar="VIEW", help="View, for example carrier_delays or carrier_delays@2.")],
    kafka: Brokers = "",
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Print the complete Flink SQL of a streamed view: settings, topics, the models beneath it, and the job.

    Flink's sql-client runs the text unchanged. With --json: the job's name, fingerprint, and the statements one by one, which a
    session of a SQL Gateway runs unchanged. A table environment (PyFlink's execute_sql) refuses SET: such a line is a setting of
    its configuration, and it runs the others unchanged. docs/streams.md has the program, and one that runs the text as it is.
    Example: skewless stream emit carrier_delays --kafka localhost:9092
    """
    from skewless.cli.stream_project import Project, kafka_of

    config = read_config(project_dir or None, target=target or None)
    project = Project(config)
    script = project.script(project.view(view), kafka_of(config, kafka))
    if as_json:
        print_json({"name": script.name, "fingerprint": script.fingerprint, "statements": [*script.setup, script.job]})
    else:
        print(script.text(), end="")


stream_jobs.add_to(app)
app.command()(consume)
