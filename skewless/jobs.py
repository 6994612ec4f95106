"""Jobs: asked for here, done by `skewless worker`. RQ queues them on the online store's Redis; the registry is the record.

A queue that was lost is filled again from the record, and a job whose worker died is given to another one: `recover`. A worker
that lives renews its job's lease, `<namespace>:job:<id>:lease`; `<namespace>:job:<id>:cancel` tells it to stop.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import connect, speaking
from skewless.registry.jobs import ACTIVE, Job, JobRecords

PERFORM = "skewless.worker.perform"         # by name: who asks for a job does not import what does it
ATTEMPTS_MAX = 3
LEASE_S = 10
CANCEL_S = 7 * 86_400
MATERIALIZE, TRAINING_SET = "materialize", "training_set"


class Jobs:
    """The jobs of one project and target. Safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.records = JobRecords(config)

    def submit(self, kind: str, subject: str, arguments: dict[str, Any], **more: Any) -> Job:
        """Record and queue a job; `more` as in `JobRecords.submit`. Raises SK409, SK466.

        A queue that cannot be reached is no error: a worker finds the record.
        """
        job, new = self.records.submit(kind, subject, arguments, **more)
        if new:
            if kind == TRAINING_SET:
                self.records.store.record_dataset(
                    dataset_name(job), output_path="", manifest={}, status="pending", dataset_id=job.id)
            try:
                self.enqueue(job)
            except SkewlessError as error:
                if error.code != "SK600":
                    raise
        return job

    def enqueue(self, job: Job) -> None:
        """Put the job's next attempt in the queue. Raises SK600."""
        with speaking(self.config.online_store):
            self.queue.enqueue_call(
                PERFORM, args=(job.id,), job_id=attempt_id(job), timeout=-1, result_ttl=0, failure_ttl=3600,
                description=f"{job.kind} {job.subject}".strip(),
            )

    def cancel(self, job_id: str) -> Job:
        """Cancel a job that waits, or tell the worker of one that runs to stop it. Raises SK404, SK464, SK600."""
        job = self.records.cancel(job_id)
        with speaking(self.config.online_store):
            if job.status == "running":
                self.client.set(self.cancel_key(job_id), b"1", ex=CANCEL_S)
            else:
                self.queue.remove(attempt_id(job))
        return job

    def workers(self) -> int:
        """How many workers there are. Raises SK600."""
        from rq import Worker

        with speaking(self.config.online_store):
            return int(Worker.count(queue=self.queue))

    def recover(self) -> list[Job]:
        """Queue again what waits and is in no queue, and what ran on a worker that is gone. Raises SK600.

        After ATTEMPTS_MAX attempts a job has failed (SK462).
        """
        out = []
        with speaking(self.config.online_store):
            queued = set(self.queue.get_job_ids())
            for job in self.records.all(status=ACTIVE, limit=1_000):
                if job.status == "running":
                    if self.client.exists(self.lease_key(job.id)):
                        continue
                    if job.attempts >= ATTEMPTS_MAX:
                        given_up = SkewlessError("SK462", f"its worker died in each of {job.attempts} attempts")
                        self.records.finish(job, error=given_up)
                        continue
                    if not self.records.give_back(job):
                        continue
                elif attempt_id(job) in queued:
                    continue
                self.enqueue(job)
                out.append(job)
        return out

    def lease_key(self, job_id: str) -> str:
        """Where the worker of a job says that it lives."""
        return f"{self.config.namespace}:job:{job_id}:lease"

    def cancel_key(self, job_id: str) -> str:
        """Where the worker of a job looks whether it is to stop."""
        return f"{self.config.namespace}:job:{job_id}:cancel"

    @cached_property
    def client(self) -> Any:
        """A client of the online store. Raises SK600, SK601, SK602."""
        return connect(self.config)

    @cached_property
    def queue(self) -> Any:
        """RQ's queue of this project and target. Names and arguments are JSON, nothing is pickled."""
        from rq import Queue
        from rq.serializers import JSONSerializer

        return Queue(self.config.namespace, connection=self.client, serializer=JSONSerializer, default_timeout=-1)


def attempt_id(job: Job) -> str:
    """RQ's id of the job's attempt that is waiting."""
    return f"{job.id}-{job.attempts}"


def labels_of(config: Config, text: str) -> str:
    """The label frame that a request may name: `ref:<model>`, or a file below serve.labels_root. Raises SK467."""
    if text.startswith("ref:"):
        if not re.fullmatch(r"ref:[A-Za-z_]\w{0,200}", text):
            raise SkewlessError("SK467", f'"{text[:100]}" is not ref: and the name of a dbt model')
        return text
    root = (Path(config.root) / config.serve.labels_root).resolve()
    path = (root / text).resolve()
    if not path.is_relative_to(root):
        raise SkewlessError("SK467", f'"{text[:200]}" is outside of the folder for label frames',
                            hint="Name a file below it; serve.labels_root of skewless.yml says which folder it is.")
    return str(path)


def dataset_name(job: Job) -> str:
    """What a job's training set is called: the name asked for, made unique by the job's id."""
    name = job.arguments.get("name")
    return f"{name}-{job.id[:8]}" if name else job.id


def dataset_path(config: Config, job: Job) -> Path:
    """Where a job's training set is written."""
    return Path(config.root) / "datasets" / config.target / f"{dataset_name(job)}.parquet"
