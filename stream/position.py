"""Where a stream stands: its job, its newest checkpoint, what it has not read yet, what the consumer has not taken yet."""

from __future__ import annotations

from collections.abc import Mapping

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

    A reader of events commits with each checkpoint of its job. `group`: how the brokers call the reader;
    `stores`: what a reader of rows writes, `both`, `online` or `offline`. `lost`: of such a one, messages deleted before
    it had read them, ever since the group is known; those that it will miss are among them. `stamped_by`: of a topic of events,
    who gives its records their timestamps, `broker` or `producer`; "" where that is not known.
    """

    topic: str
    group: str
    stores: str = ""
    end: dict[int, int]
    committed: dict[int, int]
    lag: int
    lost: int = 0
    stamped_by: str = ""


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of dead letters: the next offset of each partition, and how many letters job and consumer ever sent there."""

    topic: str
    end: dict[int, int]
    count: int


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. `job_state` is Flink's word, "" for a job that the cluster does not know, `?` where it does not answer.

    `readers`: the consumer groups that ever took rows, of both stores or of one; `rows`: the one of them that is furthest
    behind, or nobody's reading where there is none. `late`: events whose windows had passed, since the job began to run (Flink's
    own count); the rows of those windows lack them until a batch computes them. `trouble`: why the job does not run, or what
    did not answer.
    """

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
    late: int | None = None
    start: dict[str, object] = {}
    events: tuple[Reading, ...] = ()
    rows: Reading | None = None
    readers: tuple[Reading, ...] = ()
    dead_letters: Letters | None = None
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
    if state == "RUNNING":
        out["late"] = manager.late(stream.job_id)
    if state in ("RESTARTING", "FAILED"):
        out["trouble_of_job"] = manager.trouble(stream.job_id)
    return out


def _readings(view: View, namespace: str, topics: Topics) -> dict[str, object]:
    assert view.stream is not None
    rows, dead = messages.topic(namespace, view), messages.dead_letter_topic(namespace, view)
    counts = topics.partitions([rows, dead, *(s.topic for s in view.stream.sources)])
    events = [r for s in view.stream.sources if s.topic in counts for r in _read(topics, s.topic, counts[s.topic], {rows: ""})]
    out: dict[str, object] = {"events": msgspec.to_builtins(events)}
    if rows in counts:
        every = _read(topics, rows, counts[rows], {messages.group(namespace, stores): stores for stores in messages.STORES})
        readers = [r for r in every if r.committed]
        slowest = max(readers, key=lambda r: r.lag, default=every[0])
        out |= {"rows": msgspec.to_builtins(slowest), "readers": msgspec.to_builtins(readers)}
    if dead in counts:
        end = topics.ends(dead, counts[dead])
        out["dead_letters"] = {"topic": dead, "end": end, "count": sum(end.values())}
    return out


def _read(topics: Topics, topic: str, count: int, groups: Mapping[str, str]) -> list[Reading]:
    """How each group reads a topic; group -> the stores that it writes."""
    end, begin, out = topics.ends(topic, count), topics.begins(topic, count), []
    for group, stores in groups.items():
        committed, lost = topics.committed(group, topic, count)
        lag = sum(max(0, end[p] - max(committed.get(p, 0), begin[p])) for p in end)
        if stores:
            lost += sum(max(0, begin[p] - offset) for p, offset in committed.items())
        by = "" if stores else topics.stamped_by(topic)
        out.append(Reading(
            topic=topic, group=group, stores=stores, end=end, committed=committed, lag=lag, lost=lost, stamped_by=by
        ))
    return out
