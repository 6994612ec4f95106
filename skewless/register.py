"""A feature view from outside the project: its model's SQL and YAML are written, checked, planned and applied, or nothing is.

The SQL is a dbt model, so whoever may call this may run what dbt runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from skewless.config import Config
from skewless.errors import Findings, SkewlessError
from skewless.project import Applied, apply_plan, make_plan, read_project
from skewless.registry.block import KEYS
from skewless.registry.finding import errors_of
from skewless.registry.model import View
from skewless.warehouse.locks import FileLock

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
FOLDER = "features"


class Column(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One column of the model, as its contract has it. `default`, `ttl` and `approximate` are those of a feature."""

    name: str
    data_type: str
    description: str = ""
    default: Any = None
    ttl: str | None = None
    approximate: float | None = None


class NewView(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be registered. `settings` are further keys of the skewless block: ttl, begin, missing …"""

    name: str
    entity: str | dict[str, Any]
    sql: str
    columns: list[Column]
    description: str = ""
    settings: dict[str, Any] = {}


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: the view as it is applied now, the files relative to the project, the plan and the snapshot."""

    view: View
    files: tuple[str, ...]
    plan_id: str
    changes: tuple[str, ...]
    snapshot_id: str


def register(config: Config, new: NewView) -> Registered:
    """Writes, checks, plans and applies. Raises Findings or SK469 for a view that does not fit, SK409 where it or another change
    is in the way, SK505 while another one is registered; then no file is left."""
    check_request(new)
    files = {path: text for path, text in zip(places(config, new.name), (new.sql.strip() + "\n", yaml_of(new)), strict=True)}
    lock = FileLock(config.state / "register.lock", fact="another feature view is being registered", wait_seconds=5)
    with lock:
        for path in files:
            if path.exists():
                raise SkewlessError("SK409", f'"{path.relative_to(config.root)}" exists already', hint="Take another name.")
        try:
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "x") as file:
                    file.write(text)
            return _applied(config, new.name, tuple(str(path.relative_to(config.root)) for path in files))
        except BaseException:
            for path in files:
                path.unlink(missing_ok=True)
            raise


def _applied(config: Config, name: str, files: tuple[str, ...]) -> Registered:
    try:
        project = read_project(config)
    except SkewlessError as error:
        if error.code != "SK911":
            raise
        raise SkewlessError("SK469", f'dbt does not compile the project with "{name}"', detail=error.detail) from None
    if errors := errors_of(project.findings):
        raise Findings(errors)
    plan = make_plan(config, project)
    found = [view for view in project.wanted.views if view.name == name]
    if not found:
        raise SkewlessError("SK469", f'the project has no feature view "{name}" with this')
    others = [change.name for change in plan.changes if change.what == "view" and change.name != found[0].ref]
    others += [change.name for change in plan.changes if change.what == "service"]
    if others or not any(change.kind == "added" and change.name == found[0].ref for change in plan.changes):
        said = ", ".join(others) or "nothing of it is new"
        raise SkewlessError(
            "SK409", "the project has changes that are not applied", detail=f"The plan would also change {said}.",
            hint="Apply them first: skewless plan, then skewless apply.",
        )
    done: Applied = apply_plan(config, plan.id, project=project)
    return Registered(
        view=found[0], files=files, plan_id=plan.id, changes=tuple(f"{c.kind} {c.what} {c.name}" for c in plan.changes),
        snapshot_id=done.snapshot_id,
    )


def check_request(new: NewView) -> None:
    """What can be refused before a file is written. Raises SK469."""
    if not NAME.fullmatch(new.name):
        raise SkewlessError("SK469", f'"{new.name[:80]}" is not a name: lower-case letters, digits and underscores')
    reserved = {"entities", "name", "stream"}
    unknown = sorted(set(new.settings) - (set(KEYS) - reserved))
    if unknown:
        known = ", ".join(sorted(set(KEYS) - reserved))
        raise SkewlessError("SK469", f'"{unknown[0][:80]}" is not a setting of a feature view', hint=f"There are: {known}.")
    if not new.sql.strip() or not new.columns:
        raise SkewlessError("SK469", "a feature view has SQL and columns")


def places(config: Config, name: str) -> tuple[Path, Path]:
    """Where the model's SQL and YAML go: `features` below the first of the project's model paths."""
    project = Path(config.root) / "dbt_project.yml"
    if not project.is_file():
        detail = "There is no dbt_project.yml beside its skewless.yml."
        raise SkewlessError("SK456", "this server has no project to write to", detail=detail)
    paths = re.search(r"^model-paths:\s*\[\s*[\"']?([^\"',\]]+)", project.read_text(), flags=re.MULTILINE)
    folder = Path(config.root) / (paths[1].strip() if paths else "models") / FOLDER
    return folder / f"{name}.sql", folder / f"{name}.yml"


def yaml_of(new: NewView) -> str:
    """The model's YAML."""
    model: dict[str, Any] = {
        "name": new.name, **({"description": new.description} if new.description else {}),
        "config": {
            "materialized": "feature_view", "contract": {"enforced": True},
            "meta": {"skewless": {"entities": [new.entity], **new.settings}},
        },
        "columns": [_column(column) for column in new.columns],
    }
    return yaml.safe_dump({"version": 2, "models": [model]}, sort_keys=False, allow_unicode=True, width=110)


def _column(column: Column) -> dict[str, Any]:
    own = {"default": column.default, "ttl": column.ttl, "approximate": column.approximate}
    given = {key: value for key, value in own.items() if value is not None}
    return {
        "name": column.name, "data_type": column.data_type, **({"description": column.description} if column.description else {}),
        **({"config": {"meta": {"skewless": given}}} if given else {}),
    }
