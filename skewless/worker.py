"""Does the jobs: one process that waits, and for each job a process of its own that RQ forks from it.

The job's process renews its lease and looks every second whether it is to stop. It may be killed at any point: what it does
goes on where it was when another worker takes it up.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rq import Worker
from rq.serializers import JSONSerializer

from skewless.clock import parse_instant
from skewless.config import Config, read_config
from skewless.errors import SkewlessError
from skewless.jobs import LEASE_S, MATERIALIZE, TRAINING_SET, Jobs, dataset_name, dataset_path, labels_of
from skewless.registry.jobs import Job, cancelled

LOOK_S = 1.0
MAINTENANCE_S = 5
STOP_S = 10.0
TELL_S = 0.5
BUSY_S = 3600.0
OFFLINE_SHARE = 0.8                 # of a job that computes and pushes
Tell = Callable[[float, str], None]


class Cancelled(BaseException):
    """The job is to stop."""


class JobWorker(Worker):
    """RQ's worker, which also looks after jobs that lost theirs."""

    jobs: Jobs
    on_line: Callable[[str], None] = staticmethod(lambda line: None)

    def run_maintenance_tasks(self) -> None:
        super().run_maintenance_tasks()
        try:
            for job in self.jobs.recover():
                self.on_line(f"job {job.id} is queued again")
        except SkewlessError as error:
            self.on_line(str(error))

    def handle_work_horse_killed(self, job: Any, retpid: Any, ret_val: Any, rusage: Any) -> None:
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)
        self.jobs.client.delete(self.jobs.lease_key(job.args[0]))       # nobody renews it any more
        self.last_cleaned_at = None                                      # recover at the next turn


def work(config: Config, *, burst: bool = False, on_line: Callable[[str], None] = lambda line: None) -> None:
    """Does jobs until SIGTERM or SIGINT, then finishes the one in hand; a second signal ends that too, and it is done again.

    `burst`: only those that wait now. Raises SK600.
    """
    os.environ["SKEWLESS_PROJECT_DIR"], os.environ["SKEWLESS_TARGET"] = config.root, config.target
    jobs = Jobs(config)
    worker = JobWorker(
        [jobs.queue], connection=jobs.client, serializer=JSONSerializer, worker_ttl=4 * MAINTENANCE_S,
        maintenance_interval=MAINTENANCE_S, job_monitoring_interval=MAINTENANCE_S, log_job_description=False,
    )
    worker.jobs, worker.on_line = jobs, on_line
    on_line(f"worker {os.getpid()} waits for jobs of {config.namespace}")
    worker.work(burst=burst, logging_level="WARNING")


def perform(job_id: str) -> None:
    """Does one job, in the process that RQ made for it. What goes wrong is in the job's record."""
    config = read_config()
    jobs = Jobs(config)
    jobs.client.set(jobs.lease_key(job_id), b"1", ex=LEASE_S)
    job = jobs.records.begin(job_id)
    if job is None:
        return
    signal.signal(signal.SIGUSR1, _stop)
    lease = Lease(jobs, job)
    lease.start()
    say(job, "begins" if job.attempts == 1 else f"attempt {job.attempts}")
    result, error = _done(config, job, Progress(jobs, job))
    lease.end()
    counted = jobs.records.finish(job, result=result, error=error)
    if job.kind == TRAINING_SET and counted and error is not None:
        _failed_dataset(config, job, error)
    say(job, "complete" if error is None else error.render())


def _done(config: Config, job: Job, tell: Tell) -> tuple[dict[str, Any] | None, SkewlessError | None]:
    try:
        return KINDS[job.kind](config, job, tell), None
    except Cancelled:
        return None, cancelled()
    except SkewlessError as error:
        return None, error
    except Exception as error:          # no traceback reaches a user
        return None, SkewlessError("SK900", f"{type(error).__name__}: {error}"[:1000])


def _stop(*_: object) -> None:
    raise Cancelled


def say(job: Job, text: str) -> None:
    """One line on stderr."""
    print(f"job {job.id} {job.kind} {job.subject}: {text}", file=sys.stderr, flush=True)


class Lease(threading.Thread):
    """Says that the job's process lives, until `end`; stops it when it was cancelled or another attempt counts."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        super().__init__(daemon=True)
        self.jobs, self.job, self._ended = jobs, job, threading.Event()

    def run(self) -> None:
        key = self.jobs.lease_key(self.job.id)
        while not self._ended.wait(LOOK_S):
            try:
                self.jobs.client.set(key, b"1", ex=LEASE_S)
                told = self.jobs.client.exists(self.jobs.cancel_key(self.job.id))
            except Exception:           # the store is away; the record decides who counts
                continue
            if told:
                self._cancel()

    def end(self) -> None:
        """The job has ended."""
        self._ended.set()
        self.join()
        try:
            self.jobs.client.delete(self.jobs.lease_key(self.job.id), self.jobs.cancel_key(self.job.id))
        except Exception:               # both end by themselves
            pass

    def _cancel(self) -> None:
        """Asks the job's own thread to stop; what does not stop in time is killed, with the processes that it started."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        if self._ended.wait(STOP_S):
            return
        self.jobs.records.finish(self.job, error=cancelled())
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)


class Progress:
    """Keeps the record up to date, not more often than every TELL_S. Raises Cancelled when another attempt counts."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self.jobs, self.job, self._last = jobs, job, 0.0

    def __call__(self, progress: float, note: str) -> None:
        if time.monotonic() - self._last >= TELL_S:
            self._last = time.monotonic()
            if not self.jobs.records.tell(self.job, min(max(progress, 0.0), 1.0), note):
                raise Cancelled


# ---- what there is to do ----

def materialize_view(config: Config, job: Job, tell: Tell) -> dict[str, Any]:
    """Compute what is due of a view, or a window, and push it. Waits while another run has the project's database."""
    from skewless.registry.model import parse_ref
    from skewless.registry.store import Store

    asked = job.arguments
    ref = parse_ref(asked["view"])
    view = Store(config).require_applied().view(ref.view, ref.version)
    start, end = asked.get("start_date"), asked.get("end_date")
    window = (parse_instant(start), parse_instant(end)) if start and end else None
    target, out = asked["target"], dict[str, Any]()
    share = {"offline": 1.0, "online": 0.0, "both": OFFLINE_SHARE}[target]
    if target != "online":
        out["offline"] = _computed(config, view, window, lambda part, note: tell(part * share, note))
    if target != "offline":
        out["online"] = _pushed(config, view, lambda part, note: tell(share + part * (1 - share), note))
    return out


def _computed(config: Config, view: Any, window: tuple[int, int] | None, tell: Tell) -> list[dict[str, Any]]:
    from skewless.warehouse.materialize import materialize
    from skewless.warehouse.steps import Steps

    deadline = time.monotonic() + BUSY_S
    while True:
        steps = Steps()

        def on_line(line: str, steps: Steps = steps) -> None:
            step = steps.read(line)
            tell(step.done / step.total if step and step.total else 0.0, step.text) if step else None

        try:
            return [done.as_dict() for done in materialize(config, [view], window, on_line=on_line)]
        except SkewlessError as error:
            if error.code != "SK505" or time.monotonic() > deadline:
                raise
            tell(0.0, f"waits: {error.fact}")
            time.sleep(LOOK_S)


def _pushed(config: Config, view: Any, tell: Tell) -> dict[str, Any]:
    from skewless.sync.batch import sync

    skipped: list[str] = []

    def on_rows(done: int, total: int) -> None:
        tell(done / total if total else 1.0, f"{done} of {total} rows pushed")

    results = sync(config, [view], on_view=lambda _: on_rows, on_skip=lambda _, why: skipped.append(why))
    if skipped:
        return {"skipped": skipped[0]}
    return {name: getattr(results[0], name) for name in ("rows", "retracted", "ignored", "seconds")}


def make_training_set(config: Config, job: Job, tell: Tell) -> dict[str, Any]:
    """Join a label frame and features into a file of the project's `datasets` folder."""
    import msgspec

    from skewless.registry.store import Store
    from skewless.training.join import training_set

    asked, store = job.arguments, Store(config)
    path = dataset_path(config, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with training_set(
        config, store.require_applied(), labels_of(config, asked["labels"]), service=asked.get("feature_service"),
        features=asked.get("features"), label_timestamp=asked["label_timestamp"], mode=asked["mode"],
        statuses=asked["statuses"], full_names=asked["full_names"],
        on_step=lambda text, done, total: tell(0.9 * done / total, text),
    ) as made:
        manifest = made.to_parquet(path, record=False)
    store.record_dataset(
        path.stem, output_path=str(path), manifest=msgspec.to_builtins(manifest), row_count=manifest.rows,
        content_hash=manifest.content_hash, dataset_id=job.id,
    )
    return {"output_path": str(path), "row_count": manifest.rows, "content_hash": manifest.content_hash}


def _failed_dataset(config: Config, job: Job, error: SkewlessError) -> None:
    from skewless.registry.store import Store

    status = "cancelled" if error.code == "SK463" else "failed"
    Store(config).record_dataset(
        dataset_name(job), output_path="", manifest={}, status=status, error=error.render(), dataset_id=job.id)


KINDS: dict[str, Callable[[Config, Job, Tell], dict[str, Any]]] = {
    MATERIALIZE: materialize_view, TRAINING_SET: make_training_set,
}
