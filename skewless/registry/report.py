"""Collects the findings of one view or service and knows where in its YAML each key stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.registry.finding import Finding
from skewless.registry.source import Source


class Report:
    """`add` appends a finding at a place below `at`, the path of the definition inside its YAML file."""

    def __init__(self, findings: list[Finding], source: Source, at: tuple[Any, ...], subject: str, fallback: str = "") -> None:
        self.findings, self.source, self.at, self.subject, self.fallback = findings, source, at, subject, fallback

    def add(self, code: str, fact: str, *path: Any, level: str = "error", hint: str = "") -> None:
        """A finding at `path` below the definition, or at the deepest part of it that exists."""
        line = self.source.line(*self.at, *path) if self.source.file else 0
        file = self.source.file or self.fallback
        self.findings.append(Finding(code, fact, level=level, file=file, line=line, subject=self.subject, hint=hint))

    def add_at(self, file: str, line: int, code: str, fact: str, *, level: str = "error", hint: str = "") -> None:
        """A finding at a place in another file, for example the model's SQL."""
        self.findings.append(Finding(code, fact, level=level, file=file, line=line, subject=self.subject, hint=hint))

    def meta(self, code: str, fact: str, key: str, *, level: str = "error", hint: str = "") -> None:
        """A finding at one key of the skewless block."""
        self.add(code, fact, "config", "meta", "skewless", key, level=level, hint=hint)

    def column(self, code: str, fact: str, name: str, *path: Any, level: str = "error", hint: str = "") -> None:
        """A finding at one column, or below it."""
        self.add(code, fact, "columns", ("name", name), *path, level=level, hint=hint)

    @property
    def failed(self) -> bool:
        """Whether an error was added for this subject."""
        return any(f.level == "error" and f.subject == self.subject for f in self.findings)


def source_of(root: Path, manifest: dict[str, Any], path: str | None) -> Source:
    """The YAML file of a manifest's `patch_path` (`package://models/x.yml`) or `original_file_path`, relative to the project."""
    if not path:
        return Source(root, "")
    package, _, file = path.rpartition("://")
    project = (manifest.get("metadata") or {}).get("project_name")
    return Source(root, f"dbt_packages/{package}/{file}" if package and package != project else file)
