"""`skewless materialize`, `compact` and `vacuum` as commands, on an applied view."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skewless.project import apply_plan, make_plan
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
    assert json.loads(done.stdout)["offline"][0]["inserted"] == 56 and "goes on" not in done.stdout
    assert project.current() == expected(rows)
    both = call(project, "materialize")
    assert both.returncode == 0 and "3 rows pushed" in both.stdout, both.stderr
    assert project.table().ledger()[-1].run_id.startswith("job-")

    compacted = call(project, "compact")
    assert compacted.returncode == 0 and "now 2" in compacted.stdout, compacted.stderr
    assert "deleted 0 files" in call(project, "vacuum").stdout
    assert json.loads(call(project, "vacuum", "--grace", "0s", "--json").stdout)[0]["deleted"] > 0
    assert project.current() == expected(rows)
    assert call(project, "materialize", "nothing").returncode == 3
    assert call(project, "materialize", "--from", "2026-01-01").returncode == 2
