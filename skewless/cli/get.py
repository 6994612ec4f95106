"""`skewless get`: a lookup from the command line, by the same code as over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json
from skewless.config import read_config
from skewless.errors import SkewlessError
from skewless.lookup import Answer, Lookups, Plan

app = typer.Typer(add_completion=False)


@app.command(
    help="Look features up in the online store.\n\n"
    "Example: skewless get late_flights carrier=UA tailnum=N14228 origin=EWR dest=IAH"
)
def get(
    what: Annotated[str, typer.Argument(help="A feature service, or a reference: view, view@2, view@2:feature.")],
    keys: Annotated[list[str] | None, typer.Argument(help="Join keys: key=value …")] = None,
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Prints feature, value, status and age; with --json the reply that POST /online-features gives."""
    from skewless.clock import now_us
    from skewless.online import connect, newest
    from skewless.registry import snapshot

    config = read_config(project_dir or None, target=target or None)
    entities = parse_pairs(keys or [])
    with connect(config) as client:
        registry = snapshot.load(client, config.namespace)
        fresh = newest.load(client, config.namespace, registry.views)
        lookups = Lookups(registry, config.namespace, newest=fresh)
        plan = plan_of(lookups, what)
        wanted = plan.keys(entities)
        asked = [key for key in wanted if key is not None]
        found = iter(client.mget(asked) if asked else [])
        answer = plan.answer([None if key is None else next(found) for key in wanted], now_us())
    if as_json:
        print_json(answer.as_json())
    else:
        print_table(plan, answer)


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """`key=value` texts -> mapping. Raises SK102 for a text without `=` and for a key given twice."""
    out: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise SkewlessError("SK102", f'"{pair}" is not key=value', hint="Write join keys like carrier=UA.")
        if name in out:
            raise SkewlessError("SK102", f'join key "{name}" is given twice', hint="Give each join key once.")
        out[name] = value
    return out


def plan_of(lookups: Lookups, what: str) -> Plan:
    """A feature service of that name; otherwise the reference. Raises SK104, SK404 (naming both kinds), SK407."""
    services = [service.name for service in lookups.registry.services]
    if what in services:
        return lookups.service(what)
    try:
        return lookups.references((what,))
    except SkewlessError as error:
        if error.code == "SK404" and what.isidentifier():
            views = ", ".join(sorted({view.name for view in lookups.registry.views})) or "none"
            detail = f"Feature services: {', '.join(services) or 'none'}. Feature views: {views}."
            fact = f'no feature service or view is called "{what}"'
            raise SkewlessError("SK404", fact, detail=detail, hint=error.hint) from None
        raise


def print_table(plan: Plan, answer: Answer) -> None:
    """Feature, value, status and age of its row on stdout; as wide as it needs where stdout is not a terminal."""
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("feature", "value", "status", "age", "view"):
        table.add_column(title, overflow="fold", no_wrap=title != "value", justify="right" if title == "age" else "left")
    styles = {"ok": "green", "null": "yellow", "missing": "red"}
    labels = {name: vp.label for vp in plan.views for name in vp.names}
    for name, value in answer.features.items():
        status, detail = answer.status[name], answer.detail.get(name)
        shown = f"{status} ({detail})" if detail else status
        age = age_text(answer.freshness_ms[labels[name]])
        table.add_row(Text(name), Text(value_text(value)), Text(shown, styles[status]), age, Text(labels[name]))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def value_text(value: Any) -> str:
    """A value as a person reads it: text bare, everything else as JSON; a dash for nothing."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def age_text(ms: int | None) -> str:
    """Milliseconds as one or two units: `850ms`, `42s`, `7h36m`, `1d13h`; a dash where there is no row."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms}ms"
    seconds = ms // 1000
    for (unit, size), (lower, part) in (
        (("d", 86_400), ("h", 3_600)), (("h", 3_600), ("m", 60)), (("m", 60), ("s", 1)),
    ):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size}{unit}" + (f"{rest}{lower}" if rest else "")
    return f"{seconds}s"
