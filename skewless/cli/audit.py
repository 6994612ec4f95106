"""`skewless audit`: is what is served what history says, byte for byte?"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.errors import EXIT_FOUND

app = typer.Typer(add_completion=False)


@app.command(
    help="Compare offline rows with online rows, byte for byte; exit code 1 when some differ.\n\n"
    "Example: skewless audit carrier_delays"
)
def audit(
    views: Annotated[list[str] | None, typer.Argument(help="Views: name or name@version; default: all that are online.")] = None,
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """A line a view and a few examples on stdout; with --json everything as a list."""
    from skewless.audit import AuditResult, audit_view
    from skewless.warehouse.lake import LakeTable
    from skewless.warehouse.selection import applied_views

    config = read_config(project_dir or None, target=target or None)
    results: list[AuditResult] = []
    for view in applied_views(config, views or []):
        if not views and not (view.online and LakeTable(config.lake_root, view).exists()):
            say(f"{view.ref}: skipped, it is not online or has no history yet")
            continue
        results.append(audit_view(config, view))
        if not as_json:
            _print(results[-1])
    if as_json:
        print_json([msgspec.to_builtins(r) for r in results])
    if not all(r.clean for r in results):
        if any(r.behind and not r.clean for r in results):
            say("hint: the online store is behind the history; push first: skewless sync")
        raise typer.Exit(EXIT_FOUND)


def _print(result: object) -> None:
    from skewless.audit import AuditResult

    assert isinstance(result, AuditResult)
    verdict = "equal" if result.clean else "DIFFERENT"
    print(
        f"{result.view}: {verdict}; {result.entities} entities, {result.equal} equal, {result.different} different, "
        f"{result.missing} missing online, {result.unexpected} unexpected online"
    )
    for example in result.examples:
        what = f" ({', '.join(example.features)})" if example.features else ""
        print(f"  {example.kind}: {example.key}{what}")
        for side, text in (("offline", example.offline), ("online", example.online)):
            if text:
                print(f"    {side:8}{text}")
