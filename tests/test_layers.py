"""Imports go one way. The table is the law; a new edge is a decision (docs/decisions)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = {"errors", "error_codes", "clock", "types", "config"}
MODEL = GROUND | {"registry"}

# room -> rooms it may import. A room is the first part of the name below `skewless`.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"error_codes"},
    "error_codes": set(),
    "clock": {"errors"},
    "types": {"errors"},
    "config": {"errors"},
    "registry": GROUND | {"sql"},
    "sql": GROUND,
    "rows": MODEL,
    "embedded": GROUND,
    "online": MODEL | {"rows", "embedded"},
    "warehouse": MODEL | {"sql"},
    "lookup": MODEL | {"rows", "online"},
    "project": MODEL | {"sql", "online", "warehouse"},
    "status": MODEL | {"sql", "online", "warehouse"},
    "fix": MODEL | {"sql", "warehouse", "project"},
    "adopt": MODEL | {"warehouse"},
    "training": MODEL | {"warehouse"},
    "audit": MODEL | {"rows", "online", "warehouse"},
    "sync": MODEL | {"rows", "online", "warehouse", "newest", "messages"},
    "newest": MODEL | {"rows", "warehouse"},
    "cold": MODEL | {"rows", "online", "warehouse", "newest"},
    "register": MODEL | {"project", "warehouse"},
    "jobs": MODEL | {"online"},
    "worker": MODEL | {"jobs", "online", "warehouse", "training", "sync"},
    "serve": MODEL | {"rows", "online", "lookup", "jobs", "cold", "register"},
    "messages": MODEL,
    "brokers": {"errors"},
    "stream": MODEL | {"rows", "sql", "messages", "brokers"},
    "lifeline": set(),
    "dev": MODEL | {"stream", "embedded", "postgres"},
    "postgres": GROUND,
    "conformance": MODEL | {"rows", "sql", "stream", "postgres"},
    "remote": {"errors", "error_codes"},
    "client": MODEL | {"warehouse", "training", "online", "lookup", "remote"},
}


def modules() -> list[tuple[str, Path]]:
    """(dotted name below skewless, file) of every module, each file once under its import name."""
    found = []
    for path in walk(ROOT / "skewless"):
        relative = path.relative_to(ROOT / "skewless").with_suffix("")
        found.append((".".join(p for p in relative.parts if p != "__init__"), path))
    return found


def walk(folder: Path) -> list[Path]:
    out: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in ("__pycache__", "dbt_package", "starter", "migrations"):
            out += walk(path)
        elif path.suffix == ".py":
            out.append(path)
    return out


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{a.name}" for a in node.names} | {node.module}
    return names


def test_the_modules_are_found() -> None:
    assert len(modules()) >= 15


@pytest.mark.parametrize(("name", "path"), modules(), ids=[n or "skewless" for n, _ in modules()])
def test_imports_go_one_way(name: str, path: Path) -> None:
    room = name.split(".")[0]
    if room in ("", "cli"):
        return
    allowed = MAY_IMPORT[room] | {room}
    for imported in imports(path):
        assert not re.match(r"(sync|serve|stream)(\.|$)", imported), f"{name}: import skewless.{imported}, not {imported}"
        if imported.startswith("skewless."):
            target = imported.split(".")[1]
            if target in ("__version__", "SkewlessError"):
                continue
            assert target in allowed, f"{name} imports skewless.{target}: {room} may import {sorted(allowed)}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=[n or "skewless" for n, _ in modules()])
def test_modules_and_functions_stay_small(name: str, path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 600, f"{name} holds more than 600 lines: it probably has two nouns"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= 70, f"{name}.{node.name} has {lines} lines"
