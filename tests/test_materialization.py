"""The feature_view materialization through real dbt commands on a small project."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.history_project import NOW, Project, expected, fetch

ROWS = [
    ("a", "2026-01-05T01:00:00", 1, 0.5), ("b", "2026-02-05", 2, -0.0), ("a", "2026-03-10T01:00:00", 3, None),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "p")
    made.rows(list(ROWS))
    return made


def test_a_plain_run_writes_the_whole_history_in_windows_and_a_second_one_writes_no_file(project: Project) -> None:
    run = project.run()
    assert run.ok, "\n".join(run.lines)
    assert project.current() == expected(ROWS)
    before = project.table().snapshot()
    assert [e.rows_inserted for e in before.entries if e.kind == "window"] == [1, 1, 1]
    assert project.run(now="2026-03-11T12:00:00Z").ok
    after = project.table().snapshot()
    assert after.files == before.files and after.position.version == before.position.version + 1
    last = after.entries[-1]
    assert (last.rows_inserted, last.rows_corrected, last.rows_retracted) == (0, 0, 0)
    assert fetch(f"select count(*) from {project.table().relation('versions')}") == [(3,)]
    assert NOW
