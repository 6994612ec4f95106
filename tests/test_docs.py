"""The documentation is true: generated pages are up to date, every macro is described, commands that are shown do run."""

from __future__ import annotations

import doctest
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs_pages import DOCS, PAGES
from tests.example import Example

ROOT = Path(__file__).parent.parent
PROSE = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m tests.docs_pages"


MACRO = re.compile(r"(#}\s*)?{%-?\s*macro\s+(\w+)\s*\(([^)]*)\)")
INNER = re.compile(r"_|\w+__|pit_|feature_view_(?!metadata)|lake$|one_value$|execute_statement$")


def macros() -> dict[str, tuple[list[str], bool]]:
    """Every macro of the package: its arguments, and whether a comment stands right above it."""
    return {
        name: ([part.split("=")[0].strip() for part in arguments.split(",") if part.strip()], bool(comment))
        for path in sorted((ROOT / "macros").rglob("*.sql"))
        for comment, name, arguments in MACRO.findall(path.read_text())
    }


def described() -> dict[str, list[str]]:
    """The macros of the package's YAML files, with the arguments that have a description."""
    out = {}
    for path in (ROOT / "macros").rglob("*.yml"):
        for macro in yaml.safe_load(path.read_text()).get("macros", []):
            assert macro.get("description"), f"{macro['name']} has no description"
            out[macro["name"]] = [a["name"] for a in macro.get("arguments", []) if a.get("description")]
    return out


def test_every_macro_that_a_project_calls_is_described_with_its_arguments() -> None:
    assert {name: arguments for name, (arguments, _) in macros().items() if not INNER.match(name)} == described()


def test_every_inner_macro_says_what_it_does() -> None:
    assert not [name for name, (_, comment) in macros().items() if not comment and "__" not in name]


@pytest.mark.parametrize("path", PROSE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("path", PROSE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_codes_that_are_mentioned_exist(path: Path) -> None:
    from skewless.error_codes import CODES

    assert set(re.findall(r"\bSK\d{3}\b", path.read_text())) <= CODES.keys()


def console_commands() -> list[tuple[str, str, str]]:
    """(page, command, output as shown) of every ```console block. `...` in an output stands for anything."""
    out = []
    for path in PROSE:
        for block in re.findall(r"```console\n(.*?)```", path.read_text(), flags=re.DOTALL):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                out.append((path.relative_to(ROOT).as_posix(), command, shown))
    return out


@pytest.mark.parametrize(("page", "command", "shown"), console_commands())
def test_a_command_that_is_shown_does_what_is_shown(page: str, command: str, shown: str, example: Example) -> None:
    """Run in the example's folder, after the demo. Exit codes 0 and 1 (something was found) are fine."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=example.project, env=example.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode in (0, 1), done.stdout
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if shown.strip():
        assert doctest.OutputChecker().check_output(shown, done.stdout, flags), f"{page}: $ {command}\n{done.stdout}"
