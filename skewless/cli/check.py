"""`skewless check`: everything that is wrong with the definitions, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import Config, read_config
from skewless.errors import EXIT_FOUND, SkewlessError
from skewless.registry.finding import LEVELS

if TYPE_CHECKING:
    from skewless.registry.model import Registry

app = typer.Typer(add_completion=False)

ENDINGS = {"error": "s", "warning": "s", "advice": ""}


@app.command()
def check(
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings count as findings, and so does SQL that is not portable.")
    ] = False,
    canary: Annotated[
        str, typer.Option("--canary", metavar="VIEW", help="Compute a window of this view again; nothing may differ.")
    ] = "",
    flink: Annotated[
        bool, typer.Option("--flink", help="Ask a real Flink for the plan of every view that streams or is portable.")
    ] = False,
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Report everything that is wrong with the definitions, all at once.

    Exits 1 when there is an error, or with --strict a warning or SQL that engines answer differently, which is an error anyway in
    a view that streams or says `portable: true`. With --flink also for a plan that Flink refuses, or that takes rows of a stream
    back. Example: skewless check --strict
    """
    config = read_config(project_dir or None, target=target or None)
    from skewless.project import read_project

    manifest = _manifest(config) if flink else None
    project = read_project(config, manifest, advice=True)
    findings = list(project.findings)
    if manifest is not None:
        findings += _plans(manifest, project.wanted)
    if canary:
        findings += _canary(config, canary, project.wanted)
    count = {level: sum(1 for f in findings if _level(f) == level) for level in LEVELS}
    if as_json:
        print_json({"findings": [{"level": _level(f), **f.as_dict()} for f in findings], **count})
    else:
        for level in LEVELS:
            for finding in findings:
                if _level(finding) == level:
                    print(finding.render())
        views, services = len(project.wanted.views), len(project.wanted.services)
        say(f"{views} view{'s' * (views != 1)}, {services} service{'s' * (services != 1)}: {summary(count)}")
    if count["error"] or strict and (count["warning"] or any(map(is_portability, findings))):
        raise typer.Exit(EXIT_FOUND)


def summary(count: dict[str, int]) -> str:
    """`2 errors, 1 warning`, or `nothing to report`."""
    parts = [f"{n} {level}{ENDINGS[level] * (n > 1)}" for level, n in count.items() if n]
    return ", ".join(parts) or "nothing to report"


def is_portability(finding: SkewlessError) -> bool:
    """Whether a finding is about SQL that engines answer differently."""
    return "SK200" <= finding.code < "SK250"


def _level(finding: SkewlessError) -> str:
    return getattr(finding, "level", "error")


def _plans(manifest: dict[str, Any], wanted: Registry) -> list[SkewlessError]:
    from skewless.registry.portable import is_enforced
    from skewless.stream.session import Session
    from skewless.stream.view_gate import gate_views

    views = [view for view in wanted.views if is_enforced(manifest, view)]
    if not views:
        say("no view streams or says `portable: true`, so there is nothing to ask Flink")
        return []
    say(f"asking Flink for the plans of {len(views)} view{'s' * (len(views) != 1)} …")
    with Session() as session:
        return gate_views(manifest, views, session)


def _manifest(config: Config) -> dict[str, Any]:
    from skewless.warehouse.dbt import ensure_manifest

    return ensure_manifest(config, compiled=True)


def _canary(config: Config, name: str, wanted: object) -> list[SkewlessError]:
    from skewless.registry.model import Registry, parse_ref
    from skewless.warehouse.canary import run

    assert isinstance(wanted, Registry)
    ref = parse_ref(name)
    say(f"computing a window of {name} again …")
    return list(run(config, wanted.view(ref.view, ref.version)))
