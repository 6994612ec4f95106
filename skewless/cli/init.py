"""`skewless init [DIR] [--name NAME]`: a small project that works, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from skewless import __version__
from skewless.cli.output import say
from skewless.errors import SkewlessError

app = typer.Typer(add_completion=False)

STARTER = Path(__file__).resolve().parent.parent / "starter"
PACKAGE = Path(__file__).resolve().parent.parent / "dbt_package"
RENAMED = {"gitignore": ".gitignore"}   # setuptools leaves files that begin with a dot out of package data

NEXT = """\
Next{where}:
  dbt deps && dbt build                       build the feature view and its history
  skewless check                              is every definition in order?
  skewless plan                               what would be registered; then: skewless apply PLAN_ID
  skewless sync                               push the newest rows online
  skewless get churn customer_id=1            look them up
  skewless training-set --labels data/labels.csv --service churn --out train.parquet
  skewless serve                              the same over HTTP"""


@app.command()
def init(
    directory: Annotated[str, typer.Argument(help="Folder to write to; made when it does not exist.", metavar="DIR")] = ".",
    name: Annotated[str, typer.Option("--name", help="Project name; default: the folder's.")] = "",
) -> None:
    """Start a feature project here: dbt project, profile, skewless.yml, one example view.

    Example: skewless init shop
    """
    folder = Path(directory).resolve()
    name = project_name(name, folder)
    written = write_starter(folder, name)
    say(f'Project "{name}" in {folder}:')
    for path in written:
        print(path)
    say(NEXT.format(where=f" (cd {directory})" if directory != "." else ""))


def project_name(name: str, folder: Path) -> str:
    """The name given, or one made from the folder's. Raises SK107 for a name that dbt would refuse."""
    name = name or re.sub(r"\W+", "_", folder.name.lower()).strip("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in ("skewless", "dbt"):
        raise SkewlessError(
            "SK107", f'"{name}" cannot be the name of a project',
            hint="Use lower case letters, digits and _, a letter first: skewless init --name shop.",
        )
    return name


def write_starter(folder: Path, name: str) -> list[str]:
    """Write the starter's files below `folder`; returns their paths, sorted. Raises SK106 and writes nothing if one exists."""
    values = {"__NAME__": name, "__VERSION__": __version__, "__PACKAGE__": str(PACKAGE)}
    texts = {target: _fill(source.read_text(), values) for target, source in starter_files().items()}
    there = [path for path in texts if (folder / path).exists()]
    if there:
        raise SkewlessError(
            "SK106", f"{folder} already holds {', '.join(there)}",
            hint="Nothing was written. Name an empty folder (skewless init DIR), or keep yours and use: skewless adopt MODEL.",
        )
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return list(texts)


def starter_files() -> dict[str, Path]:
    """Path in a new project -> file of the wheel, sorted by path."""
    files = {p.relative_to(STARTER).as_posix(): p for p in STARTER.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    return dict(sorted((RENAMED.get(path, path), source) for path, source in files.items()))


def _fill(text: str, values: dict[str, str]) -> str:
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text
