"""`skewless transpile`: a view's SQL as the text of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json
from skewless.config import Config, read_config
from skewless.errors import Findings, SkewlessError

if TYPE_CHECKING:
    from skewless.registry.model import Registry, View
    from skewless.stream.lower import Engine
    from skewless.stream.lower.dag import Script

app = typer.Typer(add_completion=False)


@app.command()
def transpile(
    view: Annotated[str, typer.Argument(metavar="VIEW", help="View, for example carrier_delays or carrier_delays@2.")],
    to: Annotated[str, typer.Option("--to", metavar="ENGINE", help="flink, postgres or duckdb.")],
    json_: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Print a view's SQL for an engine, with the models beneath it as temporary views: the same rows in each.

    SQL that is not portable is refused (exit 3) with every place at once. Example: skewless transpile carrier_delays --to flink
    """
    from skewless.stream.lower import ENGINES

    if to not in ENGINES:
        raise SkewlessError("SK102", f'"{to}" is not an engine', hint="Engines: " + ", ".join(ENGINES) + ".")
    config = read_config(project_dir or None, target=target or None)
    script = _script(config, view, cast("Engine", to))
    if json_:
        print_json(as_json(script))
    else:
        print(script.text(), end="")


def as_json(script: Script) -> dict[str, Any]:
    """What --json prints: engine, sources, views in order, query."""
    return {
        "engine": script.engine, "sources": [{"name": s.name, "event_time": s.event_time} for s in script.sources],
        "views": [{"name": name, "query": text} for name, text in script.views], "query": script.query,
    }


def _script(config: Config, name: str, engine: Engine) -> Script:
    from skewless.registry.lineage import dialect_of
    from skewless.registry.manifest import read_definitions
    from skewless.registry.model import Registry
    from skewless.stream.lower.dag import lower_view
    from skewless.warehouse.dbt import ensure_manifest

    manifest = ensure_manifest(config, compiled=True)
    wanted, findings = read_definitions(config, manifest)
    view = view_of(wanted, name, findings)
    refused = not_portable(config, manifest, Registry(project=wanted.project, target=wanted.target, views=(view,)))
    if refused:
        raise Findings(refused)
    return lower_view(manifest, view, dialect_of(manifest), engine)


def view_of(wanted: Registry, name: str, findings: list[SkewlessError]) -> View:
    """The view of that name. A view that could not be read is absent, and the findings say why."""
    from skewless.registry.finding import errors_of
    from skewless.registry.model import parse_ref

    ref = parse_ref(name)
    try:
        return wanted.view(ref.view, ref.version)
    except SkewlessError as error:
        raise Findings([error, *errors_of(findings)]) from None


def not_portable(config: Config, manifest: dict[str, Any], registry: Registry) -> list[SkewlessError]:
    """Everything in the view's models that engines would answer differently; for this command each is an error."""
    from pathlib import Path

    from skewless.registry.finding import Finding
    from skewless.registry.portable import check_portable

    return [
        Finding(f.code, f.fact, file=f.file, line=f.line, column=f.column, subject=f.subject, hint=f.hint)
        for f in check_portable(Path(config.root), manifest, registry, advice=True) if isinstance(f, Finding)
    ]
