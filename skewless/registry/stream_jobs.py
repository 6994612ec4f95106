"""The record of streams: which Flink job computes a view-version, from which script, and where it resumes after its end.

    running -> stopped (by `stop`), failed (its job ended by an error), gone (the cluster does not know its job any more)

Whoever starts or stops a job claims the stream first, so two of them never do it at once. A claim is renewed as long as its
holder lives, however long Flink takes. One that was not given back ends CLAIM_SECONDS_MAX after that, or at once where it is
seen that its holder is dead.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import tables
from skewless.registry.model import View, object_id
from skewless.registry.store import Store

STATES = ("running", "stopped", "failed", "gone")
CLAIM_SECONDS_MAX = 120
_TABLE = tables.streams
_DECODED = ("script", "start", "leftovers")


class StreamJob(msgspec.Struct, frozen=True, kw_only=True):
    """The stream of one view-version.

    `script`: the statements, the last of which starts the job, without the brokers' address and properties, which may hold
    secrets. `start`: where its sources began, when it did not resume. `checkpoint_dir`: the folder of the job's checkpoints, a
    URI; `checkpoint`: the newest complete one that was seen; `savepoint`: made by `stop`, "" once a job has resumed from it;
    `restored_from`: what the job itself resumed from. `leftovers`: folders of checkpoints of jobs before this one.
    """

    id: str
    view: str
    version: int
    state: str
    topic: str
    fingerprint: str
    script: list[str]
    start: dict[str, Any]
    gateway: str
    job_id: str
    checkpoint_dir: str
    submitted_at_us: int
    checkpoint: str = ""
    savepoint: str = ""
    restored_from: str = ""
    leftovers: list[str] = []
    error: str = ""
    revision: int = 0
    claimed_at_us: int | None = None
    claimed_by: str = ""
    stopped_at_us: int | None = None

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.view}@{self.version}"


class StreamRecords:
    """The streams of one project and target."""

    def __init__(self, config: Config) -> None:
        self.store = Store(config)

    def all(self) -> list[StreamJob]:
        """Every stream there is, by view and version."""
        with self.store.database.read() as connection:
            return sorted(self._select(connection), key=lambda s: (s.view, s.version))

    def read(self, view: str, version: int) -> StreamJob | None:
        """The stream of a view-version; None when it was never submitted."""
        with self.store.database.read() as connection:
            return next(iter(self._select(connection, _TABLE.c.id == self._id(view, version), _TABLE.c.state != "")), None)

    def require(self, view: str, version: int) -> StreamJob:
        """The same. Raises SK837 when it was never submitted."""
        found = self.read(view, version)
        if found is None:
            fact = f'view "{view}@{version}" was never submitted'
            raise SkewlessError("SK837", fact, hint=f"Start it with: skewless stream submit {view}@{version}")
        return found

    @contextmanager
    def claimed(self, view: View | StreamJob) -> Iterator[Claim]:
        """The stream of a view for this caller alone; what it `save`s is kept, also when it fails afterwards.

        Raises SK835 while somebody else has it.
        """
        name, version = (view.view, view.version) if isinstance(view, StreamJob) else (view.name, view.version)
        id_ = self._id(name, version)
        with self.store.database.write() as connection:
            before = next(iter(self._select(connection, _TABLE.c.id == id_)), None)
            now = now_us()
            if before is None:
                before = StreamJob(
                    id=id_, view=name, version=version, state="", topic="", fingerprint="", script=[], start={}, gateway="",
                    job_id="", checkpoint_dir="", submitted_at_us=0,
                )
                self._write(connection, before, new=True)
            elif _held(before, now):
                fact = f'the stream of view "{before.ref}" is being started or stopped by another process'
                hint = f"Wait for it; a process that died is forgotten in {CLAIM_SECONDS_MAX} s."
                raise SkewlessError("SK835", fact, hint=hint)
            me = _place(os.getpid())
            mine = msgspec.structs.replace(before, revision=before.revision + 1, claimed_at_us=now, claimed_by=me)
            self._write(connection, mine)
        claim = Claim(self, mine)
        with claim.renewed():
            try:
                yield claim
            finally:
                claim.release()

    def note(self, stream: StreamJob, **values: Any) -> bool:
        """Writes what was seen of a stream that nobody has claimed or changed since it was read; whether it did."""
        with self.store.database.write() as connection:
            now = next(iter(self._select(connection, _TABLE.c.id == stream.id)), None)
            if now is None or now.revision != stream.revision or now.claimed_at_us is not None:
                return False
            self._write(connection, msgspec.structs.replace(now, **values))
            return True

    def event(self, kind: str, ref: str, detail: dict[str, Any]) -> None:
        """One line of who did what with a stream."""
        self.store.record_event(kind, ref, detail)

    def _id(self, view: str, version: int) -> str:
        return object_id(self.store.project, "stream", f"{view}@{version}")

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return _TABLE.c.project == self.store.project, _TABLE.c.target == self.store.target

    def _select(self, connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[StreamJob]:
        """A stream whose first submission has no job yet (state "") is there for its claim alone; left out unless asked for."""
        query = sa.select(_TABLE).where(*self._mine(), *(where or (_TABLE.c.state != "",)))
        names = StreamJob.__struct_fields__
        return [
            StreamJob(**{name: json.loads(row[name]) if name in _DECODED else row[name] for name in names})
            for row in connection.execute(query).mappings()
        ]

    def _write(self, connection: sa.Connection, stream: StreamJob, *, new: bool = False) -> None:
        values = msgspec.structs.asdict(stream)
        values |= {name: json.dumps(values[name]) for name in _DECODED}
        if new:
            scope = {"project": self.store.project, "target": self.store.target}
            connection.execute(sa.insert(_TABLE), [{**scope, **values}])
        else:
            connection.execute(sa.update(_TABLE).where(*self._mine(), _TABLE.c.id == stream.id).values(values))

    def _delete(self, connection: sa.Connection, stream: StreamJob) -> None:
        connection.execute(sa.delete(_TABLE).where(*self._mine(), _TABLE.c.id == stream.id))


class Claim:
    """A stream that its holder alone may change. `stream.state` is "" when it was never submitted."""

    def __init__(self, records: StreamRecords, stream: StreamJob) -> None:
        self.stream, self._records = stream, records
        self._turn, self._over = threading.RLock(), threading.Event()

    def save(self, **values: Any) -> StreamJob:
        """Changes fields. Raises SK835 when the claim ran out and somebody else has the stream."""
        with self._turn, self._records.store.database.write() as connection:
            self._require(connection)
            changed = msgspec.structs.replace(self.stream, **values, claimed_at_us=now_us())
            self._records._write(connection, changed)
            self.stream = changed
        return changed

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renews it until it is released, in a thread, which ends with the process if not before."""
        thread = threading.Thread(target=self._renew, name=f"claim of {self.stream.ref}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _renew(self) -> None:
        while not self._over.wait(CLAIM_SECONDS_MAX / 8):
            with self._turn:
                if self._over.is_set():
                    return
                try:
                    self.save()
                except Exception as error:      # a database that does not answer may again
                    if isinstance(error, SkewlessError) and error.code == "SK835":
                        return

    def release(self) -> None:
        """Gives it back. A stream that never got a job is forgotten."""
        self._over.set()
        with self._turn, self._records.store.database.write() as connection:
            try:
                self._require(connection)
            except SkewlessError:
                return
            if not self.stream.state:
                self._records._delete(connection, self.stream)
            else:
                self._records._write(connection, msgspec.structs.replace(self.stream, claimed_at_us=None, claimed_by=""))

    def _require(self, connection: sa.Connection) -> None:
        now = next(iter(self._records._select(connection, _TABLE.c.id == self.stream.id)), None)
        if now is None or now.revision != self.stream.revision:
            raise SkewlessError("SK835", f'the stream of view "{self.stream.ref}" was taken over by another process')


def _held(stream: StreamJob, now: int) -> bool:
    """Whether somebody has claimed the stream who is not known to be dead."""
    if stream.claimed_at_us is None or now - stream.claimed_at_us >= CLAIM_SECONDS_MAX * 1_000_000:
        return False
    pid = stream.claimed_by.rpartition(" ")[2]
    if not pid.isdigit() or stream.claimed_by != _place(int(pid)):
        return True         # on another machine, or in another container
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _place(pid: int) -> str:
    """A process by machine, namespace of processes and number."""
    try:
        inside = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        inside = 0
    return f"{socket.gethostname()} {inside} {pid}"
