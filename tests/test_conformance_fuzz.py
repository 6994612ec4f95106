"""Random views on DuckDB, Postgres and Flink: zero differences; broken rewrites are found; what fails is made small and kept."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from skewless.conformance.case import Case, read_case
from skewless.conformance.data import dataset
from skewless.conformance.engines import Engine
from skewless.conformance.fuzz import Failure, Report, differences, fuzz, run_ways, texts
from skewless.conformance.grammar import SHAPES, Grammar
from skewless.conformance.mutants import MUTANTS, Hunt, hunt
from skewless.conformance.shrink import run_cases, save_failures
from skewless.sql.analysis import Analysis, analyse

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
VIEWS = 3000 if SOAK else 216
SEED = random.SystemRandom().randrange(1, 10**6) if SOAK else 20261121
CASES = Path(__file__).parent / "golden" / "conformance"
SAVED = sorted(CASES.glob("*.json"))
MUTANT_SEED = 5


@pytest.fixture(scope="module")
def report(engines: Mapping[str, Engine]) -> Report:
    print(f"seed {SEED}")
    def said(r: Report) -> None:
        print(f"{r.views} views, {len(r.failures)} failures")

    made = fuzz(engines, seed=SEED, views=VIEWS, both=SOAK, on_chunk=said)
    print(made.text())
    return made


def test_random_views_give_the_same_bits_on_every_engine(report: Report, engines: Mapping[str, Engine]) -> None:
    """A failing view is saved as tests/golden/conformance/…, made small: keep the file, it runs from then on."""
    saved = save_failures(engines, report.failures, CASES)
    told = [f"{path.name}: {case.note}\n{case.sql}" for path, case in saved]
    assert not report.failures, f"seed {SEED}\n" + "\n".join(told or map(str, report.failures[:3]))
    assert report.values > 200 * report.views and report.runs == report.views * (5 if SOAK else 4)


def test_the_run_is_a_wide_one(report: Report) -> None:
    assert set(report.shapes) == set(SHAPES)
    assert len(report.used) > 150 and len(report.fixed) > 15
    assert sum(report.refused.values()) < report.accepted / 4, report.refused.most_common(5)


@pytest.fixture(scope="module")
def hunted(engines: Mapping[str, Engine]) -> dict[str, Hunt]:
    return {one.mutant: one for one in hunt(engines, seed=MUTANT_SEED)}


@pytest.mark.parametrize("mutant", [m.name for m in MUTANTS])
def test_a_short_run_finds_a_broken_rewrite(mutant: str, hunted: Mapping[str, Hunt]) -> None:
    assert hunted[mutant].failed, hunted[mutant]


def test_mutants_leave_nothing_behind() -> None:
    data = dataset(MUTANT_SEED)
    grammar = Grammar(MUTANT_SEED, data.inputs)
    view = grammar.view()
    before = texts(grammar.analysis(view))
    for mutant in MUTANTS:
        with mutant.applied():
            pass
    assert texts(grammar.analysis(view)) == before
    assert len(MUTANTS) >= 12 and len({m.name for m in MUTANTS}) == len(MUTANTS)


def test_a_failing_view_is_made_small_and_saved(engines: Mapping[str, Engine], tmp_path: Path) -> None:
    mutant = next(m for m in MUTANTS if m.name == "as of")     # Postgres alone: quick
    data = dataset(MUTANT_SEED)
    grammar = Grammar(MUTANT_SEED, data.inputs, mutant.shapes)
    with mutant.applied():
        while True:
            view = grammar.view()
            found = run_ways(engines, data, [texts(grammar.analysis(view))], ("duckdb", "postgres"))[0]
            wrong = list(differences(found))
            if wrong:
                break
        failure = Failure(MUTANT_SEED, view, *wrong[0])
        (path, small), = save_failures(engines, [failure], tmp_path, seconds=3600)
        assert len(small.sql) < len(view.sql) / 2
        assert sum(len(t.rows) for t in small.data.tables.values()) <= 4, "an event and two versions"
        assert list(differences(run_ways(engines, small.data, [texts(_analysed(small))], ("duckdb", "postgres"))[0]))
        assert small.note.startswith("postgres: ") and json.loads(path.read_text())["sql"] == small.sql
    assert run_cases(engines, [read_case(path)]) == [[]]


def _analysed(case: Case) -> Analysis:
    return analyse(case.sql, dialect="duckdb", inputs=case.data.inputs, stream=case.streams)


@pytest.mark.parametrize("path", SAVED, ids=[p.stem for p in SAVED])
def test_a_case_that_once_failed_gives_the_same_rows(path: Path, engines: Mapping[str, Engine]) -> None:
    assert run_cases(engines, [read_case(path)]) == [[]]
