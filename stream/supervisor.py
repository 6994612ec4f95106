"""`skewless stream run`: keeps the jobs of submitted streams alive. One that has gone or failed is started again from its newest
state, with the script that it had; what its checkpoints replace is removed.

It holds nothing: killed at any time, the next one goes on. Several do no harm, since whoever starts a job claims its stream.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from skewless.clock import format_instant, now_us
from skewless.errors import SkewlessError
from skewless.registry.stream_jobs import StreamJob, StreamRecords
from skewless.stream import checkpoints
from skewless.stream.cluster import LOCAL, Cluster
from skewless.stream.jobmanager import ALIVE, JobManager
from skewless.stream.jobs import Jobs
from skewless.stream.tables import Kafka

LOOK_SECONDS = 2.0
WAIT_SECONDS_MAX = 60.0
CLUSTER_SECONDS_MAX = 5.0       # to look whether it answers again costs nothing, and all streams wait for it
Where = Callable[[], tuple[Cluster, Kafka]]


@dataclass
class _Trying:
    """One stream: how often in a row it was started in vain, when it may be again, what was said of it last."""

    failures: int = 0
    not_before: float = 0.0
    said: str = ""
    jobs: set[str] = field(default_factory=set)


class Supervisor:
    """The streams of `refs` (name@version), all that were submitted where it is empty; those that were stopped are left alone.

    `where` finds cluster and brokers, each time they are needed: both may come back at another address. `say` takes log lines.
    """

    def __init__(
        self, records: StreamRecords, where: Where, say: Callable[[str], None], refs: Sequence[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        import time

        self.records, self.where, self.refs = records, where, set(refs)
        self._say, self._clock = say, clock or time.monotonic
        self._cluster: Cluster | None = None
        self._kafka: Kafka | None = None
        self._trying: dict[str, _Trying] = {}
        self._lost = _Trying()

    def run(self, stop: Event) -> None:
        """Looks after the streams until `stop` is set. Whatever error comes is said, and ends nothing."""
        while not stop.is_set():
            try:
                self.once()
            except Exception as error:
                self._failed(self._lost, "the registry" if isinstance(error, SkewlessError) else "this look", error)
            stop.wait(LOOK_SECONDS)

    def once(self) -> bool:
        """One look at every stream; whether all of them run afterwards."""
        streams = [s for s in self.records.all() if s.state != "stopped" and (not self.refs or s.ref in self.refs)]
        if not streams or self._clock() < self._lost.not_before:
            return not streams
        try:
            jobs = self._jobs()
            jobs.cluster.manager.jobs()
        except Exception as error:
            self._cluster = None
            self._failed(self._lost, "the cluster", error, CLUSTER_SECONDS_MAX)
            return False
        if self._lost.failures:
            self._say("the cluster answers again")
            self._lost = _Trying()
        return all([self._look(jobs, stream) for stream in streams])

    def _jobs(self) -> Jobs:
        if self._cluster is None or self._kafka is None:
            self._cluster, self._kafka = self.where()
        return Jobs(self.records, self._cluster, self._kafka)

    def _look(self, jobs: Jobs, stream: StreamJob) -> bool:
        """Whether the stream's job is alive, after starting it where it was not and may be."""
        trying = self._trying.setdefault(stream.ref, _Trying())
        try:
            state = jobs.cluster.manager.state(stream.job_id)
            if state in ALIVE:
                self._seen(jobs.cluster.manager, stream, state, trying)
                for job_id in jobs.end_doubles(stream):
                    self._say(f"{stream.ref}: job {job_id} was there twice and is ended")
                return True
            if stream.gateway.startswith(LOCAL):
                self._tell(trying, f"{stream.ref}: runs in a process of its own; skewless stream submit --local starts it")
                return False
            if self._clock() < trying.not_before:
                return False
            self._gone(jobs.cluster.manager, stream, state, trying)
            started = jobs.resume(self.records.require(stream.view, stream.version))
        except Exception as error:      # whatever it is, the other streams are looked after
            self._failed(trying, stream.ref, error)
            return False
        if started is not None:
            after = f" ({started.trouble})" if started.trouble else ""
            origin = f"from {started.resumed}" if started.resumed else "from the beginning: it never made a checkpoint"
            self._say(f"{stream.ref}: job {started.stream.job_id} started {origin}{after}")
            trying.failures += 1        # until it has made a checkpoint
            trying.not_before = self._clock() + _wait(trying.failures)
            trying.said = ""
        return True

    def _gone(self, manager: JobManager, stream: StreamJob, state: str, trying: _Trying) -> None:
        """Records and says why the job is started again."""
        reason = manager.trouble(stream.job_id) if state else ""
        what = f"is {state}" if state else "is not known to the cluster any more"
        self.records.note(stream, state="failed" if state == "FAILED" else "gone", error=reason)
        if stream.job_id not in trying.jobs:
            trying.jobs = {stream.job_id}
            self._say(f"{stream.ref}: job {stream.job_id} {what}" + (f": {reason}" if reason else ""))

    def _seen(self, manager: JobManager, stream: StreamJob, state: str, trying: _Trying) -> None:
        """Notes the newest checkpoint, and removes what it replaces."""
        if state == "RESTARTING":
            self._tell(trying, f"{stream.ref}: Flink restarts the job: {manager.trouble(stream.job_id)}")
        elif state == "RUNNING" and trying.said:
            self._tell(trying, f"{stream.ref}: the job runs")
            trying.said = ""
        found = manager.checkpoint(stream.job_id)
        values: dict[str, object] = {} if stream.state == "running" else {"state": "running", "error": ""}
        if found is not None:
            trying.failures, trying.not_before = 0, 0.0
            if found.path != stream.checkpoint:
                values["checkpoint"] = found.path
            gone = checkpoints.remove(stream.leftovers) if stream.leftovers else []
            if gone:
                values["leftovers"] = [folder for folder in stream.leftovers if folder not in gone]
                self._say(f"{stream.ref}: checkpoint {found.path}; removed those of {len(gone)} ended jobs")
        if values:
            self.records.note(stream, **values)

    def _failed(self, trying: _Trying, what: str, error: Exception, seconds_max: float = WAIT_SECONDS_MAX) -> None:
        trying.failures += 1
        trying.not_before = self._clock() + min(_wait(trying.failures), seconds_max)
        self._tell(trying, f"{what}: {error.render() if isinstance(error, SkewlessError) else _unexpected(error)}")

    def _tell(self, trying: _Trying, text: str) -> None:
        if text != trying.said:
            self._say(text)
            trying.said = text


def log_line(text: str) -> str:
    """A line of the log: when, and what."""
    return f"{format_instant(now_us() // 1000 * 1000)} {text}"


def _unexpected(error: Exception) -> str:
    """An error that nobody foresaw, with the place where it happened."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"unexpected {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def _wait(failures: int) -> float:
    """Seconds until the next attempt."""
    return float(min(2 ** min(failures - 1, 10), WAIT_SECONDS_MAX))
