"""The catalogue of 630 constructs, executed: what the checker allows or rewrites gives the same bits on every engine."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from skewless.conformance.catalogue import INPUTS, KNOWN, NARROW, Outcome, cases, run_catalogue, tables
from skewless.conformance.engines import Engine

CASES = cases()
RUN = [c for c in CASES if c.analysis().action != "refuse"]


@pytest.fixture(scope="module")
def outcomes(engines: Mapping[str, Engine]) -> dict[int, Outcome]:
    return {one.case.id: one for one in run_catalogue(engines, RUN)}


@pytest.mark.parametrize("case", [c for c in RUN if c.id not in KNOWN], ids=lambda c: f"{c.id}-{c.name}")
def test_a_construct_that_is_not_refused_gives_the_same_bits(case, outcomes: Mapping[int, Outcome]) -> None:   # type: ignore[no-untyped-def]
    assert outcomes[case.id].wrong == (), outcomes[case.id].sql


@pytest.mark.parametrize("number", KNOWN)
def test_what_is_known_to_fail_is_refused_loudly(number: int, outcomes: Mapping[int, Outcome]) -> None:
    """An engine refuses the query; a value that differs is never known. Remove the entry once it works."""
    assert outcomes[number].wrong and all("refuses" in what for _, what in outcomes[number].wrong)


def test_the_share_that_is_allowed_or_rewritten() -> None:
    assert len(RUN) >= 446 and len(RUN) - len(KNOWN) >= 445


def test_rows_hold_what_engines_stumble_over() -> None:
    made = tables()
    cells = {repr(value) for row in made["t"].rows for value in row}
    assert {"-0.0", "None", "1e+100", "'😀x İI ﬁ'", "datetime.datetime(2024, 3, 31, 2, 30)", str(2**53 + 1)} <= cells
    times = [row[list(made["ov"].columns).index("ts")] for row in made["ov"].rows]
    assert len(set(times)) < len(times), "tied event times"
    assert all(not rows.unique or len(made[name].rows) for name, rows in INPUTS.items())
    assert all(reason for reason, _ in NARROW.values())
