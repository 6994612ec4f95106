"""The SQL of views brought into its portable form, in the model files themselves, all or nothing."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.project import Project, read_project
from skewless.registry.inputs import Inputs
from skewless.registry.lineage import ancestors, dialect_of
from skewless.registry.model import View, parse_ref
from skewless.registry.portable import is_enforced
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.fix import Change, Fixed, fix_text
from skewless.sql.parsing import DIALECTS


@dataclass(frozen=True)
class FixedModel:
    """One model file: its path in the project, its text before and after, what was changed, what has to be changed by hand.

    `refused` counts the findings for which nothing can be proposed; `skewless check --strict` says what they are.
    """

    path: str
    before: str
    after: str
    made: tuple[Change, ...]
    left: tuple[Change, ...]
    refused: int

    @property
    def diff(self) -> str:
        """The change as a unified diff, empty for none."""
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, f"a/{self.path}", f"b/{self.path}"))


def fix_views(config: Config, refs: Iterable[str] = (), *, write: bool) -> list[FixedModel]:
    """The models of these views (none named: of all that stream or are `portable: true`), upstream models first.

    With `write` the files are changed, and dbt compiles them again: where it cannot, or where a second look would change more,
    every file gets its text back and SK242 is raised. Raises SK201 for a dialect that is not checked or SQL that does not parse,
    SK404 for an unknown view.
    """
    from skewless.warehouse.dbt import ensure_manifest

    manifest = ensure_manifest(config, compiled=True)
    project = read_project(config, manifest)
    names = list(refs)
    models = _fixed(config, manifest, _chosen(project, manifest, names))
    changed = [m for m in models if m.after != m.before]
    if not write or not changed:
        return models
    _write(config, changed)
    try:
        again = ensure_manifest(config, compiled=True)
        after = _fixed(config, again, _chosen(read_project(config, again), again, names))
        unsettled = [m.path for m in after if m.after != m.before]
        if unsettled:
            raise SkewlessError("SK242", f"the changes to {', '.join(unsettled)} do not come to an end")
    except SkewlessError as error:
        _write(config, changed, restore=True)
        raise _undone(error) from None
    left = {m.path: m for m in after}
    return [FixedModel(m.path, m.before, m.after, m.made, left[m.path].left, left[m.path].refused) for m in models]


def _undone(error: SkewlessError) -> SkewlessError:
    detail = f"{error.fact[:1].upper()}{error.fact[1:]}. {error.detail} The files are as they were.".replace("  ", " ")
    hint = "Look at the changes: skewless fix --diff"
    return SkewlessError("SK242", "the changed models do not compile as expected", detail=detail, hint=hint)


def _chosen(project: Project, manifest: dict[str, Any], refs: list[str]) -> list[View]:
    if not refs:
        return [view for view in project.wanted.views if is_enforced(manifest, view)]
    return [project.wanted.view(ref.view, ref.version) for ref in map(parse_ref, refs)]


def _fixed(config: Config, manifest: dict[str, Any], views: list[View]) -> list[FixedModel]:
    """The models of the views in the order in which dbt builds them; a changed model is read as changed by those below it."""
    dialect = dialect_of(manifest)
    if dialect not in DIALECTS:
        raise SkewlessError("SK201", f"SQL of {dialect} is not checked for portability", hint="Use DuckDB or Postgres.")
    nodes = _models(manifest, dialect, views)
    out: list[FixedModel] = []
    for node, streamed in sorted(nodes, key=lambda n: (len(ancestors(manifest, n[0])), n[0]["unique_id"])):
        path = Path(config.root) / node["original_file_path"]
        before = path.read_bytes().decode()
        inputs = Inputs(manifest, dialect, stream=streamed).of(node)

        def read(sql: str, inputs: Any = inputs, streamed: bool = streamed) -> Analysis:
            return analyse(sql, dialect=dialect, inputs=inputs, stream=streamed)

        fixed = fix_text(before.replace("\r\n", "\n"), node["compiled_code"], read)
        node["compiled_code"] = fixed.compiled
        out.append(_model(node, before, fixed, read))
    return out


def _model(node: dict[str, Any], before: str, fixed: Fixed, read: Any) -> FixedModel:
    refused = sum(1 for f in read(fixed.compiled).findings if f.fix is None)
    after = fixed.text.replace("\n", "\r\n") if "\r\n" in before else fixed.text
    return FixedModel(node["original_file_path"], before, after, fixed.made, fixed.left, refused)


def _models(manifest: dict[str, Any], dialect: str, views: list[View]) -> list[tuple[dict[str, Any], bool]]:
    """The project's own models that the views are made of, each once, with whether a stream needs it."""
    own = (manifest.get("metadata") or {}).get("project_name")
    found: dict[str, tuple[dict[str, Any], bool]] = {}
    for view in views:
        node = manifest["nodes"][view.unique_id]
        for model in (*Inputs(manifest, dialect, stream=view.streamed).lowered(node), node):
            if model.get("package_name") == own and model.get("compiled_code"):
                streamed = view.streamed or found.get(model["original_file_path"], ({}, False))[1]
                found[model["original_file_path"]] = (model, streamed)
    return list(found.values())


def _write(config: Config, models: list[FixedModel], *, restore: bool = False) -> None:
    """Each file is replaced at once; a reader sees the text before or the text after."""
    for model in models:
        path = Path(config.root) / model.path
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as out:
            out.write((model.before if restore else model.after).encode())
        os.chmod(name, path.stat().st_mode)
        os.replace(name, path)
