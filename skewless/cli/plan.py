"""`skewless plan`: the difference between the dbt project and the registry."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command()
def plan(
    redefine: Annotated[
        bool, typer.Option("--redefine", help="Let published features change their definition: history is restated.")
    ] = False,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Show the difference between the dbt project and the registry, and what apply would do. Example: skewless plan"""
    config = read_config(project_dir or None, target=target or None)
    from skewless.project import history_facts, make_plan, read_project
    from skewless.registry.plan_text import as_data, render
    from skewless.warehouse.dbt import target_path

    project = read_project(config)
    views = len(project.wanted.views)
    say(f"Reading {target_path(config)}/manifest.json (dbt {project.dbt_version}, {views} feature view{'s' * (views != 1)})")
    found = make_plan(config, project)
    others = len(project.findings)
    if others:
        say(f"{others} finding{'s' * (others > 1)} that {'do' if others > 1 else 'does'} not stop a plan: skewless check")
    if as_json:
        print_json(as_data(found, lambda view: history_facts(config, view), redefine=redefine))
    else:
        print("\n" + render(found, lambda view: history_facts(config, view), redefine=redefine), end="")
