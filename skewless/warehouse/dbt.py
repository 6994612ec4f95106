"""dbt as a command: run it, compile a snippet, read the manifest. dbt's own words become the detail of an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.config import Config
from skewless.errors import SkewlessError

PROJECT_COMMANDS_WITHOUT_TARGET = ("deps", "clean")


@dataclass
class DbtRun:
    """One finished dbt command: exit code, its lines (stdout and stderr in order), run_results.json where it wrote one."""

    returncode: int
    lines: list[str]
    run_results: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    def failures(self) -> list[tuple[str, str]]:
        """(node id, message) of every node that did not succeed, in dbt's order."""
        bad = ("error", "fail", "runtime error", "partial success")
        results = self.run_results.get("results", [])
        return [(r["unique_id"], r.get("message") or r["status"]) for r in results if r["status"] in bad]


def environment(config: Config, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a dbt process of this project: our project folder, its profile, UTC, no usage statistics."""
    env = {
        **os.environ, "SKEWLESS_PROJECT_DIR": config.root, "DBT_TARGET_PATH": str(target_path(config)), "TZ": "UTC",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    profiles = config.profiles_dir and str(Path(config.root) / config.profiles_dir)
    if not profiles and (Path(config.root) / "profiles.yml").is_file():
        profiles = config.root
    if profiles:
        env["DBT_PROFILES_DIR"] = profiles
    return {**env, **(extra or {})}


def target_path(config: Config) -> Path:
    """Where dbt writes manifest and results: DBT_TARGET_PATH, else `target-path` of dbt_project.yml, else `target`."""
    import yaml

    named = os.environ.get("DBT_TARGET_PATH")
    project = Path(config.root) / "dbt_project.yml"
    if not named and project.is_file():
        declared = re.search(r"^target-path:.*$", project.read_text(), flags=re.MULTILINE)
        named = yaml.safe_load(declared[0])["target-path"] if declared and "{{" not in declared[0] else None
    return Path(config.root) / (named or "target")


def command(config: Config, args: list[str]) -> list[str]:
    """The argument vector of `dbt ARGS` for this project and target."""
    where = ["--project-dir", config.root]
    if args[0] not in PROJECT_COMMANDS_WITHOUT_TARGET:
        where += ["--target", config.target]
    script = Path(sys.executable).parent / "dbt"
    dbt = [str(script)] if script.exists() else [sys.executable, "-m", "dbt.cli.main"]
    return [*dbt, "--no-use-colors", args[0], *where, *args[1:]]


def run_dbt(
    config: Config, args: list[str], *, env: dict[str, str] | None = None, on_line: Callable[[str], None] | None = None
) -> DbtRun:
    """Runs one dbt command to its end; `on_line` sees every line as it comes. A non-zero exit is a result, not an error.

    Raises SK910 when dbt cannot be started. The working directory is the project's, so relative DuckDB paths mean the same.
    """
    _require_dbt()
    results = target_path(config) / "run_results.json"
    before = results.stat().st_mtime_ns if results.exists() else None
    with subprocess.Popen(
        command(config, args), cwd=config.root, env=environment(config, env), text=True, bufsize=1,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_ends_with_us(),
    ) as process:
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip("\n"))
                if on_line:
                    on_line(lines[-1])
        except BaseException:
            process.terminate()
            raise
    run = DbtRun(process.returncode, lines)
    if results.exists() and results.stat().st_mtime_ns != before:
        run.run_results = json.loads(results.read_text())
    return run


def require(run: DbtRun, what: str) -> DbtRun:
    """The run itself when it succeeded. Raises the error that is known for its failure, else SK911 with dbt's own text."""
    if run.ok:
        return run
    raise known_failure(run) or SkewlessError("SK911", f"{what} failed", detail=words(run.lines))


def known_failure(run: DbtRun) -> SkewlessError | None:
    """The first `error[SK…]` that our macros raised inside dbt, or what a message of dbt's own means; None for others."""
    for at, line in enumerate(run.lines):
        start = line.find("error[SK")
        if start >= 0:
            return _parse_error(line[start:], run.lines[at + 1 : at + 12])
    for at, line in enumerate(run.lines):
        if "Could not set lock on file" in line:
            hint = "Wait until it has finished (a dbt run, or a program that has the file open), then run this again."
            detail = line[line.index("Could not") :]
            return SkewlessError("SK505", "another process has dbt's database open", detail=detail, hint=hint)
        if found := re.search(r"profile '(.*)' does not have a target named '(.*?)'", line):
            names = ", ".join(n.strip(" -") for n in run.lines[at + 1 :] if n.strip().startswith("- "))
            hint = "Name one of its targets: target in skewless.yml, SKEWLESS_TARGET, or --target."
            fact = f'dbt profile "{found[1]}" has no target "{found[2]}"'
            return SkewlessError("SK911", fact, detail=f"It has {names}.", hint=hint)
    return None


def words(lines: list[str]) -> str:
    """What dbt says of a failure: from the first line that speaks of an error, at most 30 lines, without clock and traceback."""
    bare = [line[10:] if line[:2].isdigit() and line[2:3] == ":" else line for line in lines]
    if any(line.startswith("Traceback") for line in bare):
        raised = [i for i, line in enumerate(bare) if re.match(r"[\w.]*(Error|Exception)\b", line)]
        bare = bare[raised[-1] :] if raised else bare
    first = next((i for i, line in enumerate(bare) if "rror" in line), max(0, len(bare) - 12))
    return "\n".join(line for line in bare[first : first + 30] if line.strip())


def compile_inline(config: Config, jinja: str) -> str:
    """The SQL that a snippet of Jinja renders to. Opens no database connection. Raises SK911 with dbt's own text."""
    ensure_deps(config)
    run = run_dbt(config, [
        "compile", "--inline", jinja, "--no-introspect", "--no-populate-cache", "--output", "json", "--quiet",
    ])
    require(run, "dbt compile --inline")
    text = "\n".join(run.lines)
    try:
        return str(json.loads(text[text.index("{") : text.rindex("}") + 1])["compiled"])
    except (ValueError, KeyError):
        raise SkewlessError("SK911", "dbt compile --inline gave no SQL", detail=words(run.lines)) from None


def ensure_deps(config: Config) -> None:
    """Runs `dbt deps` where the project asks for packages that are not installed yet. Raises SK911."""
    root = Path(config.root)
    wanted = [root / "packages.yml", root / "dependencies.yml"]
    if any(p.is_file() for p in wanted) and not (root / "dbt_packages").is_dir():
        require(run_dbt(config, ["deps"]), "dbt deps")


def ensure_manifest(config: Config, *, compiled: bool = True) -> dict[str, Any]:
    """The project's manifest as it is now: `dbt parse`, or `dbt compile` for nodes with `compiled_code`.

    Compilation opens no database connection unless a model's macros need introspection. Raises SK911 with dbt's own text.
    """
    ensure_deps(config)
    if not compiled:
        require(run_dbt(config, ["parse"]), "dbt parse")
    else:
        run = run_dbt(config, ["compile", "--no-introspect", "--no-populate-cache"])
        if not run.ok and any("introspect" in line.lower() for line in run.lines):
            run = run_dbt(config, ["compile"])
        require(run, "dbt compile")
    return json.loads((target_path(config) / "manifest.json").read_text())


def _ends_with_us() -> Callable[[], None] | None:
    """On Linux: the child is killed when this process dies, so that a killed command leaves no dbt that holds its locks."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes
    import signal

    prctl, kill = ctypes.CDLL(None).prctl, int(signal.SIGKILL)      # looked up before the fork
    return lambda: prctl(1, kill)                                   # 1 = PR_SET_PDEATHSIG


def _require_dbt() -> None:
    import importlib.util

    if importlib.util.find_spec("dbt") is None or importlib.util.find_spec("dbt.cli") is None:
        raise SkewlessError("SK910", "dbt is not installed here", hint="pip install 'skewless[warehouse]'")


def _parse_error(head: str, following: list[str]) -> SkewlessError:
    code, _, fact = head[6:].partition("]: ")
    parts = {"detail": "", "hint": ""}
    for line in following:
        name, _, text = line.strip().partition(": ")
        if name not in parts:
            break
        parts[name] = text
    return SkewlessError(code, fact.strip(), **parts)
