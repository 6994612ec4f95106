"""`skewless fix`: the SQL of portable views, written in its portable form."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.errors import EXIT_FOUND

app = typer.Typer(add_completion=False)


@app.command()
def fix(
    views: Annotated[
        list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: all that stream or are portable.")
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print what would change and change nothing.")] = False,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Write the SQL of views, and of the models beneath them, in the form that every engine answers alike.

    Jinja and comments stay as they are. What Jinja gives is printed instead, with what to write. Doing it twice changes nothing.
    Exits 1 when a change is left to make. Example: skewless fix carrier_delays --diff
    """
    config = read_config(project_dir or None, target=target or None)
    from skewless.fix import fix_views

    models = fix_views(config, views or (), write=not diff)
    changed = [m for m in models if m.after != m.before]
    left = sum(len(m.left) for m in models)
    if as_json:
        print_json({"written": not diff, "models": [_as_dict(m) for m in models]})
    else:
        for model in models:
            if diff and model.diff:
                print(model.diff, end="")
        for model in models:
            for change in model.left:
                print(f"{model.path}:{change.line}: {change.code} {change.reason}; write it by hand:")
                print(f"  - {_line(change.before)}\n  + {_line(change.after)}")
        _summary(models, len(changed), left, diff)
    if left or (diff and changed):
        raise typer.Exit(EXIT_FOUND)


def _summary(models: list[Any], changed: int, left: int, diff: bool) -> None:
    if not models:
        say("no view streams or is portable; name one, or mark it in its block: portable: true")
        return
    made, refused = sum(len(m.made) for m in models), sum(m.refused for m in models)
    what = f"{made} change{'s' * (made != 1)} in {changed} of {len(models)} model{'s' * (len(models) != 1)}"
    say(what + (" to make" if diff else "") + (f", {left} to make by hand" if left else ""))
    if refused:
        say(f"{refused} finding{'s have' if refused != 1 else ' has'} no change to propose: skewless check --strict")
    if made and not diff:
        say("What this means for applied views: skewless plan")


def _as_dict(model: Any) -> dict[str, Any]:
    def change(c: Any) -> dict[str, Any]:
        return {"code": c.code, "rule": c.rule, "line": c.line, "column": c.column, "before": c.before, "after": c.after}

    return {
        "file": model.path, "changed": model.after != model.before, "diff": model.diff, "made": [change(c) for c in model.made],
        "left": [{**change(c), "reason": c.reason} for c in model.left], "refused": model.refused,
    }


def _line(text: str) -> str:
    return " ".join(text.split())
