"""`skewless apply`: exactly the plan that was shown."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config

app = typer.Typer(add_completion=False)


@app.command()
def apply(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN_ID", help="The id that `skewless plan` printed.")],
    redefine: Annotated[
        bool, typer.Option("--redefine", help="Let published features change their definition: history is restated.")
    ] = False,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Apply exactly the plan that was shown, and publish the snapshot. Example: skewless apply 4f9c2a81d07b"""
    config = read_config(project_dir or None, target=target or None)
    from skewless.project import apply_plan

    done = apply_plan(config, plan_id, redefine=redefine)
    restated = [c.name for c in done.plan.of_kind("breaking")] if not done.again else []
    if as_json:
        print_json({"plan": plan_id, "changes": len(done.plan.changes), "snapshot": done.snapshot_id, "again": done.again,
                    "restate": restated})
        return
    what = "was applied before and is complete" if done.again else f"applied: {len(done.plan.changes)} change(s)"
    say(f"Plan {plan_id} {what}; snapshot {done.snapshot_id} is published.")
    if restated:
        say(f"History is restated by: skewless materialize {' '.join(n.split('@')[0] for n in restated)}")
    elif any("backfill" in c.follows for c in done.plan.changes):
        say("Go on with: skewless materialize")
