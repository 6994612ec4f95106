"""Where a stream stands: its job, its newest checkpoint, what it has not read yet, what the consumer has not taken yet."""

from __future__ import annotations

import msgspec

from skewless import messages
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.registry.stream_jobs import StreamJob
from skewless.stream.jobmanager import ALIVE, JobManager
from skewless.stream.tables import FUTURE_MS_MAX
from skewless.stream.topics import Topics


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A topic and who reads it: the next offset of each partition, where the reader goes on, and how many messages lie between.

    A reader of events commits with each checkpoint of its job.
    """

    topic: str
    end: dict[int, int]
    committed: dict[int, int]
    lag: int


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. `job_state` is Flink's word, "" for a job that the cluster does not know, `?` where it does not answer."""

    view: str
    topic: str
    state: str
    job_id: str = ""
    job_state: str = ""
    fingerprint: str = ""
    gateway: str = ""
    submitted_at_us: int | None = None
    stopped_at_us: int | None = None
    checkpoint: str = ""
    checkpoint_at_us: int | None = None
    savepoint: str = ""
    start: dict[str, object] = {}
    events: tuple[Reading, ...] = ()
    rows: Reading | None = None
    complete_through_us: int | None = None
    newest_event_us: int | None = None
    lag_us: int | None = None
    freshness: str = "empty"
    trouble: str = ""


def read_position(
    view: View, namespace: str, stream: StreamJob | None, manager: JobManager | None, topics: Topics | None, *, trouble: str = ""
) -> Position:
    """The position now. What does not answer is part of the answer (`trouble`), not an error."""
    found: dict[str, object] = {"view": view.ref, "topic": messages.topic(namespace, view), "state": "not submitted"}
    said = [trouble] if trouble else []
    if stream is not None:
        found |= {
            "state": stream.state, "job_id": stream.job_id, "fingerprint": stream.fingerprint, "gateway": stream.gateway,
            "submitted_at_us": stream.submitted_at_us, "stopped_at_us": stream.stopped_at_us, "checkpoint": stream.checkpoint,
            "savepoint": stream.savepoint, "start": stream.start, "job_state": "" if manager else "?",
        }
        try:
            found |= _job(stream, manager) if manager else {}
        except SkewlessError as error:
            found["job_state"] = "?"
            said.append(error.fact)
    try:
        found |= _readings(view, namespace, topics) if topics else {}
    except SkewlessError as error:
        said.append(error.fact)
    of_job = str(found.pop("trouble_of_job", "")) or (stream.error if stream and found.get("job_state") != "RUNNING" else "")
    said += [of_job] if of_job else []
    return msgspec.convert({**found, "trouble": "; ".join(said)}, Position)


def start_ms(view: View, complete_through_us: int | None) -> int | None:
    """From which arrival on a job without state reads its topics (ms since 1970), so that each row after complete_through is as
    the batch computes it; None: from the earliest.

    What happened after t arrived after t - 5 s at the earliest.
    """
    assert view.stream is not None
    if complete_through_us is None or view.stream.only:
        return None
    lateness_us = max((s.lateness_us for s in view.stream.sources), default=0)
    return max(0, (complete_through_us - view.input_lookback_us - lateness_us) // 1000 - FUTURE_MS_MAX)


def _job(stream: StreamJob, manager: JobManager) -> dict[str, object]:
    state = manager.state(stream.job_id)
    out: dict[str, object] = {"job_state": state}
    if stream.state == "running" and state not in ALIVE:
        out["state"] = "failed" if state == "FAILED" else "gone"
    checkpoint = manager.checkpoint(stream.job_id) if state else None
    if checkpoint is not None:
        out |= {"checkpoint": checkpoint.path, "checkpoint_at_us": checkpoint.at_us}
    if state in ("RESTARTING", "FAILED"):
        out["trouble_of_job"] = manager.trouble(stream.job_id)
    return out


def _readings(view: View, namespace: str, topics: Topics) -> dict[str, object]:
    assert view.stream is not None
    rows = messages.topic(namespace, view)
    counts = topics.partitions([rows, *(s.topic for s in view.stream.sources)])
    events = [_reading(topics, s.topic, counts[s.topic], rows) for s in view.stream.sources if s.topic in counts]
    out: dict[str, object] = {"events": [msgspec.to_builtins(r) for r in events]}
    if rows in counts:
        out["rows"] = msgspec.to_builtins(_reading(topics, rows, counts[rows], f"skewless.{namespace}"))
    return out


def _reading(topics: Topics, topic: str, count: int, group: str) -> Reading:
    end, begin, committed = topics.ends(topic, count), topics.begins(topic, count), topics.committed(group, topic, count)
    lag = sum(max(0, end[p] - max(committed.get(p, 0), begin[p])) for p in end)
    return Reading(topic=topic, end=end, committed=committed, lag=lag)
