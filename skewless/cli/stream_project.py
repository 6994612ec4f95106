"""What the commands on streams need of a project: where Flink and Kafka are, the scripts of its views, their histories."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.config import Config
from skewless.errors import Findings, SkewlessError

if TYPE_CHECKING:
    from skewless.registry.model import Registry, View
    from skewless.registry.stream_jobs import StreamJob, StreamRecords
    from skewless.stream.cluster import Cluster, Local, Remote
    from skewless.stream.emit import StreamScript
    from skewless.stream.jobs import Jobs, Started
    from skewless.stream.position import Position
    from skewless.stream.tables import Kafka
    from skewless.stream.topics import Topics

EARLIEST = "earliest"
STATUS_SECONDS_MAX = 4.0
"""How long `status` waits for the brokers."""
_VIEW = re.compile(r"CREATE TEMPORARY VIEW `((?:[^`]|``)+)`")
_NAMED = re.compile(r"'([^']+)'|`([^`]+)`")


class Project:
    """The views of a dbt project as they stand, compiled once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._noted: set[str] = set()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        from skewless.warehouse.dbt import ensure_manifest

        return ensure_manifest(self.config, compiled=True)

    @cached_property
    def _read(self) -> tuple[Registry, list[Any]]:
        from skewless.registry.manifest import read_definitions

        return read_definitions(self.config, self.manifest)

    @cached_property
    def records(self) -> StreamRecords:
        from skewless.registry.stream_jobs import StreamRecords

        return StreamRecords(self.config)

    def jobs(self, cluster: Cluster) -> Jobs:
        from skewless.stream.jobs import Jobs

        return Jobs(self.records, cluster, kafka_of(self.config))

    def view(self, name: str) -> View:
        """Raises SK404, SK830, and what `check` says of a view that cannot be read."""
        from skewless.cli.transpile import view_of

        wanted, findings = self._read
        view = view_of(wanted, name, findings)
        _require_stream(view)
        return view

    def script(self, view: View, kafka: Kafka, at_ms: int | None = None) -> StreamScript:
        """The script of a view. Raises SK2xx for SQL that is not portable, SK830."""
        from skewless.cli.transpile import not_portable
        from skewless.registry.lineage import dialect_of
        from skewless.registry.model import Registry
        from skewless.stream.emit import emit

        alone = Registry(project=self.config.project, target=self.config.target, views=(view,))
        refused = not_portable(self.config, self.manifest, alone)
        if refused:
            raise Findings(refused)
        return emit(self.manifest, view, dialect_of(self.manifest), self.config.namespace, kafka, start_ms=at_ms)

    def submit(self, jobs: Jobs, name: str, *, since: str = "", reset: bool = False, partitions: int = 0) -> Started:
        """Makes the topics of a view and starts its job; see `Jobs.submit`. Raises SK832, SK833 too."""
        from skewless.stream.jobs import changed
        from skewless.stream.tables import UNNAMED
        from skewless.stream.topics import Topics

        view = self.view(name)
        before = self.records.read(view.name, view.version)
        if before is not None and since and not reset:
            fact = f'the stream of "{view.ref}" has state, so it goes on where it was'
            raise SkewlessError("SK102", fact, hint="Give --reset too.")
        start = before.start if before and not reset else self._start(view, since)
        script = self.script(view, UNNAMED, start.get("at_ms"))
        if before is not None and before.fingerprint != script.fingerprint and not reset:
            raise changed(view.ref, before.fingerprint, script.fingerprint)
        self._require_applied(view)
        topics = Topics(jobs.kafka)
        topics.prepare(view, self.config.namespace, partitions)
        self._tell_what_producers_stamp(view, topics)
        if before is None or reset:
            _tell_what_is_cut(view, topics, start.get("at_ms"))
        return self._naming(view, lambda: jobs.submit(view, self.config.namespace, script, start, reset=reset))

    def upgrade(self, jobs: Jobs, name: str) -> Started | None:
        """See `Jobs.upgrade`. Raises SK832 too."""
        from skewless.stream.jobs import changed
        from skewless.stream.tables import UNNAMED

        view = self.view(name)
        before = self.records.require(view.name, view.version)
        script = self.script(view, UNNAMED, before.start.get("at_ms"))
        if before.fingerprint != script.fingerprint:
            raise changed(view.ref, before.fingerprint, script.fingerprint)
        self._require_applied(view)
        return self._naming(view, lambda: jobs.upgrade(view, self.config.namespace, script))

    def _start(self, view: View, since: str) -> dict[str, Any]:
        """Where a job without state begins: `at_ms`, or nothing for the earliest events."""
        from skewless.clock import parse_instant
        from skewless.stream.position import start_ms

        if since and since != EARLIEST:
            return {"at_ms": max(0, parse_instant(since) // 1000)}
        at_ms = None if since else start_ms(view, _complete_through_us(self.config, view))
        return {} if at_ms is None else {"at_ms": at_ms}

    def _require_applied(self, view: View) -> None:
        """Readers know a view as it was applied: rows of another schema would be dead letters to them."""
        from skewless.registry.store import Store

        found = {v.ref: v for v in Store(self.config).applied().views}.get(view.ref)
        hint = "Run: skewless plan, then skewless apply <plan id>"
        if found is None:
            raise SkewlessError("SK832", f'view "{view.ref}" is not applied', hint=hint)
        if found.schema != view.schema or {found.definition_hash, view.definition_hash} - {""} != {found.definition_hash} - {""}:
            raise SkewlessError("SK832", f'view "{view.ref}" has changed since it was applied', hint=hint)

    def _naming(self, view: View, act: Any) -> Any:
        """Runs it; what Flink refuses is told with the file, and the line where that can be found."""
        from skewless.stream.cluster import Refused

        try:
            return act()
        except Refused as error:
            file, line = self._place(view, error)
            at = f"{file}:{line}" if line else file
            fact = f'{at}: view "{view.ref}": {error.fact}'
            detail = "" if error.hint else error.statement      # a hint is about the cluster, so no statement is to blame
            raise SkewlessError("SK839", fact, detail=detail, hint=error.hint) from None

    def _tell_what_producers_stamp(self, view: View, topics: Topics) -> None:
        """Once a topic. An event that counts is never behind the watermark where the records' timestamps never go back, which
        brokers see to."""
        from skewless.cli.output import say

        assert view.stream is not None
        for topic in sorted({source.topic for source in view.stream.sources} - self._noted):
            self._noted.add(topic)
            if topics.stamped_by(topic) == "producer":
                say(
                    f"note: producers stamp the records of {topic} (message.timestamp.type=CreateTime): where a stamp goes back "
                    "within a partition, an event may count in a batch and come too late for the stream. Set LogAppendTime, and "
                    "the broker stamps them. A replay in the order of the stamps, such as dev replay, is fine as it is"
                )

    def _place(self, view: View, error: Any) -> tuple[str, int]:
        """The model whose statement was refused, and the first line of its file that holds a name which Flink says."""
        found = _VIEW.match(error.statement)
        nodes = {n["name"]: n for n in self.manifest["nodes"].values() if n["resource_type"] == "model"}
        node = nodes.get(found[1]) if found else None
        file = str(node["original_file_path"]) if node else view.file
        path = Path(self.config.root) / file
        lines = path.read_text().splitlines() if path.is_file() else []
        for name in (a or b for a, b in _NAMED.findall(error.fact)):
            for number, line in enumerate(lines, 1):
                if re.search(rf"\b{re.escape(name)}\b", line, re.IGNORECASE):
                    return file, number
        return file, 0


def cluster_of(config: Config, gateway: str = "") -> Remote:
    """The cluster of a SQL Gateway: the one given, of skewless.yml, or of `skewless dev up`. Raises SK102, SK840 to SK843."""
    from skewless.stream.cluster import Remote

    endpoints = _dev(config)
    url = gateway or config.flink.gateway or endpoints.get("gateway", "")
    if not url:
        raise SkewlessError(
            "SK841", "it is not known where Flink's SQL Gateway is",
            hint="Set flink: {gateway: http://…} in skewless.yml, give --gateway, or start one with: skewless dev up flink",
        )
    for name, address in (("gateway", url), ("jobmanager", config.flink.jobmanager)):
        if address and not address.startswith(("http://", "https://")):
            raise SkewlessError("SK102", f'the address of the {name} is no URL: "{address}"', hint=f"Write it so: http://{address}")
    return Remote(url, config.flink)


def local_of(config: Config) -> Local:
    """A Flink in a process of our own, whose checkpoints lie in the project's state."""
    from skewless.stream.cluster import Local

    return Local(config.state / "flink")


def kafka_of(config: Config, given: str = "") -> Kafka:
    """The brokers: those given, of skewless.yml, or of `skewless dev up`. Raises SK831."""
    from skewless.stream.tables import Kafka

    servers = given or config.kafka.bootstrap_servers or _dev(config).get("kafka", "")
    if not servers:
        raise SkewlessError(
            "SK831", "it is not known where Kafka is",
            hint="Set kafka: {bootstrap_servers: …} in skewless.yml, give --kafka, or start one with: skewless dev up kafka",
        )
    return Kafka(servers, config.kafka.properties)


def record_of(config: Config, records: StreamRecords, name: str) -> StreamJob:
    """The stream of a view, of its newest submitted version where none is named. Raises SK404, SK837."""
    from skewless.registry.model import parse_ref
    from skewless.registry.store import Store

    ref = parse_ref(name)
    found = [s for s in records.all() if s.view == ref.view and ref.version in (None, s.version)]
    if found:
        return found[-1]        # also of a view that is applied no more
    view = Store(config).require_applied().view(ref.view, ref.version)
    return records.require(view.name, view.version)


def positions(config: Config, names: list[str], gateway: str) -> list[Position]:
    """Where the streams of applied views stand. What does not answer is part of the answer, after a few seconds."""
    from skewless.registry.model import parse_ref
    from skewless.registry.store import Store
    from skewless.registry.stream_jobs import StreamRecords
    from skewless.stream.jobmanager import JobManager
    from skewless.stream.position import read_position
    from skewless.stream.topics import Topics

    applied, streams = Store(config).require_applied(), {s.ref: s for s in StreamRecords(config).all()}
    refs = [parse_ref(name) for name in names]
    views = [applied.view(r.view, r.version) for r in refs] if refs else [v for v in applied.views if v.stream]
    for view in views:
        _require_stream(view)
    lost = dict[str, str]()
    managers = dict[str, JobManager]()
    cluster, topics = None, None
    try:
        cluster = cluster_of(config, gateway) if streams else None
    except SkewlessError as error:
        lost["flink"] = error.fact
    try:
        topics = Topics(kafka_of(config), STATUS_SECONDS_MAX)
        topics.reach()
    except SkewlessError as error:
        topics, lost["kafka"] = None, error.fact
    out = []
    for view in views:
        stream = streams.get(view.ref)
        manager = cluster.manager if cluster else None
        if stream is not None and stream.gateway.startswith("local "):
            url = stream.gateway.partition(" ")[2]
            manager = managers.setdefault(url, JobManager(url))
        trouble = "; ".join(said for what, said in lost.items() if what == "kafka" or manager is None)
        found = read_position(view, config.namespace, stream, manager, topics, trouble=trouble)
        out.append(_with_history(config, view, found))
    return out


def _with_history(config: Config, view: View, position: Position) -> Position:
    import msgspec

    from skewless.clock import now_us
    from skewless.status import freshness
    from skewless.warehouse.lake import LakeTable

    table = LakeTable(config.lake_root, view)
    if not table.exists():
        return position
    newest = table.statistics()["newest_event_timestamp_us"]
    lag_us = None if newest is None else now_us() - newest
    return msgspec.structs.replace(
        position, complete_through_us=table.complete_through_us(), newest_event_us=newest, lag_us=lag_us,
        freshness=freshness(view, lag_us),
    )


def _require_stream(view: View) -> None:
    if view.stream is None:
        raise SkewlessError("SK830", f'view "{view.ref}" does not stream', hint="Say stream: {enabled: true} in its block.")


def _tell_what_is_cut(view: View, topics: Topics, at_ms: int | None) -> None:
    """Rows are computed from too little where the brokers have deleted what the job needs first."""
    from skewless.cli.output import say
    from skewless.clock import format_instant

    assert view.stream is not None
    if at_ms is None:
        return
    names = [source.topic for source in view.stream.sources]
    for topic, count in topics.partitions(names).items():
        if topics.cut(topic, count, at_ms):
            begin = format_instant(at_ms * 1000)
            say(
                f"warning: {topic} does not reach back to {begin}, where the stream of {view.ref} begins: rows soon after the "
                "end of the history may be computed from too few events; a later materialize corrects them"
            )


def _complete_through_us(config: Config, view: View) -> int | None:
    from skewless.warehouse.lake import LakeTable

    return LakeTable(config.lake_root, view).complete_through_us()


def _dev(config: Config) -> dict[str, str]:
    from skewless.dev.supervisor import state

    return (state(config) or {}).get("endpoints") or {}
