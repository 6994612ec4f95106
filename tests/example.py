"""A copy of the example project on which the demo has run, for tests that read its outcome."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLOCK = "2014-01-01T12:00:00Z"
STATE = (
    "dbt_packages", "target", "lake", "data", "logs", ".skewless", "*.duckdb*", "package-lock.yml", "__pycache__", ".user.yml",
)


@dataclass(frozen=True)
class Example:
    """`project` is the dbt project; `out` holds labels, training set and manifest; `text` is what the demo printed."""

    project: Path
    out: Path
    text: str

    @property
    def env(self) -> dict[str, str]:
        """The environment for a command on the example: its clock, and nothing else of ours."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SKEWLESS_", "DBT_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**clean, "SKEWLESS_CLOCK": CLOCK, "PATH": path}

    def skewless(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A skewless command in the project's folder."""
        argv = [sys.executable, "-m", "skewless.cli", *args]
        return subprocess.run(argv, cwd=self.project, env=self.env, capture_output=True, text=True)


def copy_project(folder: Path) -> Path:
    """dbt_project/ without any state, at `folder`/dbt_project, with the package named by its absolute path."""
    project = folder / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project, ignore=shutil.ignore_patterns(*STATE))
    (project / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    return project


def run_demo(folder: Path) -> Example:
    """Copy the project to `folder` and run the demo on it, from nothing."""
    project = copy_project(folder)
    out = folder / "demo"
    argv = [sys.executable, str(ROOT / "dbt_project" / "demo.py"), "--project-dir", str(project), "--out", str(out)]
    done = subprocess.run(argv, cwd=folder, env=Example(project, out, "").env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Example(project, out, done.stdout + done.stderr)
