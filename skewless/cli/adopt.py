"""`skewless adopt`: a feature view out of an existing dbt model."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command()
def adopt(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The dbt model; its inputs are built.")],
    entity: Annotated[str, typer.Option("--entity", help="What the features describe; default: the model's first column.")] = "",
    join_keys: Annotated[str, typer.Option("--join-keys", help="The entity's key columns, separated by commas.")] = "",
    ttl: Annotated[str, typer.Option("--ttl", help="How long a row is valid, for example 7d.")] = "",
    begin: Annotated[str, typer.Option("--begin", help="The first event time of the history, for example 2013-01-01.")] = "",
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Write the skewless block and a typed contract for an existing dbt model; comments stay.

    Running it twice changes nothing. Example: skewless adopt carrier_delays --entity carrier --ttl 7d
    """
    from skewless.adopt import Wish
    from skewless.adopt import adopt as run
    from skewless.clock import parse_duration, parse_instant

    config = read_config(project_dir or None, target=target or None)
    settings = {}
    if ttl:
        parse_duration(ttl)
        settings["ttl"] = ttl
    if begin:
        parse_instant(begin)
        settings["begin"] = begin
    keys = [k.strip() for k in join_keys.split(",") if k.strip()]
    done = run(config, Wish(model, entity, keys, settings))
    if as_json:
        print_json({"file": done.file, "changed": done.changed, "entity": done.entity, "features": list(done.features),
                    "notes": list(done.notes)})
        return
    what = "written" if done.changed else "is complete already"
    say(f"{done.file} {what}: entity {done.entity}, {len(done.features)} feature(s): {', '.join(done.features)}")
    for note in done.notes:
        say(note)
    say("Go on with: skewless check")
