"""`skewless conformance …`: random views and the catalogue of constructs on DuckDB, Postgres and Flink, compared in every bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.output import AsJson, print_json, say
from skewless.errors import EXIT_FOUND, SkewlessError

if TYPE_CHECKING:
    from skewless.conformance.engines import Engine
    from skewless.conformance.fuzz import Report

app = typer.Typer(add_completion=False, no_args_is_help=True)
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same run; default: another one each time.")]


@app.callback()
def conformance() -> None:
    """The same SQL on DuckDB, Postgres and Flink, compared in every bit. Needs the extra `conformance`, and Flink."""


@app.command()
def fuzz(
    views: Annotated[int, typer.Option("--views", min=1, help="How many random views to run.")] = 200,
    seed: Seed = 0,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows of an input table.")] = 120,
    both: Annotated[bool, typer.Option("--both", help="Run each view at parallelism 1 and 2, not at one of them.")] = False,
    cases: Annotated[
        str, typer.Option("--cases", metavar="FOLDER", help="Where failing views go, made small, with their rows.")
    ] = "conformance-cases",
    as_json: AsJson = False,
) -> None:
    """Run random feature views over random tables; exit 1 when two engines differ.

    A view that fails is made small and saved; `skewless conformance cases` runs it again.
    Example: skewless conformance fuzz --views 500 --seed 7
    """
    from skewless.conformance.fuzz import fuzz as run
    from skewless.conformance.shrink import save_failures

    seed = seed or _any_seed()
    say(f"seed {seed}")
    with _engines() as engines:
        report = run(
            engines, seed=seed, views=views, rows=rows, both=both,
            on_chunk=_tell,
        )
        saved = save_failures(engines, report.failures, Path(cases))
    if as_json:
        print_json({
            "seed": seed, "views": report.views, "executions": report.runs, "values": report.values, "seconds": report.seconds,
            "views_per_minute": report.views_per_minute, "shapes": dict(report.shapes), "accepted": report.accepted,
            "refused": dict(report.refused), "fixed": dict(report.fixed),
            "failures": [{"way": f.way, "what": f.what, "sql": f.view.sql} for f in report.failures],
            "saved": [str(path) for path, _ in saved],
        })
    else:
        print(report.text())
        for path, case in saved:
            print(f"\n{path}: {case.note}\n{case.sql}")
    if report.failures:
        raise typer.Exit(EXIT_FOUND)


def _tell(report: Report) -> None:
    """The state of a run, and its failures of the last dataset: a run that is killed has named them."""
    say(f"{report.views} views, {report.values:,} values, {len(report.failures)} failures")
    last = max((f.seed for f in report.failures), default=0)
    for failure in report.failures if last == report.last_seed else ():
        if failure.seed == last:
            say(f"dataset {failure.seed}, view {failure.view.number}, {failure.way}: {failure.what[:200]}")


@app.command()
def cases(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Saved cases, or folders of them.")],
    as_json: AsJson = False,
) -> None:
    """Run saved cases again; exit 1 when one still fails. Example: skewless conformance cases conformance-cases"""
    from skewless.conformance.case import read_case
    from skewless.conformance.shrink import run_cases

    paths = [p for file in files for p in (sorted(file.glob("*.json")) if file.is_dir() else [file])]
    if not paths:
        raise SkewlessError("SK243", f"there is no saved case in {', '.join(map(str, files))}",
                            hint="skewless conformance fuzz saves those views that fail; without one, all is well.")
    read = [read_case(path) for path in paths]
    with _engines() as engines:
        found = run_cases(engines, read)
    if as_json:
        wrong = [[{"way": way, "what": what} for way, what in one] for one in found]
        print_json([{"file": str(path), "wrong": one} for path, one in zip(paths, wrong, strict=True)])
    else:
        for path, one in zip(paths, found, strict=True):
            print(f"{path}: " + ("; ".join(f"{way}: {what}" for way, what in one) or "the same rows every way"))
    if any(found):
        raise typer.Exit(EXIT_FOUND)


@app.command()
def mutants(seed: Seed = 5, as_json: AsJson = False) -> None:
    """Break the rewrites one by one and see that a short run finds each; exit 1 for one that it does not find.

    Example: skewless conformance mutants
    """
    from dataclasses import asdict

    from skewless.conformance.mutants import hunt

    with _engines() as engines:
        found = hunt(engines, seed=seed or _any_seed())
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            print(f"{one.mutant}: {one.failed} of {one.run} views fail" + (f" ({one.first[:100]})" if one.first else ""))
    if any(not one.failed for one in found):
        raise typer.Exit(EXIT_FOUND)


@app.command()
def catalogue(as_json: AsJson = False) -> None:
    """Run the 630 constructs of the catalogue: what the checker makes of each, and whether its values are equal everywhere.

    Exits 1 when a value differs. Example: skewless conformance catalogue
    """
    from collections import Counter

    from skewless.conformance.catalogue import KNOWN, cases, run_catalogue

    with _engines() as engines:
        found = run_catalogue(engines, cases())
    wrong = [one for one in found if one.wrong and one.case.id not in KNOWN]
    if as_json:
        print_json([{
            "id": one.case.id, "name": one.case.name, "action": one.action, "sql": one.sql,
            "wrong": [{"way": way, "what": what} for way, what in one.wrong], "why": KNOWN.get(one.case.id, one.case.why),
        } for one in found])
    else:
        counts = Counter(one.action for one in found)
        print(", ".join(f"{counts[action]} {action}" for action in ("allow", "lower", "fix", "refuse")))
        for one in wrong:
            print(f"{one.case.id} {one.case.name}: {one.wrong[0][0]}: {one.wrong[0][1]}\n  {one.sql}")
        print(f"{sum(bool(one.sql) for one in found)} executed, {len(wrong)} differ")
    if wrong:
        raise typer.Exit(EXIT_FOUND)


def _any_seed() -> int:
    import random

    return random.SystemRandom().randrange(1, 10**9)


@contextmanager
def _engines() -> Iterator[dict[str, Engine]]:
    from skewless.conformance.engines import DuckDB, Flink, Postgres

    with DuckDB() as duckdb, Postgres() as postgres, Flink() as flink:
        yield {"duckdb": duckdb, "postgres": postgres, "flink": flink}
