"""Starting, stopping and resuming the job of a view. A job goes on from state only under the fingerprint that made it.

Flink restores some changed queries without an error and is then wrong, so the fingerprint, and not Flink, decides.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from skewless import messages
from skewless.clock import now_us
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.registry.stream_jobs import Claim, StreamJob, StreamRecords
from skewless.stream import checkpoints
from skewless.stream.cluster import LOCAL, Cluster, Refused
from skewless.stream.emit import StreamScript
from skewless.stream.fact import way_out
from skewless.stream.gateway import Gateway
from skewless.stream.jobmanager import ALIVE, JobManager
from skewless.stream.tables import Kafka, with_brokers

START_SECONDS_MAX = 30.0
REASON_SECONDS_MAX = 5.0        # a JobManager's answers about one job are up to web.refresh-interval old: 3 s
_POLL_SECONDS = 0.1
_RESUME = "execution.state-recovery.path"


@dataclass(frozen=True)
class Started:
    """A stream whose job was just started. `works`: all of it runs; else Flink still looks for room, or tries again, `trouble`
    being the last reason. `resumed`: what it goes on from, "" for a job that starts without state.
    """

    stream: StreamJob
    works: bool
    trouble: str
    resumed: str


class Jobs:
    """The streams of a project and target on one cluster. Every method raises SK840, SK842 where the cluster does not answer."""

    def __init__(self, records: StreamRecords, cluster: Cluster, kafka: Kafka) -> None:
        self.records, self.cluster, self.kafka = records, cluster, kafka

    def submit(self, view: View, namespace: str, script: StreamScript, start: dict[str, Any], *, reset: bool = False) -> Started:
        """Starts the job of a view: from its state when it had a job with this fingerprint, else where `start` says.

        `script` is for brokers `UNNAMED`. `reset` forgets the state, and ends the job that runs. Raises SK834 when the view's job
        runs already, SK836 for state of another fingerprint, SK846, SK845 for a job that fails at once, and Refused.
        """
        with self.records.claimed(view) as claim:
            before = claim.stream
            running = self.running(before, f"{namespace}.{view.ref} ")
            row = {
                "topic": messages.topic(namespace, view), "fingerprint": script.fingerprint,
                "script": [*script.setup, script.job],
            }
            if running and not reset:
                return self._found(claim, running, script.name, row | {"start": start})
            if before.state and before.fingerprint != script.fingerprint and not reset:
                raise changed(view.ref, before.fingerprint, script.fingerprint)
            for job_id in running if reset else ():
                self.cluster.manager.cancel(job_id)
            resumed = "" if reset or not before.state else self._resume_path(before)
            return self._start(claim, resumed, row | ({} if resumed else {"start": start}), "reset" if reset else "submit")

    def upgrade(self, view: View, namespace: str, script: StreamScript) -> Started | None:
        """Goes on with the project's script where its fingerprint is the job's: stops the job when it runs, and resumes.

        None when that very script runs already. Raises SK836, SK837, SK844, SK846 and what `submit` raises.
        """
        before = self.records.require(view.name, view.version)
        if before.fingerprint != script.fingerprint:
            raise changed(view.ref, before.fingerprint, script.fingerprint)
        if self.running(before):
            if before.script == [*script.setup, script.job]:
                return None
            self.stop(before)
        return self.submit(view, namespace, script, before.start)

    def stop(self, stream: StreamJob, *, cancel: bool = False) -> StreamJob:
        """Ends the job of a stream with a savepoint, or, with `cancel`, as it is; nobody starts it again by himself.

        A job that has ended by itself stays ended; state is what it last had. Raises SK835, SK844.
        """
        with self.records.claimed(stream) as claim:
            before = claim.stream
            alive, savepoint, known = self.running(before), "", before.checkpoint
            for job_id in alive:
                found = self.cluster.manager.checkpoint(job_id)
                known = found.path if found else known
                if cancel:
                    self.cluster.manager.cancel(job_id)
                else:
                    savepoint = self.cluster.manager.stop(job_id, f"{self.cluster.savepoints}/{job_id}")
            values: dict[str, Any] = {"savepoint": savepoint or before.savepoint, "checkpoint": known}
            if savepoint:       # it needs no file of a checkpoint
                values |= {"checkpoint": "", "leftovers": [*before.leftovers, before.checkpoint_dir]}
            done = claim.save(state="stopped", stopped_at_us=before.stopped_at_us or now_us(), error="", **values)
            gone = checkpoints.remove(done.leftovers) if savepoint else []
            done = claim.save(leftovers=[f for f in done.leftovers if f not in gone]) if gone else done
        self.records.event("stream stop", stream.ref, {"job": stream.job_id, "savepoint": savepoint, "ran": bool(alive)})
        return done

    def resume(self, stream: StreamJob) -> Started | None:
        """Starts the job of a stream that has gone or failed again: its own script, from the newest state it had.

        None when its job runs after all, or somebody stopped it meanwhile. Raises SK835, SK846 and what `submit` raises.
        """
        with self.records.claimed(stream) as claim:
            now = claim.stream
            if now.state in ("", "stopped"):
                return None
            alive = self.running(now)
            if now.job_id in alive:
                return None
            if alive:
                job_id, name = next(iter(alive.items()))
                if name != _name_of(now):       # of another definition, so its state is not this script's
                    raise _runs(now.ref, job_id, self.cluster)
                self._adopt(claim, job_id, {"restored_from": self._restored(now, job_id)})
                return None
            return self._start(claim, self._resume_path(now), {}, "resume")

    def running(self, stream: StreamJob, name: str = "") -> dict[str, str]:
        """Id -> name of the jobs of a stream that are alive on this cluster: the recorded one, and any of the same name.

        Raises SK834 when it runs on another cluster.
        """
        name = name or _prefix_of(stream)
        known = self.cluster.manager.jobs()
        found = {i: n for i, n, state in known if state in ALIVE and (i == stream.job_id or _named(n, name))}
        if not found and stream.job_id and stream.gateway != self.cluster.name and _alive_elsewhere(stream):
            raise SkewlessError(
                "SK834", f'the stream of view "{stream.ref}" runs at {stream.gateway}',
                hint=f"Stop it there: skewless stream stop {stream.ref}, with that gateway",
            )
        return found

    def _found(self, claim: Claim, running: dict[str, str], name: str, values: dict[str, Any]) -> Started:
        """A job of the view runs: one whose beginner ended before it wrote that down is taken over, any other is SK834."""
        before = claim.stream
        job_id = next(iter(running))
        if before.job_id in running or running[job_id] != name:
            raise _runs(before.ref, job_id, self.cluster)
        resumed = self._restored(before, job_id) if before.state else ""
        values |= {"restored_from": resumed, "submitted_at_us": now_us(), "stopped_at_us": None}
        stream = self._adopt(claim, job_id, values)
        return Started(stream, *self._await(job_id), resumed)

    def _adopt(self, claim: Claim, job_id: str, values: dict[str, Any]) -> StreamJob:
        kept = self._kept(claim.stream, job_id)
        return claim.save(
            **kept, **values, job_id=job_id, state="running", gateway=self.cluster.name, savepoint="", checkpoint="", error=""
        )

    def _start(self, claim: Claim, resumed: str, values: dict[str, Any], kind: str) -> Started:
        before = claim.stream
        statements = with_brokers(values.get("script", before.script), self.kafka)
        try:
            job_id = self.cluster.submit(statements, {_RESUME: resumed} if resumed else {})
        except Refused as error:
            raise error.hiding(self.kafka) from None
        stream = claim.save(
            **values, **self._kept(before, job_id), job_id=job_id, state="running", gateway=self.cluster.name,
            restored_from=resumed, savepoint="", checkpoint="", error="", submitted_at_us=now_us(), stopped_at_us=None,
        )
        self.records.event(f"stream {kind}", stream.ref, {
            "job": job_id, "fingerprint": stream.fingerprint, "from": resumed or stream.start, "gateway": self.cluster.name})
        works, trouble = self._await(job_id)
        if not works and self.cluster.manager.state(job_id) not in ALIVE:
            trouble = self.reason(job_id)
            claim.save(state="failed", error=trouble)
            raise self.failed(stream, trouble)
        self._end_doubles(stream)
        return Started(stream, works, trouble, resumed)

    def reason(self, job_id: str) -> str:
        """Why a job has ended by a failure; waits for that some seconds, since it is told after the state."""
        deadline = time.monotonic() + REASON_SECONDS_MAX
        while not (trouble := self.cluster.manager.trouble(job_id)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return trouble or "no reason given"

    def failed(self, stream: StreamJob, trouble: str) -> SkewlessError:
        """SK845: the job has ended by a failure, and Flink does not start it again."""
        again = f"skewless stream submit {stream.ref}" + (" --local" if self.cluster.name.startswith(LOCAL) else "")
        return SkewlessError(
            "SK845", f'the job of view "{stream.ref}" fails: {trouble}',
            detail=f"Job {stream.job_id} at {self.cluster.manager.url}.",
            hint=way_out(trouble) or f"Mend that, and go on with: {again}. Flink tries again by itself where its setting "
            "restart-strategy.type is exponential-delay",
        )

    def end_doubles(self, stream: StreamJob) -> list[str]:
        """Ends jobs of the stream's very script beside the recorded one; their ids. A gateway goes on with what it was given by a
        process that was killed, so such a job may appear after another one was started. Raises SK835.
        """
        if not self._doubles(stream):
            return []
        with self.records.claimed(stream) as claim:
            return self._end_doubles(claim.stream)

    def _end_doubles(self, stream: StreamJob) -> list[str]:
        found = self._doubles(stream)
        for job_id in found:
            self.cluster.manager.cancel(job_id)
        return found

    def _doubles(self, stream: StreamJob) -> list[str]:
        known = self.cluster.manager.jobs()
        alive = {i: n for i, n, state in known if state in ALIVE}
        return [i for i, n in alive.items() if i != stream.job_id in alive and n == alive[stream.job_id]]

    def _kept(self, before: StreamJob, job_id: str) -> dict[str, Any]:
        """Where the job keeps its checkpoints, and the folders that are of no use once it has made one."""
        old = [folder for folder in (*before.leftovers, before.checkpoint_dir) if folder]
        return {"checkpoint_dir": f"{self.cluster.checkpoints}/{job_id}", "leftovers": sorted({*old})}

    def _restored(self, stream: StreamJob, job_id: str) -> str:
        """What a job that nobody recorded went on from: what Flink says, else what its beginner must have found."""
        return self.cluster.manager.restored(job_id) or self._resume_path(stream)

    def _resume_path(self, stream: StreamJob) -> str:
        known = self.cluster.manager.last_state(stream.job_id) if stream.job_id else None
        return checkpoints.resume_path(stream, self.cluster.savepoints, known.path if known else "")

    def _await(self, job_id: str) -> tuple[bool, str]:
        """Whether all of a job runs, after some seconds at most; if not, why it failed last."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.cluster.manager.works(job_id):
                return True, ""
            trouble = self.cluster.manager.trouble(job_id)
            if trouble or self.cluster.manager.state(job_id) not in ALIVE:
                return False, trouble
            time.sleep(_POLL_SECONDS)
        return False, self.cluster.manager.trouble(job_id)


def changed(ref: str, before: str, now: str) -> SkewlessError:
    """SK836: what is computed is not what the state is of."""
    name = ref.partition("@")[0]
    return SkewlessError(
        "SK836", f'the SQL, columns or topics of view "{ref}" have changed, so its state is of another definition',
        detail=f"The state's fingerprint is {before[:12]}, the project's is {now[:12]}.",
        hint=f"Add a version of {name}: it has state of its own and a history from the warehouse. Or start afresh, once "
        f"skewless plan and apply have accepted the change: skewless stream upgrade {ref} --reset",
    )


def _runs(ref: str, job_id: str, cluster: Cluster) -> SkewlessError:
    return SkewlessError(
        "SK834", f'the stream of view "{ref}" runs already: job {job_id}', detail=f"Cluster: {cluster.manager.url}.",
        hint=f"See it with: skewless stream status; end it with: skewless stream stop {ref}",
    )


def _name_of(stream: StreamJob) -> str:
    """The name of the stream's jobs, which ends with the first digits of their fingerprint; "" where no script is kept."""
    found = (s[len(_SET_NAME):].removesuffix("'") for s in stream.script if s.startswith(_SET_NAME))
    return next(found, "")


def _prefix_of(stream: StreamJob) -> str:
    """The name of the view's jobs under any fingerprint, but for that."""
    name = _name_of(stream).rpartition(" ")[0]
    return f"{name} " if name else ""


_SET_NAME = "SET 'pipeline.name' = '"


def _named(name: str, prefix: str) -> bool:
    return bool(prefix) and name.startswith(prefix)


def _alive_elsewhere(stream: StreamJob) -> bool:
    """Whether a job runs on the cluster that it was submitted to; one that does not answer runs nothing that can be asked."""
    try:
        if stream.gateway.startswith(LOCAL):
            manager = JobManager(stream.gateway.removeprefix(LOCAL).strip())
        else:
            with Gateway(stream.gateway) as session:
                found = session.settings()
            manager = JobManager(f"http://{found['rest.address']}:{found.get('rest.port', '8081')}")
        return manager.state(stream.job_id) in ALIVE
    except (SkewlessError, KeyError):
        return False
