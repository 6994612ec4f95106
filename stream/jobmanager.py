"""A JobManager over REST: what its jobs do, and their end."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from skewless.errors import SkewlessError
from skewless.stream.fact import short

CALL_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 300.0
_POLL_SECONDS = 0.1
ALIVE = ("INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING", "FAILING")
"""States of a job that works, or will again without anybody's help."""
_LATE = ".numLateRecordsDropped"        # of a window, and of an OVER
_UNKNOWN = "FlinkJobNotFoundException"
_EXCEPTION = re.compile(r"(<Exception on server side: *)?[\w.$]+(Exception|Error): ")
_JOBS, _OVERVIEW = _LISTS = "/jobs", "/jobs/overview"
ENDED = ("FAILED", "CANCELED", "FINISHED", "SUSPENDED")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: where it lies, and when it was begun."""

    path: str
    at_us: int


class JobManager:
    """The JobManager at a base URL. Every method raises SK842 where it does not answer, SK847 where something else does."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def jobs(self) -> list[tuple[str, str, str]]:
        """(id, name, state) of every job that it knows."""
        return [(str(job["jid"]), str(job["name"]), str(job["state"])) for job in self._known(_OVERVIEW)]

    def state(self, job_id: str) -> str:
        """What a job does, in Flink's word; "" when the JobManager does not know it."""
        return next((str(job["status"]) for job in self._known(_JOBS) if job["id"] == job_id), "")

    def works(self, job_id: str) -> bool:
        """Whether every part of the job runs."""
        found = self._call("GET", f"/jobs/{job_id}") or {}
        return found.get("state") == "RUNNING" and all(v["status"] == "RUNNING" for v in found.get("vertices", []))

    def trouble(self, job_id: str) -> str:
        """Why the job failed last, in one sentence; "" when it never did."""
        found = self._call("GET", f"/jobs/{job_id}/exceptions") or {}
        entries = (found.get("exceptionHistory") or {}).get("entries") or []
        return _reason(str(entries[0].get("stacktrace") or "")) if entries else ""

    def checkpoint(self, job_id: str) -> Checkpoint | None:
        """The newest complete checkpoint that the job made."""
        found = ((self._call("GET", f"/jobs/{job_id}/checkpoints") or {}).get("latest") or {}).get("completed")
        return _checkpoint(found)

    def last_state(self, job_id: str) -> Checkpoint | None:
        """What the job left: its newest complete checkpoint, or, where it ended in good order, the savepoint that ended it."""
        latest = (self._call("GET", f"/jobs/{job_id}/checkpoints") or {}).get("latest") or {}
        found = (latest.get("savepoint") if self.state(job_id) == "FINISHED" else None) or latest.get("completed")
        return _checkpoint(found)

    def restored(self, job_id: str) -> str:
        """The checkpoint or savepoint that the job went on from last; "" for one without state, or where it is not known yet."""
        latest = (self._call("GET", f"/jobs/{job_id}/checkpoints") or {}).get("latest") or {}
        return str((latest.get("restored") or {}).get("external_path") or "")

    def late(self, job_id: str) -> int | None:
        """How many events the job's windows did not take because their time had passed, since it began to run; None where the
        JobManager does not know. It asks its TaskManagers every ten seconds."""
        found = None
        for vertex in (self._call("GET", f"/jobs/{job_id}") or {}).get("vertices", []):
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [str(metric["id"]) for metric in self._answer("GET", path) or []]
            late = [quote(name, safe="") for name in names if name.endswith(_LATE)]
            for metric in (self._answer("GET", f"{path}?agg=sum&get={','.join(late)}") or []) if late else []:
                found = (found or 0) + int(metric["sum"])
        return found

    def stop(self, job_id: str, folder: str) -> str:
        """Ends a job with a savepoint in that folder (a URI); the savepoint. No window is fired before its time. Raises SK844."""
        body = {"drain": False, "targetDirectory": folder, "formatType": "CANONICAL"}
        asked = self._call("POST", f"/jobs/{job_id}/stop", body)
        if asked is None:
            raise _no_savepoint("the cluster does not know the job")
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline:
            found = self._call("GET", f"/jobs/{job_id}/savepoints/{asked['request-id']}") or {}
            if (found.get("status") or {}).get("id") == "COMPLETED":
                operation = found.get("operation") or {}
                if operation.get("location"):
                    return str(operation["location"])
                raise _no_savepoint(_reason(str((operation.get("failure-cause") or {}).get("stack-trace") or "")))
            time.sleep(_POLL_SECONDS)
        raise _no_savepoint(f"none within {STOP_SECONDS_MAX:.0f} s")

    def cancel(self, job_id: str) -> None:
        """Ends a job as it is; its checkpoints stay. Returns when it has ended. Raises SK844."""
        if self._call("PATCH", f"/jobs/{job_id}?mode=cancel") is None:
            return
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while self.state(job_id) not in ("", *ENDED):
            if time.monotonic() > deadline:
                raise SkewlessError("SK844", f"the job {job_id} does not end within {STOP_SECONDS_MAX:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _known(self, path: str) -> list[dict[str, Any]]:
        """The jobs of a list. Whatever else answers at the URL must not look like a JobManager without jobs: raises SK847."""
        jobs = (self._call("GET", path) or {}).get("jobs")
        if not isinstance(jobs, list):
            raise self._strange("GET", path, "It names no list of jobs.")
        return jobs

    def _strange(self, method: str, path: str, said: str) -> SkewlessError:
        return SkewlessError(
            "SK847", f"what answers at {self.url} is not a JobManager's REST API: {method} {path}", detail=said,
            hint="Name the JobManager's own address in skewless.yml, not the SQL Gateway's: flink: {jobmanager: http://…:8081}",
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The object that it answers; None when there is no such job, or it has ended. Raises SK842, SK847."""
        found = self._answer(method, path, body)
        if found is not None and not isinstance(found, dict):
            raise self._strange(method, path, "It is no JSON object.")
        return found

    def _answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What it answers; None when there is no such job, or it has ended. Raises SK842, SK847."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS_MAX) as answer:
                text = answer.read() or b"{}"
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            if path not in _LISTS and _of_flink(said) and (error.code in (404, 409) or _UNKNOWN in said):
                return None
            if error.code in (404, 405, 409):
                raise self._strange(method, path, f"It says {error.code} {error.reason}.") from None
            raise SkewlessError("SK842", f"the JobManager at {self.url} refuses {method} {path}", detail=_reason(said)) from None
        except (OSError, HTTPException) as error:
            raise SkewlessError(
                "SK842", f"no JobManager answers at {self.url}", detail=f"{error}.",
                hint="Start Flink, or name it in skewless.yml: flink: {jobmanager: http://…}",
            ) from None
        found = _decoded(text)
        if found is None:
            raise self._strange(method, path, "It is no JSON.")
        return found


def _of_flink(said: str) -> bool:
    """Whether the text of an error is Flink's, and not that of something between."""
    found = _decoded(said)
    return isinstance(found, dict) and isinstance(found.get("errors"), list)


def _decoded(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _checkpoint(found: dict[str, Any] | None) -> Checkpoint | None:
    return Checkpoint(str(found["external_path"]), int(found["trigger_timestamp"]) * 1000) if found else None


def _reason(text: str) -> str:
    """The innermost cause of a Java stack."""
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    named = [line for line in lines if _EXCEPTION.match(line)]
    return short("\n".join(causes or named or lines[:1])) if lines else "no reason given"


def _no_savepoint(reason: str) -> SkewlessError:
    return SkewlessError(
        "SK844", f"the job does not stop with a savepoint: {reason}",
        hint="End it as it is, with its newest checkpoint: skewless stream stop --cancel VIEW",
    )
