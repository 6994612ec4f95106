"""Where jobs run: a cluster behind a SQL Gateway, or a small one in a process of our own. Both give a script a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from skewless.config import Flink
from skewless.errors import SkewlessError
from skewless.stream.gateway import Gateway
from skewless.stream.jobmanager import JobManager
from skewless.stream.session import Session
from skewless.stream.tables import Kafka, without_brokers

LOCAL = "local"
_CHECKPOINTS, _SAVEPOINTS = "execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"


class Refused(SkewlessError):
    """SK801 about one statement of a script."""

    def __init__(self, statement: str, error: SkewlessError) -> None:
        self.statement = statement
        super().__init__(error.code, error.fact, detail=error.detail, hint=error.hint)

    def hiding(self, kafka: Kafka) -> Refused:
        """The same without the brokers' properties, which may hold secrets."""
        (statement,) = without_brokers([self.statement], kafka)
        return Refused(statement, SkewlessError(self.code, self.fact, detail=" ".join(statement.split())[:120], hint=self.hint))


class Cluster(Protocol):
    """`name`: how the record calls it. `checkpoints` and `savepoints`: URIs of the folders below which jobs keep theirs."""

    name: str
    manager: JobManager
    checkpoints: str
    savepoints: str

    def submit(self, statements: Sequence[str], settings: Mapping[str, str]) -> str:
        """Runs statements, the last of which starts a job; its id. Raises Refused, SK840, SK926."""


class Remote:
    """The cluster of a SQL Gateway. Raises SK840 where no gateway answers, SK843 where jobs would keep no checkpoints."""

    def __init__(self, gateway: str, flink: Flink) -> None:
        self.name = gateway.rstrip("/")
        with Gateway(self.name) as session:
            found = session.settings()
        host, port = found.get("rest.address", ""), found.get("rest.port", "8081")
        if not flink.jobmanager and not host:
            raise SkewlessError(
                "SK842", "the SQL Gateway does not say where its JobManager is",
                hint="Name it in skewless.yml: flink: {jobmanager: http://…}",
            )
        self.manager = JobManager(flink.jobmanager or f"http://{host}:{port}")
        self.checkpoints = (flink.checkpoints or found.get(_CHECKPOINTS, "")).rstrip("/")
        if not self.checkpoints:
            raise SkewlessError(
                "SK843", "this Flink keeps no checkpoints, so no job could go on after its end",
                hint="Name a folder that the cluster can write: flink: {checkpoints: file:///… or s3://…} in skewless.yml.",
            )
        self.savepoints = (flink.savepoints or found.get(_SAVEPOINTS, "")).rstrip("/") or f"{self.checkpoints}-stopped"

    def submit(self, statements: Sequence[str], settings: Mapping[str, str]) -> str:
        """See `Cluster`. In a session of its own, so that no job inherits what another one resumes from."""
        with Gateway(self.name, {**settings, _CHECKPOINTS: self.checkpoints}) as session:
            for statement in statements[:-1]:
                with _naming(statement):
                    session.run(statement)
            with _naming(statements[-1]):
                return session.submit(statements[-1:])
        raise AssertionError


class Local:
    """A Flink that ends with this process; checkpoints lie below `folder` and outlive it. Raises SK920, SK925."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._session = Session()
        self.manager = JobManager(self._session.rest)
        self.name = f"{LOCAL} {self._session.rest}"
        self.checkpoints, self.savepoints = f"file://{folder / 'checkpoints'}", f"file://{folder / 'savepoints'}"

    def submit(self, statements: Sequence[str], settings: Mapping[str, str]) -> str:
        """See `Cluster`."""
        try:
            return self._session.submit(statements, options={**settings, _CHECKPOINTS: self.checkpoints})
        except SkewlessError as error:
            if error.code == "SK801":
                raise Refused(error.detail, error) from None
            raise

    def close(self) -> None:
        """Ends Flink, and every job with it."""
        self._session.close()


@contextmanager
def _naming(statement: str) -> Iterator[None]:
    try:
        yield
    except SkewlessError as error:
        if error.code == "SK801":
            raise Refused(statement, error) from None
        raise
