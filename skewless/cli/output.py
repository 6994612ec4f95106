"""What the command line says: data on stdout, talk on stderr, JSON where a program reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer

from skewless.errors import Findings, SkewlessError

ProjectDir = Annotated[str, typer.Option("--project-dir", help="Folder of skewless.yml; default: here or above.")]
Target = Annotated[str, typer.Option("--target", help="dbt target; default: the one of skewless.yml.")]
Brokers = Annotated[
    str, typer.Option("--kafka", metavar="HOST:PORT", help="The brokers; default: those of skewless.yml, else of `dev up`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def say(text: str) -> None:
    """One line of talk on stderr, behind the data printed so far where both streams go to one place."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """A JSON document on stdout, indented, keys in the order given."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    sys.stdout.flush()


def print_error(error: SkewlessError) -> None:
    """The error on stderr; as a JSON line when the command was called with --json."""
    if "--json" in sys.argv:
        errors = error.findings if isinstance(error, Findings) else [error]
        sys.stderr.write(orjson.dumps({"errors": [e.as_dict() for e in errors]}).decode() + "\n")
    else:
        sys.stderr.write(error.render() + "\n")


class Progress:
    """Steps of known number: a bar on a terminal, a line a step elsewhere."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                console=Console(stderr=True), transient=False,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total)
        return self

    def step(self, text: str, n: int = 1) -> None:
        """`n` more steps are done; `text` says which."""
        self.done += n
        if self._bar:
            self._bar.update(self._task, completed=self.done, description=f"{self.title}: {text}")
        else:
            say(f"{self.title} [{self.done}/{self.total}] {text}")

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


@contextmanager
def step(text: str) -> Iterator[None]:
    """A named step of a longer command, with its seconds when it ends."""
    import time

    started = time.monotonic()
    say(f"{text} …")
    yield
    say(f"{text}: {time.monotonic() - started:.1f} s")
