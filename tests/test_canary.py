"""The reproducibility canary through `skewless.warehouse.canary.run`, with real dbt."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.warehouse import canary
from tests.history_project import NOW, Project, view

WINDOWED = """select k, seen as event_timestamp, count(*) over last_day as a, cast(null as double) as x
from read_parquet('{{ env_var("SKEWLESS_PROJECT_DIR") }}/events.parquet')
where {{ skewless.input_window('seen') }}
window last_day as (partition by k order by seen range between interval 24 hours preceding and current row)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    made = Project(tmp_path / "p", block=", input_lookback: 1d")
    made.rows([("a", f"2026-03-{day:02d}T{hour:02d}:00:00", 1, 1.0) for day in range(1, 10) for hour in range(0, 24, 2)])
    return made


def test_reproducible_sql_passes_and_writes_nothing(project: Project) -> None:
    project.model("events", WINDOWED, block=", input_lookback: 1d")
    assert canary.run(project.config, view()) == []
    assert not project.table().exists()


def test_a_lookback_that_is_too_short_and_sql_that_is_random_are_found(project: Project) -> None:
    project.model("events", WINDOWED, block=", input_lookback: 1h")
    found = canary.run(project.config, view())
    assert [f.code for f in found] == ["SK508"] and "cut at other instants" in found[0].fact
    hardly = WINDOWED.replace("cast(null as double)", "1 + 1e-9 * random()")
    project.model("events", hardly, block=", input_lookback: 1d", x_meta=", config: {meta: {skewless: {approximate: 1e-6}}}")
    assert canary.run(project.config, view()) == []
    project.model("events", WINDOWED.replace("cast(null as double)", "random()"), block=", input_lookback: 1d")
    assert {f.fact.split(" ", 1)[1][:8] for f in canary.run(project.config, view())} == {"computed", "gives di"}
