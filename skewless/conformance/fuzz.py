"""The fuzz run: random views over random tables, on DuckDB, Postgres and Flink, compared in every bit."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from skewless.conformance.data import Dataset, dataset
from skewless.conformance.engines import Answer, Engine
from skewless.conformance.grammar import Grammar, View
from skewless.conformance.values import Rows, compare
from skewless.errors import SkewlessError
from skewless.sql.analysis import Analysis, analyse
from skewless.stream.lower import lower
from skewless.stream.lower.outputs import declared
from skewless.stream.lower.printer import Printer

CHUNK = 24
"""Views over one dataset: one job of Flink."""
WAYS = ("model", "duckdb", "postgres", "flink", "flink x2")
"""What is compared: the model's own text on DuckDB, the printed text of each engine, and Flink's at parallelism 2."""


@dataclass(frozen=True)
class Failure:
    """A view that does not give the same rows every way. `way` is the one that differs from `duckdb`; `what` says how."""

    seed: int
    view: View
    way: str
    what: str

    def __str__(self) -> str:
        return f"seed {self.seed}, view {self.view.number} ({self.view.shape}), {self.way}: {self.what}\n{self.view.sql}"


@dataclass
class Report:
    """What a run did. `values` counts cells that were compared; `refused`, `fixed`: rule -> times."""

    seed: int
    views: int = 0
    runs: int = 0
    values: int = 0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    shapes: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    fixed: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    last_seed: int = 0

    @property
    def views_per_minute(self) -> float:
        return 60 * self.views / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """Some lines for people."""
        refused = sum(self.refused.values())
        shapes = ", ".join(f"{n} {shape}" for shape, n in self.shapes.most_common())
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.phases.items())
        return (
            f"seed {self.seed}: {self.views} views ({shapes}) in {self.seconds:.0f} s, {self.views_per_minute:.0f} a minute\n"
            f"{self.runs} executions, {self.values:,} values compared, {len(self.failures)} failures\n{spent}\n"
            f"parts of queries: {self.accepted} accepted, {sum(self.fixed.values())} fixes applied, {refused} refused"
        )


def texts(analysis: Analysis) -> dict[str, str]:
    """The view's text for each way. Raises SK820 to SK822 for what has no form."""
    flink = lower(analysis, engine="flink")
    return {
        "model": declared(Printer("duckdb"), analysis.sql, analysis.output, None), "duckdb": lower(analysis, engine="duckdb"),
        "postgres": lower(analysis, engine="postgres"), "flink": flink, "flink x2": flink,
    }


def run_ways(
    engines: Mapping[str, Engine], data: Dataset, printed: Sequence[Mapping[str, str]], ways: Sequence[str] = WAYS,
    phases: dict[str, float] | None = None,
) -> list[dict[str, Answer]]:
    """The answer of each query each way; a query lacks the ways that it has no text for."""
    out: list[dict[str, Answer]] = [{} for _ in printed]
    for way in ways:
        engine, _, parallelism = way.partition(" x")
        numbers = [n for n, query in enumerate(printed) if way in query]
        name = "duckdb" if engine == "model" else engine
        started = time.monotonic()
        found = engines[name].run_many(data.tables, [printed[n][way] for n in numbers], parallelism=int(parallelism or 1))
        if phases is not None:
            phases[way] += time.monotonic() - started
        for n, answer in zip(numbers, found, strict=True):
            out[n][way] = answer
    return out


def differences(answers: Mapping[str, Answer]) -> Iterator[tuple[str, str]]:
    """(way, what) for each way that fails, or whose rows are not those of `duckdb`."""
    left = answers["duckdb"]
    if isinstance(left, SkewlessError):
        yield "duckdb", left.fact
        return
    for way, right in answers.items():
        if isinstance(right, SkewlessError):
            yield way, right.fact
        elif way != "duckdb":
            found = compare(left, right)
            if found:
                yield way, f"{len(found)} differences, first: {found[0]}"


def fuzz(
    engines: Mapping[str, Engine], *, seed: int, views: int, rows: int = 120, shapes: Mapping[str, int] | None = None,
    both: bool = False, on_chunk: Callable[[Report], None] | None = None,
) -> Report:
    """Runs that many views, in chunks with a dataset each. The same seed gives the same run.

    Flink's parallelism is 1 in one chunk and 2 in the next; with `both` each view runs at both. `shapes` weighs kinds of views;
    `on_chunk` is called with the report so far.
    """
    report, started = Report(seed), time.monotonic()
    while report.views < views:
        ways = WAYS if both else tuple(w for w in WAYS if w != ("flink" if report.views // CHUNK % 2 else "flink x2"))
        data = dataset(seed * 1_000_003 + report.views, rows)
        grammar, begun = Grammar(data.seed, data.inputs, shapes), time.monotonic()
        made = [grammar.view() for _ in range(min(CHUNK, views - report.views))]
        report.phases["generate"] += time.monotonic() - begun
        _run(report, engines, data, made, ways)
        report.last_seed = data.seed
        report.accepted += grammar.counts.accepted
        report.refused += grammar.counts.refused
        report.seconds = time.monotonic() - started
        if on_chunk is not None:
            on_chunk(report)
    return report


def _run(report: Report, engines: Mapping[str, Engine], data: Dataset, views: Sequence[View], ways: Sequence[str]) -> None:
    printed: list[dict[str, str]] = []
    begun = time.monotonic()
    for view in views:
        report.views += 1
        report.shapes[view.shape] += 1
        report.used.update(view.used)
        report.fixed.update(view.fixed)
        try:
            printed.append(texts(analyse(view.sql, dialect="duckdb", inputs=data.inputs, stream=view.streams)))
        except SkewlessError as error:
            printed.append({})
            report.failures.append(Failure(data.seed, view, "printed", str(error)))
    report.phases["print"] += time.monotonic() - begun
    for view, query, answers in zip(views, printed, run_ways(engines, data, printed, ways, report.phases), strict=True):
        if not query:
            continue
        report.runs += len(answers)
        report.values += sum(len(a.rows) * len(a.columns) for a in answers.values() if isinstance(a, Rows))
        report.failures += [Failure(data.seed, view, way, what) for way, what in differences(answers)]
