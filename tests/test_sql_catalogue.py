"""The checker's verdict on each of the catalogue's 630 constructs; where it differs from the measurement, the case says why."""

from __future__ import annotations

import re

import pytest

from skewless.sql.analysis import analyse
from tests.portable_cases import Case, cases

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[f"{c.id}-{c.name}" for c in CASES])
def test_the_verdict_is_the_catalogue_s_or_explained(case: Case) -> None:
    analysis = analyse(case.query, dialect="duckdb", inputs=case.inputs())
    met = [h.rule.id for h in analysis.hits if h.rule.action == analysis.action]
    assert analysis.action in case.actions, met
    for finding in analysis.findings:
        assert finding.message and finding.hint and finding.line == 1
        assert not re.search(r"{[a-z]+}", finding.message + finding.hint)


def written_out(case: Case) -> str:
    """The query after every fix that the findings propose, again and again."""
    sql = case.query
    for _ in range(6):
        fixes = [f for f in analyse(sql, dialect="duckdb", inputs=case.inputs()).findings if f.fix is not None]
        if not fixes:
            return sql
        last = max(fixes, key=lambda f: f.start)   # from the end, so that the places of the others stay
        assert last.end is not None and last.fix is not None
        sql = sql[:last.start] + last.fix + sql[last.end:]
    raise AssertionError(f"fixes never end: {sql}")


FIXED = [c for c in CASES if "fix" in c.actions and analyse(c.query, dialect="duckdb", inputs=c.inputs()).action == "fix"]


@pytest.mark.parametrize("case", FIXED, ids=[f"{c.id}-{c.name}" for c in FIXED])
def test_the_proposed_text_is_portable(case: Case) -> None:
    sql = written_out(case)
    after = analyse(sql, dialect="duckdb", inputs=case.inputs())
    assert after.action in ("allow", "lower"), (sql, [f.message for f in after.findings])


def test_the_cases_are_complete_and_each_difference_is_explained() -> None:
    assert [c.id for c in CASES] == list(range(1, 631))
    assert all(bool(c.why) == bool(c.ours) for c in CASES)
    useless = [c.id for c in CASES if c.ours and c.ours in Case(c.id, c.group, c.name, c.catalogue, c.sql).actions]
    assert not useless, "these cases do not differ"


def test_how_much_of_the_catalogue_is_allowed_or_rewritten() -> None:
    share = sum(analyse(c.query, dialect="duckdb", inputs=c.inputs()).verdict != "refuse" for c in CASES)
    assert share >= 446
