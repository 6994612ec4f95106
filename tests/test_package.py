"""The repository as a dbt package: a consumer's project sees our macros and none of our nodes, from a local path and from git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.example import STATE, copy_project

ROOT = Path(__file__).parent.parent
PACKAGE = ("dbt_project.yml", "macros", "models", "tests", "dbt_project")
CONSUMER = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nflags: {send_anonymous_usage_stats: false}\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}\n",
    "models/mine.sql": (
        "select 1 as one where {{ skewless.input_window('one') }} or {{ skewless.input_window('one', '1d12h') }}\n"
    ),
    "models/mine.yml": (
        "models: [{name: mine, config: {meta: {skewless: {entities: [one], input_lookback: 1d}}}, columns: [{name: one}]}]\n"
    ),
}
# dbt checks YAML against its schemas on four adapters only; this makes it check on DuckDB too.
DEPRECATIONS = """
import dbt.jsonschemas.jsonschemas as schemas
schemas._JSONSCHEMA_SUPPORTED_ADAPTERS.add("duckdb")
"""
PARSE = ["parse", "--no-partial-parse", "--show-all-deprecations", "--warn-error"]
COMMANDS = """
import json, sys
from dbt.cli.main import dbtRunner
for command in json.loads(sys.argv[1]):
    result = dbtRunner().invoke(command)
    if not result.success:
        sys.exit(f"{command}: {result.exception}")
"""


def dbt(project: Path, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    """The commands one after the other, in one process of dbt."""
    return python(project, "-c", COMMANDS, json.dumps(commands))


def python(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DBT_PROFILES_DIR": str(project), "SKEWLESS_PROJECT_DIR": str(project), "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run([sys.executable, *args], cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def consumer(folder: Path, packages: str) -> Path:
    for name, text in {**CONSUMER, "packages.yml": packages}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def copy_of_the_package(folder: Path) -> Path:
    ignore = shutil.ignore_patterns(*STATE)
    folder.mkdir()
    for name in PACKAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("route", ["local", "git", "wheel folder"])
def test_a_consumer_sees_our_macros_and_none_of_our_nodes(route: str, tmp_path: Path) -> None:
    if route == "git":
        clone = copy_of_the_package(tmp_path / "clone")
        git(clone, "init", "--quiet")
        git(clone, "add", ".")
        git(clone, "commit", "--quiet", "--message", "package")
        packages = f"packages:\n  - git: file://{clone}\n    revision: {git(clone, 'rev-parse', 'HEAD')}\n"
    else:
        folder = ROOT if route == "local" else ROOT / "skewless" / "dbt_package"
        packages = f"packages:\n  - local: {folder}\n"
    project = consumer(tmp_path / "shop", packages)
    dbt(project, ["deps"], ["compile", "--no-introspect", "--no-populate-cache"])
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    assert [name for name, node in manifest["nodes"].items() if node["resource_type"] != "operation"] == ["model.shop.mine"]
    compiled = manifest["nodes"]["model.shop.mine"]["compiled_code"]
    assert "- interval '1' day" in compiled and "- interval '36' hour" in compiled
    assert not any(manifest[kind] for kind in ("sources", "exposures", "unit_tests", "groups", "saved_queries", "metrics"))
    assert {name for name in manifest["macros"] if name.startswith("macro.skewless.")} >= {"macro.skewless.input_window"}


def deps_and_strict_parse(project: Path) -> None:
    python(project, "-c", DEPRECATIONS + COMMANDS, json.dumps([["deps"], PARSE]))


def test_the_example_and_the_starter_use_no_deprecated_key(tmp_path: Path) -> None:
    from skewless.cli.init import write_starter

    write_starter(tmp_path / "shop", "shop")
    copy_project(tmp_path)
    for name in ("shop", "dbt_project"):
        deps_and_strict_parse(tmp_path / name)


def test_the_check_for_deprecated_keys_finds_one(tmp_path: Path) -> None:
    project = consumer(tmp_path, f"packages:\n  - local: {ROOT}\n")
    (project / "models" / "mine.yml").write_text("models: [{name: mine, meta: {skewless: {entities: [one]}}}]\n")
    with pytest.raises(AssertionError, match="PropertyMovedToConfig"):
        deps_and_strict_parse(project)
