"""plan, apply and status on a real dbt project, a real lake and a real Valkey."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless import embedded
from skewless.config import Config, read_config
from skewless.errors import SkewlessError
from skewless.online import connect
from skewless.project import Project as ProjectState
from skewless.project import apply_plan, make_plan, measured_delay_us, percentile_of_spans, read_project
from skewless.registry import snapshot
from skewless.registry.store import Store
from skewless.status import freshness, read_status
from skewless.warehouse.dbt import ensure_manifest
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.ledger import LedgerEntry
from tests.history_project import MODEL, NOW, Project
from tests.registries import view

ROWS = [("a", "2026-03-01T10:00:00", 1, 0.5), ("b", "2026-03-09T10:00:00", 2, None)]


def command(project: Project, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [sys.executable, "-m", "skewless.cli", *args, "--project-dir", str(project.root)],
        capture_output=True, text=True, env={**os.environ, "SKEWLESS_CLOCK": NOW},
    )
    assert run.returncode == code, run.stderr + run.stdout
    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    made = Project(tmp_path / "p")
    made.rows(ROWS)
    yield made
    embedded.release(made.config)


def test_the_commands(project: Project) -> None:
    """plan prints the tree, apply takes its id, dbt runs, status shows it all."""
    config = project.config
    tree = command(project, "plan").stdout
    assert "+ events@1" in tree
    plan_id = tree.split("skewless apply ")[1].strip()
    assert "snapshot" in command(project, "apply", plan_id).stderr
    registry = Store(config).applied()
    assert [v.ref for v in registry.views] == ["events@1"]
    assert snapshot.load(connect(config), config.namespace) == registry
    assert project.table().applied_hash() == registry.views[0].definition_hash
    assert project.run().ok
    found = json.loads(command(project, "status", "--json").stdout)
    assert (found["snapshot"], found["trouble"]) == ("current", "")
    assert [(v["state"], v["rows"], v["complete_through"]) for v in found["views"]] == [("applied", 2, NOW)]
    assert found["views"][0]["newest_event"] == "2026-03-09T10:00:00Z" and found["views"][0]["behind"] is True
    shown = command(project, "status")
    assert "2026-03-10 12:00" in shown.stdout and "skewless sync" in shown.stderr


def test_plans_in_a_row(project: Project) -> None:
    """An id twice, an additive change, a redefinition, a breaking change, plans that are out of date."""
    config = project.config
    state = read_project(config)
    first = make_plan(config, state)
    assert not apply_plan(config, first.id, project=state).again
    assert not make_plan(config, state).changes
    connect(config).flushall()   # the online store is lost; the same id publishes again
    assert apply_plan(config, first.id, project=state).again
    assert snapshot.load(connect(config), config.namespace) == Store(config).applied()
    refused(config, "0123456789ab", state, "SK252", "mistyped")

    wider = MODEL.replace("a, x", "a, x, a * 2 as twice")
    add_twice(project, wider)
    second = read_project(config)
    refused(config, first.id, second, "SK252", "changed since")
    plan = make_plan(config, second)
    assert [c.kind for c in plan.changes] == ["changed"]
    apply_plan(config, plan.id, project=second)
    assert [len(s.names) for s in Store(config).applied().views[0].past_schemas] == [2]
    refused(config, first.id, second, "SK252", "changed since")

    assert project.run().ok and project.table().complete_through_us()
    add_twice(project, wider.replace("a, x,", "a + 1 as a, x,"))
    third = read_project(config)
    plan = make_plan(config, third)
    assert [c.breaks for c in plan.changes] == [{"definition"}]
    refused(config, plan.id, third, "SK254", "--redefine")
    apply_plan(config, plan.id, project=third, redefine=True)
    assert project.table().complete_through_us() is None
    assert apply_plan(config, plan.id, project=third).again

    refused(config, make_plan(config, state).id, state, "SK254", "Add a version", redefine=True)


def refused(config: Config, plan_id: str, state: ProjectState, code: str, text: str, *, redefine: bool = False) -> None:
    with pytest.raises(SkewlessError) as error:
        apply_plan(config, plan_id, project=state, redefine=redefine)
    assert error.value.code == code and text in error.value.render(), error.value.render()


def test_an_interrupted_apply_is_finished_by_the_same_id(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    config = project.config
    state = read_project(config)
    plan = make_plan(config, state)
    with monkeypatch.context() as broken, pytest.raises(SkewlessError, match="SK60"):
        broken.setenv("SKEWLESS_ONLINE_STORE", "redis://127.0.0.1:1")
        apply_plan(project.config, plan.id, project=state)
    assert Store(config).applied().views
    assert apply_plan(config, plan.id, project=state).again
    assert snapshot.load(connect(config), config.namespace) == Store(config).applied()


def add_twice(project: Project, sql: str) -> None:
    project.model("events", sql)
    path = project.root / "models" / "events.yml"
    path.write_text(path.read_text() + "      - {name: twice, data_type: bigint}\n")


def test_errors_stop_a_plan_and_are_all_shown(project: Project) -> None:
    project.model("events", MODEL, block=", ttl: soon, beginn: 2026-01-01")
    refused = command(project, "plan", code=2)
    assert "SK110" in refused.stderr and "SK111" in refused.stderr and refused.stdout == ""


def _apply(root: str, manifest: dict[str, Any], plan_id: str, answers: multiprocessing.Queue[str]) -> None:
    config = read_config(root)
    try:
        done = apply_plan(config, plan_id, project=read_project(config, manifest))
        answers.put("again" if done.again else "done")
    except SkewlessError as error:
        answers.put(error.code)


def test_several_applies_at_once_end_in_one_event(project: Project) -> None:
    config = project.config
    manifest = ensure_manifest(config)
    plan = make_plan(config, read_project(config, manifest))
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_apply, args=(config.root, manifest, plan.id, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    found = sorted(answers.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(120)
    assert found.count("done") == 1 and set(found) <= {"done", "again", "SK253"}, found
    store = Store(config)
    assert [e["subject"] for e in store.events()] == [plan.id]
    assert snapshot.load(connect(config), config.namespace) == store.applied()


def test_the_delay_is_measured_by_the_ledger(tmp_path: Path) -> None:
    config = Config(root=str(tmp_path), project="tiny")
    table = LakeTable(config.lake_root, view("events"))
    assert measured_delay_us(config, table.view) is None
    table.create()
    hour = 3600 * 10**6

    def window(run_id: str, start: int, end: int, delay: int) -> None:
        table.commit(LedgerEntry(
            kind="window", run_id=run_id, window_start_us=start, window_end_us=end, r_us=end + delay, definition_hash="d0"))

    window("first", 0, 1000 * hour, 5000 * hour)   # loads the past
    assert measured_delay_us(config, table.view) is None
    window("second", 976 * hour, 1002 * hour, hour)   # one day of overlap, two new hours, an hour late
    assert measured_delay_us(config, table.view) == round(hour + 2 * hour * 0.99)


def test_percentiles_of_spans() -> None:
    assert percentile_of_spans([], 0.99) is None
    assert percentile_of_spans([(0, 100), (0, 100)], 0.5) == 50
    assert percentile_of_spans([(0, 100), (900, 1000)], 0.75) == 950


def test_freshness_counts_its_bounds_as_kept() -> None:
    timed = view("x", warn_after_us=10, error_after_us=20)
    assert [freshness(timed, lag) for lag in (None, 10, 11, 20, 21)] == ["empty", "ok", "warn", "warn", "error"]
    assert freshness(view("x"), 10**15) == "none"


def test_status_without_an_online_store_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    project.write("skewless.yml", "project: tiny\nonline_store: redis://127.0.0.1:1\n")
    found = read_status(project.config)
    assert found.snapshot == "unknown" and "127.0.0.1:1" in found.trouble and found.views == ()
