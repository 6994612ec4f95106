"""`skewless materialize`, `compact` and `vacuum` as commands, on an applied view."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import pytest

from skewless.errors import SkewlessError
from skewless.project import apply_plan, make_plan, read_project
from skewless.warehouse.dbt import ensure_manifest
from skewless.warehouse.materialize import materialize
from tests.history_project import NOW, Project, expected


def skewless(project: Project, *args: str) -> list[str]:
    return [sys.executable, "-m", "skewless.cli", *args, "--project-dir", str(project.root)]


def call(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(skewless(project, *args), capture_output=True, text=True, timeout=300)


def test_a_killed_job_goes_on_with_the_windows_that_it_had_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    project = Project(tmp_path / "p", block=", chunk: 2d")
    rows = [(f"k{d % 3}", f"2026-0{1 + d // 28}-{1 + d % 28:02d}T05:00:00", d, None) for d in range(56)]
    project.rows(rows)
    apply_plan(project.config, make_plan(project.config).id)
    window = ("--from", "2026-01-01", "--to", "2026-03-01", "--stores", "offline")
    process = subprocess.Popen(skewless(project, "materialize", *window), stderr=subprocess.DEVNULL)
    log = project.table().path / "_delta_log"
    while process.poll() is None and len(list(log.glob("*.json"))) < 8:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)                   # dbt, its child, dies with it
    process.wait()
    before = [e for e in project.table().ledger() if e.kind == "window"]
    assert 0 < len(before) < 30
    done = call(project, "materialize", "events", *window, "--json")
    assert done.returncode == 0, done.stderr
    windows = [(e.window_start_us, e.window_end_us) for e in project.table().ledger() if e.kind == "window"]
    assert len(windows) == 30 == len(set(windows))
    assert json.loads(done.stdout)["offline"][0]["inserted"] == 56
    assert f"events@1 goes on: {len(before)} windows of this job are there already" in done.stderr
    assert project.current() == expected(rows)
    two = [subprocess.Popen(skewless(project, "materialize"), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted((p.communicate(timeout=300)[1], p.returncode) for p in two)
    assert [code for _, code in said] == [3, 0], said
    assert "error[SK505]: skewless materialize is running already" in said[0][0]
    both = call(project, "materialize", "--stores", "online")
    assert both.returncode == 0 and "0 rows pushed" in both.stdout, both.stderr
    assert project.table().ledger()[-1].run_id.startswith("job-")

    compacted = call(project, "compact")
    assert compacted.returncode == 0 and "now 2" in compacted.stdout, compacted.stderr
    assert "deleted 0 files" in call(project, "vacuum").stdout
    assert json.loads(call(project, "vacuum", "--grace", "0s", "--json").stdout)[0]["deleted"] > 0
    assert project.current() == expected(rows)
    assert call(project, "materialize", "nothing").returncode == 3
    assert call(project, "materialize", "--from", "2026-01-01").returncode == 2
    for wrong, code, word in (
        (["--stores", "offlien"], 2, "SK102"), (["--from", "2026-02-01", "--to", "2026-01-01"], 2, "SK102"),
        (["--from", "2026-13-01", "--to", "2026-14-01"], 2, "SK103"), (["events@9"], 3, 'Did you mean "events@1"?'),
    ):
        refused = call(project, "materialize", *wrong)
        assert refused.returncode == code and word in refused.stderr and "Traceback" not in refused.stderr


def test_what_dbt_cannot_do_is_said_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its database is open elsewhere; its profile has no such target; its artifacts lie elsewhere; its SQL fails."""
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    project = Project(tmp_path / "p")
    project.rows([("a", "2026-03-01", 1, 0.5)])
    project.write("dbt_project.yml", (project.root / "dbt_project.yml").read_text() + "target-path: artifacts\n")
    view = read_project(project.config).wanted.views[0]
    assert (project.root / "artifacts" / "manifest.json").exists() and not (project.root / "target").exists()
    with duckdb.connect(str(project.root / "dev.duckdb")), pytest.raises(SkewlessError, match="SK505.*dbt's database open"):
        materialize(project.config, [view])
    assert not project.table().exists()
    other = msgspec.structs.replace(project.config, target="prod")
    with pytest.raises(SkewlessError, match=r'SK911.*"tiny" has no target "prod"(.|\n)*It has dev\.(.|\n)*--target'):
        ensure_manifest(other, compiled=False)
    project.model("events", "select nothing as k from nowhere")
    with pytest.raises(SkewlessError, match=r"SK512.*events(.|\n)*nowhere") as failed:
        materialize(project.config, [view])
    assert "Traceback" not in failed.value.render() and 'File "' not in failed.value.render()
