"""The feature_view materialization through real dbt commands on a small project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from skewless.clock import parse_instant
from skewless.errors import SkewlessError
from skewless.warehouse.dbt import command, environment, require
from tests.history_project import MODEL, NOW, Project, current, expected, fetch

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
    (project.root / "dev.duckdb").unlink()                # the database file is disposable
    assert project.run(now="2026-03-11T12:00:00Z").ok
    after = project.table().snapshot()
    assert after.files == before.files and after.position.version == before.position.version + 1
    last = after.entries[-1]
    assert (last.rows_inserted, last.rows_corrected, last.rows_retracted) == (0, 0, 0)
    assert fetch(f"select count(*) from {project.table().relation('versions')}") == [(3,)]
    project.rows([*ROWS[:2], ("a", "2026-03-10T01:00:00", 30, None)])
    window = ["--event-time-start", "2026-03-10", "--event-time-end", "2026-03-11"]
    assert project.run(*window, now="2026-03-12T00:00:00Z").ok
    entry = project.table().ledger()[-1]
    assert (entry.window_start_us, entry.window_end_us) == (parse_instant("2026-03-10"), parse_instant("2026-03-11"))
    assert entry.rows_corrected == 1


def test_a_view_over_a_view_a_failed_upstream_and_the_relations(project: Project) -> None:
    project.model("second", "select k, event_timestamp, a + 1 as a, x from {{ ref('events') }} "
                            "where {{ skewless.input_window('event_timestamp') }}\n")
    project.write("models/checks.sql", """{{ config(materialized='table') }}
select (select count(*) from main.events__versions) v, (select sum(rows_in) from main.events__ledger) n
-- {{ ref('second') }}
""")
    run = project.run(command="build")
    assert run.ok, "\n".join(run.lines)
    second = current(project.table(name="second", storage="second"))
    assert [row[2] for row in second] == [2, 4, 3]
    (project.root / "dev.duckdb").unlink()
    project.rows([*ROWS, ("z", "2026-03-10", None, 1.0), ("z", "2026-03-10", 5, 1.0)])
    run = project.run("--select", "second checks")        # the upstream relation comes from the lake at run start
    assert run.ok, "\n".join(run.lines)
    run = project.run()
    assert not run.ok and [r["status"] for r in run.run_results["results"]][1:] == ["error", "skipped", "skipped"]
    with pytest.raises(SkewlessError, match="SK502") as caught:
        require(run, "dbt run")
    assert "z" in caught.value.detail and caught.value.hint.startswith("Make the model")
    assert current(project.table(name="second", storage="second")) == second


def test_empty_and_sample_write_nothing_a_renamed_model_keeps_its_history_full_refresh_starts_over(project: Project) -> None:
    for flags in (["--empty"], ["--sample", "3 days"]):
        run = project.run(*flags)
        assert run.ok and not project.table().exists(), "\n".join(run.lines)
    assert project.run().ok
    for suffix in ("sql", "yml"):
        (project.root / "models" / f"events.{suffix}").unlink()
    project.model("happenings", MODEL, block=", name: events")
    assert project.run().ok
    assert project.current() == expected(ROWS)
    assert project.table().ledger()[-1].rows_inserted == 0
    before = project.table().position()
    run = project.run("--full-refresh")                   # a draft starts over; once applied, it is only said
    assert run.ok and project.table().position().table_id != before.table_id and project.current() == expected(ROWS)
    kept = project.table()
    kept.mark_applied(kept.ledger()[-1].definition_hash)
    run = project.run("--full-refresh")
    assert run.ok and project.table().position().table_id == kept.position().table_id, "\n".join(run.lines)
    assert any("is applied: --full-refresh keeps its history" in line for line in run.lines)


def test_two_dbt_processes_at_once_never_mix(project: Project) -> None:
    profile = (project.root / "profiles.yml").read_text()
    project.write("profiles.yml", profile.replace("dev.duckdb", "\"{{ env_var('DATABASE', 'dev') }}.duckdb\""))
    project.rows([("a", f"2026-0{1 + d // 28}-{1 + d % 28:02d}", d, None) for d in range(60)])
    running = [_start(project, {"DATABASE": name, "DBT_TARGET_PATH": f"target-{name}"}) for name in ("one", "two")]
    codes = [p.wait(timeout=120) for p in running]
    assert 0 in codes
    rows = project.current()
    assert len(rows) == 60 == len(set(rows))
    assert fetch(f"select count(*) from {project.table().relation('versions')}") == [(60,)]


def _start(project: Project, env: dict[str, str]) -> subprocess.Popen[bytes]:
    config = project.config
    return subprocess.Popen(
        command(config, ["run"]), cwd=config.root, env=environment(config, {"SKEWLESS_CLOCK": NOW, **env}),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
