"""The routes of long work: materialize a view, make a training set, and what became of it.

They need the registry's database, unlike lookups: the record of jobs is there. A server without it answers SK456.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from skewless.clock import format_instant, parse_instant
from skewless.errors import SkewlessError
from skewless.serve.catalogue import find_view
from skewless.serve.replies import json_reply
from skewless.serve.requests import DOCS_HINT, check_references, decode, read_body

if TYPE_CHECKING:
    from skewless.jobs import Jobs
    from skewless.registry.jobs import Job

KEY_CHARS_MAX = 200
LISTED_MAX = 100
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
T = TypeVar("T")


class MaterializeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /feature-views/{id}/materialize. Without dates: what is due. `end_date` is exclusive."""

    start_date: str | None = None
    end_date: str | None = None
    target: Literal["offline", "online", "both"] = "both"


class TrainingRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /training-datasets."""

    labels: str
    feature_service: str | None = None
    features: list[str] | None = None
    label_timestamp: str = "label_timestamp"
    mode: Literal["as_of", "known_at"] = "as_of"
    statuses: bool = False
    full_names: bool = False
    name: str | None = None


async def materialize(request: Request) -> Response:
    """POST /feature-views/{id}/materialize: 202 with the job's id."""
    registry = request.app.state.live.current().registry
    view = find_view(registry, request.path_params["id"])
    wanted: MaterializeRequest = await body_of(request, MaterializeRequest, empty=True)
    check_window(wanted)
    arguments = {"view": view.ref, **msgspec.to_builtins(wanted)}
    key = idempotency_key(request)
    actor = request.scope.get("actor", "")

    def submit(jobs: Jobs) -> Job:
        return jobs.submit("materialize", view.ref, arguments, actor=actor, idempotency_key=key)

    job = await with_jobs(request, submit)
    return json_reply({"job_id": job.id, "status": job.status}, {"Location": f"/jobs/{job.id}"}, 202)


async def read_job(request: Request) -> Response:
    """GET /jobs/{id}."""
    return json_reply(await with_jobs(request, lambda jobs: job_document(jobs, jobs.records.read(request.path_params["id"]))))


async def cancel_job(request: Request) -> Response:
    """POST /jobs/{id}/cancel: what waits is cancelled at once, what runs is told to stop."""
    await read_body(request.scope, request.receive)
    done = await with_jobs(request, lambda jobs: job_document(jobs, jobs.cancel(request.path_params["id"])))
    return json_reply(done, None, 202)


async def make_dataset(request: Request) -> Response:
    """POST /training-datasets: 202 with the training set's id, which is also its job's."""
    from skewless.jobs import labels_of

    wanted: TrainingRequest = await body_of(request, TrainingRequest)
    live = request.app.state.live
    check_training(wanted, live.current().registry)
    labels_of(live.config, wanted.labels)
    key, actor = idempotency_key(request), request.scope.get("actor", "")

    def submit(jobs: Jobs) -> str:
        return jobs.submit("training_set", "", msgspec.to_builtins(wanted), actor=actor, idempotency_key=key).id

    id_ = await with_jobs(request, submit)
    return json_reply({"dataset_id": id_, "status": "pending"}, {"Location": f"/training-datasets/{id_}"}, 202)


async def list_datasets(request: Request) -> Response:
    """GET /training-datasets: the newest, newest first."""
    def read(jobs: Jobs) -> list[dict[str, Any]]:
        return [dataset_document(jobs, row, brief=True) for row in jobs.records.store.datasets(limit=LISTED_MAX)]

    return json_reply({"training_datasets": await with_jobs(request, read)})


async def read_dataset(request: Request) -> Response:
    """GET /training-datasets/{id}."""
    id_ = request.path_params["id"]

    def read(jobs: Jobs) -> dict[str, Any]:
        found = jobs.records.store.datasets(dataset_id=id_)
        if not found:
            raise SkewlessError("SK404", f'training set "{id_[:80]}" does not exist', hint="GET /training-datasets lists them.")
        return dataset_document(jobs, found[0])

    return json_reply(await with_jobs(request, read))


async def body_of(request: Request, shape: type[T], *, empty: bool = False) -> T:
    """The request's body in that shape; `empty`: none is an empty object. Raises SK400, SK413."""
    raw = await read_body(request.scope, request.receive)
    found: T = decode(b"{}" if empty and not raw.strip() else raw, msgspec.json.Decoder(shape))
    return found


async def with_jobs(request: Request, act: Callable[[Jobs], T]) -> T:
    """What `act` gives, in a thread, since a database is asked. Raises SK456 where this server has no registry."""
    state = request.app.state

    def run() -> T:
        try:
            from skewless.jobs import Jobs
        except ImportError as error:
            raise SkewlessError("SK456", "this server has no registry", detail=f"There is no module {error.name}.",
                                hint="Ask a server that is installed with skewless[warehouse].") from None
        if not hasattr(state, "jobs"):
            state.jobs = Jobs(state.live.config)
        return act(state.jobs)

    return await asyncio.to_thread(run)


def check_window(wanted: MaterializeRequest) -> None:
    """Raises SK400, SK103."""
    if (wanted.start_date is None) != (wanted.end_date is None):
        raise SkewlessError("SK400", "give both start_date and end_date, or none", hint=DOCS_HINT)
    if wanted.start_date is not None and wanted.end_date is not None:
        if parse_instant(wanted.start_date) >= parse_instant(wanted.end_date):
            raise SkewlessError("SK400", "start_date is not before end_date", hint="end_date is exclusive.")
        if wanted.target == "online":
            raise SkewlessError("SK400", "target online pushes what was computed, so it takes no dates", hint=DOCS_HINT)


def check_training(wanted: TrainingRequest, registry: Any) -> None:
    """What can be refused before a worker looks. Raises SK400, SK404, SK413."""
    from skewless.registry.model import parse_ref, select

    if (wanted.feature_service is None) == (not wanted.features):
        raise SkewlessError("SK400", 'a request names "feature_service" or "features", one of the two', hint=DOCS_HINT)
    if wanted.feature_service is not None:
        registry.service(wanted.feature_service)
    else:
        check_references(wanted.features or [])
        select(registry, tuple(parse_ref(text) for text in wanted.features or ()), full_names=wanted.full_names)
    if wanted.name is not None and not NAME.fullmatch(wanted.name):
        raise SkewlessError("SK400", "the name is not made of letters, digits, dots, dashes and underscores", hint=DOCS_HINT)


def idempotency_key(request: Request) -> str | None:
    """The header Idempotency-Key. Raises SK400 for one that is empty or too long."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= KEY_CHARS_MAX:
        raise SkewlessError("SK400", f"Idempotency-Key has 1 to {KEY_CHARS_MAX} characters")
    return key


def job_document(jobs: Jobs, job: Job) -> dict[str, Any]:
    """A job as JSON."""
    note = job.note
    with suppress(SkewlessError):       # the online store is away; the record is here
        if job.status == "submitted" and not note and not jobs.workers():
            note = "no worker is running: skewless worker"
    return {
        "job_id": job.id, "kind": job.kind, "subject": job.subject, "status": job.status, "progress": round(job.progress, 4),
        "note": note, "arguments": job.arguments, "result": job.result or None,
        "error": {"code": job.error_code, "detail": job.error} if job.error_code else None, "attempts": job.attempts,
        "submitted_at": format_instant(job.submitted_at_us), "started_at": _instant(job.started_at_us),
        "finished_at": _instant(job.finished_at_us),
    }


def dataset_document(jobs: Jobs, row: dict[str, Any], *, brief: bool = False) -> dict[str, Any]:
    """A training set as JSON; `brief` leaves the manifest out. While it is made, its job says how far it is."""
    status, progress, error = row["status"], None, row["error"]
    if status in ("pending", "running"):
        job = jobs.records.read(row["id"])
        progress = round(job.progress, 4)
        status = {"submitted": "pending", "complete": "running"}.get(job.status, job.status)
        error = job.error
    out = {
        "dataset_id": row["id"], "name": row["name"], "status": status, "progress": 1.0 if status == "complete" else progress,
        "output_path": row["output_path"] or None, "row_count": row["row_count"], "content_hash": row["content_hash"] or None,
        "error": error or None, "created_at": format_instant(row["created_at_us"]),
    }
    return out if brief else {**out, "manifest": row["manifest"] or None}


def _instant(at_us: int | None) -> str | None:
    return None if at_us is None else format_instant(at_us)
