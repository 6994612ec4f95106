"""The record of jobs: what was asked for, how far it is, what came of it. Queues and workers may be lost; this is not.

    submitted -> running -> complete, failed or cancelled
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import tables
from skewless.registry.store import Store

ACTIVE = ("submitted", "running")
STATUSES = (*ACTIVE, "complete", "failed", "cancelled")
TABLE = tables.jobs


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `progress` is between 0 and 1; `attempts` counts how often a worker has begun it."""

    id: str
    kind: str
    subject: str
    status: str
    progress: float
    arguments: dict[str, Any]
    result: dict[str, Any]
    error_code: str
    error: str
    note: str
    actor: str
    attempts: int
    idempotency_key: str | None
    submitted_at_us: int
    started_at_us: int | None
    finished_at_us: int | None


class Busy(SkewlessError):
    """SK409: another job of the subject is active. `job_id` is that one."""

    def __init__(self, other: Job) -> None:
        self.job_id = other.id
        super().__init__(
            "SK409", f"a job of {other.subject} is {other.status} already", detail=f"Its id is {other.id}.",
            hint=f"Wait for it, or cancel it: POST /jobs/{other.id}/cancel",
        )


class JobRecords:
    """The jobs of one project and target."""

    def __init__(self, config: Config) -> None:
        self.store = Store(config)

    def submit(
        self, kind: str, subject: str, arguments: dict[str, Any], *, actor: str = "", idempotency_key: str | None = None,
        job_id: str | None = None,
    ) -> tuple[Job, bool]:
        """The job, and whether it is new: one with the same idempotency key is given back as it is.

        Raises Busy (SK409) while another job of the subject is active, SK466 where the key was used for something else.
        """
        asked = json.dumps(arguments, sort_keys=True)
        with self.store.database.write() as connection:
            if idempotency_key is not None:
                before = self._select(connection, TABLE.c.idempotency_key == idempotency_key)
                if before:
                    return self._same(before[0], kind, subject, asked), False
            active = self._select(connection, TABLE.c.subject == subject, TABLE.c.status.in_(ACTIVE))
            if subject and active:
                raise Busy(active[0])
            id_ = job_id or str(uuid.uuid4())
            connection.execute(sa.insert(TABLE), [{
                "project": self.store.project, "target": self.store.target, "id": id_, "kind": kind, "subject": subject,
                "status": "submitted", "progress": 0.0, "arguments": asked, "result": "{}", "error": "", "error_code": "",
                "note": "", "actor": actor, "attempts": 0, "idempotency_key": idempotency_key, "submitted_at_us": now_us(),
                "started_at_us": None, "finished_at_us": None,
            }])
            return self._select(connection, TABLE.c.id == id_)[0], True

    def _same(self, before: Job, kind: str, subject: str, asked: str) -> Job:
        if (before.kind, before.subject, json.dumps(before.arguments, sort_keys=True)) != (kind, subject, asked):
            raise SkewlessError(
                "SK466", "the idempotency key was used for another request", detail=f"That was job {before.id}.",
                hint="Take a fresh key for each request, and the same one when you repeat it.",
            )
        return before

    def read(self, job_id: str) -> Job:
        """Raises SK404."""
        with self.store.database.read() as connection:
            found = self._select(connection, TABLE.c.id == job_id)
        if not found:
            raise SkewlessError("SK404", f'job "{job_id[:80]}" does not exist')
        return found[0]

    def all(self, *, limit: int = 100, status: tuple[str, ...] = STATUSES) -> list[Job]:
        """The newest jobs, newest first."""
        with self.store.database.read() as connection:
            return self._select(connection, TABLE.c.status.in_(status), limit=limit)

    def begin(self, job_id: str) -> Job | None:
        """A worker takes the job: it runs, one attempt more. None when it does not wait (taken, ended, gone)."""
        with self.store.database.write() as connection:
            found = self._select(connection, TABLE.c.id == job_id, TABLE.c.status == "submitted")
            if not found:
                return None
            values = {"status": "running", "attempts": found[0].attempts + 1, "started_at_us": now_us(), "note": ""}
            self._update(connection, job_id, values)
            return self._select(connection, TABLE.c.id == job_id)[0]

    def tell(self, job: Job, progress: float, note: str = "") -> bool:
        """How far this attempt is; false when it is no longer the one that counts."""
        return self._of_attempt(job, {"progress": progress, "note": note[:500]})

    def finish(self, job: Job, *, result: dict[str, Any] | None = None, error: SkewlessError | None = None) -> bool:
        """This attempt has ended; false when it is no longer the one that counts. SK463 means cancelled."""
        if error is None:
            values: dict[str, Any] = {"status": "complete", "progress": 1.0, "result": json.dumps(result or {})}
        else:
            status = "cancelled" if error.code == "SK463" else "failed"
            values = {"status": status, "error_code": error.code, "error": error.render()}
        return self._of_attempt(job, {**values, "note": "", "finished_at_us": now_us()})

    def give_back(self, job: Job) -> bool:
        """The attempt's worker is gone: the job waits for another one."""
        return self._of_attempt(job, {"status": "submitted", "note": "its worker died; it is done again"})

    def cancel(self, job_id: str) -> Job:
        """A job that waits is cancelled; of one that runs, its worker must be told. Raises SK404, SK464."""
        with self.store.database.write() as connection:
            found = self._select(connection, TABLE.c.id == job_id)
            if not found:
                raise SkewlessError("SK404", f'job "{job_id[:80]}" does not exist')
            if found[0].status not in ACTIVE:
                raise SkewlessError("SK464", f"the job has ended: {found[0].status}")
            if found[0].status == "submitted":
                error = cancelled()
                self._update(connection, job_id, {
                    "status": "cancelled", "error_code": error.code, "error": error.render(), "finished_at_us": now_us()})
            return self._select(connection, TABLE.c.id == job_id)[0]

    def _of_attempt(self, job: Job, values: dict[str, Any]) -> bool:
        with self.store.database.write() as connection:
            return self._update(connection, job.id, values, TABLE.c.attempts == job.attempts, TABLE.c.status == "running")

    def _update(self, connection: sa.Connection, job_id: str, values: dict[str, Any], *where: sa.ColumnElement[bool]) -> bool:
        done = connection.execute(sa.update(TABLE).where(*self._mine(), TABLE.c.id == job_id, *where).values(values))
        return done.rowcount == 1

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return TABLE.c.project == self.store.project, TABLE.c.target == self.store.target

    def _select(self, connection: sa.Connection, *where: sa.ColumnElement[bool], limit: int = 100) -> list[Job]:
        query = sa.select(TABLE).where(*self._mine(), *where).order_by(TABLE.c.submitted_at_us.desc(), TABLE.c.id).limit(limit)
        names = Job.__struct_fields__
        decoded = ("arguments", "result")
        return [
            Job(**{name: json.loads(row[name]) if name in decoded else row[name] for name in names})
            for row in connection.execute(query).mappings()
        ]


def cancelled() -> SkewlessError:
    """What a cancelled job says."""
    return SkewlessError("SK463", "the job was cancelled")
