"""Whether views give the same values on every engine: their SQL, and that of the models beneath them, against the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.finding import Finding
from skewless.registry.inputs import Inputs
from skewless.registry.lineage import dialect_of
from skewless.registry.model import Registry, View
from skewless.sql import analysis as sql
from skewless.sql.definition import feature_slices
from skewless.sql.model_text import ModelText
from skewless.sql.output import Wanted, output_hits
from skewless.sql.parsing import DIALECTS, Unreadable, line_and_column
from skewless.types import parse_type


def is_enforced(manifest: dict[str, Any], view: View) -> bool:
    """Whether the rules hold for a view: it streams, or its block says `portable: true`."""
    block = _block(manifest, view)
    return view.streamed or block.get("portable") is True


def check_portable(root: Path, manifest: dict[str, Any], registry: Registry, *, advice: bool = False) -> list[SkewlessError]:
    """The findings (SK200 to SK249) of the views for which the rules hold, as errors.

    `advice`: of the other views too, at level advice. A finding in a model that several views share is given once.
    """
    dialect = dialect_of(manifest)
    readers = {stream: Inputs(manifest, dialect, stream=stream) for stream in (False, True)}
    out: dict[tuple[Any, ...], Finding] = {}
    for view in sorted(registry.views, key=lambda v: not is_enforced(manifest, v)):
        enforced = is_enforced(manifest, view)
        if enforced or advice:
            level = "error" if enforced else "advice"
            for finding in _of_view(root, manifest, readers[view.streamed], view, level, dialect):
                out.setdefault((finding.file, finding.line, finding.column, finding.code, finding.fact), finding)
    return list(out.values())


def _of_view(root: Path, manifest: dict[str, Any], inputs: Inputs, view: View, level: str, dialect: str) -> list[Finding]:
    node = manifest["nodes"][view.unique_id]
    subject = f'view "{view.ref if view.version > 1 else view.name}"'
    if dialect not in DIALECTS:
        fact = f"SQL of {dialect} is not checked for portability"
        return [Finding("SK201", fact, level=level, file=view.file, subject=subject, hint="Use DuckDB or Postgres.")]
    approximate = {f.name.lower() for f in view.features if f.approximate is not None}
    out: list[Finding] = []
    for upstream in inputs.lowered(node):
        out += _Model(root, manifest, upstream, subject, level, dialect).findings(inputs, set())
    model = _Model(root, manifest, node, subject, level, dialect)
    return out + model.findings(inputs, approximate, view)


class _Model:
    """One model of a view: its compiled SQL and the file that it comes from."""

    def __init__(
        self, root: Path, manifest: dict[str, Any], node: dict[str, Any], subject: str, level: str, dialect: str
    ) -> None:
        self.node, self.subject, self.level, self.dialect = node, subject, level, dialect
        self.compiled = node.get("compiled_code") or ""
        self.file = file_of(manifest, node)
        try:
            raw = (root / self.file).read_text()
        except OSError:
            raw = node.get("raw_code") or ""
        self.text = ModelText(raw, self.compiled)

    def findings(self, inputs: Inputs, approximate: set[str], view: View | None = None) -> list[Finding]:
        """Everything wrong with the model's SQL; sums that only approximate features use are left out."""
        found = inputs.analysis(self.node)
        if isinstance(found, SkewlessError):
            offset = found.offset if isinstance(found, Unreadable) else 0
            return [self._finding(found.code, found.fact, found.hint, offset)]
        if found is None:
            return []
        wrong = [f for f in found.findings if not (approximate and self._only(f, approximate, view))]
        out = [self._finding(f.code, f.message, f.hint, f.start) for f in wrong]
        if view is not None and not wrong:
            out += [self._finding(f.code, f.message, f.hint, f.start) for f in output_hits(found, _wanted(view, approximate))]
        return out

    def _only(self, finding: sql.Finding, approximate: set[str], view: View | None) -> bool:
        """Whether a float sum reaches no feature that promises equal bytes."""
        if view is None or finding.rule.id != "agg.sum_float":
            return False
        exact = [f.name for f in view.features if f.name.lower() not in approximate]
        text = finding.node.sql(dialect=self.dialect, comments=False).split(".")[-1].lower()
        slices = feature_slices(self.compiled, self.dialect, view.key_names, exact)
        return not any(
            query is None or text in query.sql(dialect=self.dialect, comments=False).lower() for query in slices.values()
        )

    def _finding(self, code: str, fact: str, hint: str, offset: int) -> Finding:
        line, column, exact = self.text.line(offset)
        if not exact:
            compiled_line, compiled_column = line_and_column(self.compiled, offset)
            fact = f"{fact} (compiled SQL {compiled_line}:{compiled_column})"
        return Finding(code, fact, level=self.level, file=self.file, line=line, column=column, subject=self.subject, hint=hint)


def file_of(manifest: dict[str, Any], node: dict[str, Any]) -> str:
    """A model's file, relative to the project."""
    path, package = node.get("original_file_path") or "", node.get("package_name")
    own = package == (manifest.get("metadata") or {}).get("project_name")
    return path if own or not package else f"dbt_packages/{package}/{path}"


def _wanted(view: View, approximate: set[str]) -> list[Wanted]:
    columns = (
        [(k.name, k.type) for k in view.join_keys]
        + [("event_timestamp", "timestamp")]
        + [(f.name, f.type) for f in view.features]
    )
    return [Wanted(name, parse_type(type_)) for name, type_ in columns if name.lower() not in approximate]


def _block(manifest: dict[str, Any], view: View) -> dict[str, Any]:
    meta = (manifest["nodes"][view.unique_id].get("config") or {}).get("meta") or {}
    block = meta.get("skewless")
    return block if isinstance(block, dict) else {}
