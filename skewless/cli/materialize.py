"""`skewless materialize`: dbt computes the windows that are due, then the rows it wrote go online. One job, two stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.output import AsJson, Progress, ProjectDir, Target, print_json, say
from skewless.clock import parse_instant
from skewless.config import Config, read_config
from skewless.errors import SkewlessError

if TYPE_CHECKING:
    from skewless.registry.model import View
    from skewless.warehouse.materialize import Materialized

app = typer.Typer(add_completion=False)
STORES = ("both", "offline", "online")


@app.command()
def materialize(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: every applied view.")] = None,
    start: Annotated[str, typer.Option("--from", metavar="INSTANT", help="Compute from here, with --to.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="INSTANT", help="Up to here, exclusive; never after now.")] = "",
    stores: Annotated[str, typer.Option(help="both, offline or online.")] = "both",
    rows_per_second_max: Annotated[
        float, typer.Option("--max-rows-per-second", help="Limit of the push; 0 = as fast as it goes.")
    ] = 0,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Compute the windows that are due (gaps, then news) and push what changed.

    An interrupted run goes on where it stopped when it is called again. Example: skewless materialize carrier_delays
    """
    config = read_config(project_dir or None, target=target or None)
    window = _window(start, end)
    if stores not in STORES:
        raise SkewlessError("SK102", f'--stores "{stores}" is not one of {", ".join(STORES)}')
    from skewless.warehouse.selection import applied_views

    chosen = applied_views(config, views or [])
    done = _offline(config, chosen, window) if stores != "online" else []
    pushed = _online(config, chosen, rows_per_second_max) if stores != "offline" else []
    if as_json:
        print_json({"offline": [d.as_dict() for d in done], "online": pushed})
        return
    for view in done:
        print(view)
    for item in pushed:
        print(f"{item['view']}: {item['rows']} rows pushed, {item['retracted']} retracted")


def _window(start: str, end: str) -> tuple[int, int] | None:
    if bool(start) != bool(end):
        raise SkewlessError("SK102", "give both --from and --to, or none")
    if not start:
        return None
    window = parse_instant(start), parse_instant(end)
    if window[0] >= window[1]:
        raise SkewlessError("SK102", "--from is not before --to")
    return window


def _offline(config: Config, views: list[View], window: tuple[int, int] | None) -> list[Materialized]:
    from skewless.warehouse.materialize import materialize
    from skewless.warehouse.steps import Steps

    with Progress("materialize", 1) as progress:
        steps = Steps()

        def on_line(line: str) -> None:
            step = steps.read(line)
            if step and step.total:
                progress.total = step.total
                progress.step(step.text)
            elif step:
                say(step.text)

        return materialize(config, views, window, on_line=on_line)


def _online(config: Config, views: list[View], rows_per_second_max: float) -> list[dict[str, object]]:
    from skewless.sync.batch import sync

    results = sync(
        config, views, rows_per_second_max=rows_per_second_max, on_skip=lambda view, why: say(f"{view.ref} is not pushed: {why}")
    )
    told = ("view", "rows", "retracted", "ignored", "seconds")
    return [{name: getattr(result, name) for name in told} for result in results]
