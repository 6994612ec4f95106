"""The example on real servers, as two targets over the same events: `stream`, and `dev`, which dbt computes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.compute as pc

from dbt_project import prepare
from skewless import messages, rows
from skewless.cli.stream_project import Project, cluster_of
from skewless.clock import EPOCH, format_instant, now_us
from skewless.config import Config, read_config
from skewless.dev.events import Asked, Events, copies
from skewless.dev.replay import Replay
from skewless.dev.stack import Stack
from skewless.online import connect
from skewless.registry.finding import Finding
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Registry, View
from skewless.registry.store import Store
from skewless.registry.streams import read_streams
from skewless.rows.row import HEADER_SIZE, STAMP_AT
from skewless.sync.consume import Consumer, Options
from skewless.warehouse.dbt import run_dbt
from skewless.warehouse.lake import LakeTable
from tests.example import copy_project
from tests.waiting import failures, in_a_thread
from tests.whole_topic import read_topic

VIEWS = ("airport_departures_1h", "carrier_delays", "plane_rotation")
SECONDS_MAX = 3000.0 if os.environ.get("SKEWLESS_SOAK") else 180.0
QUIET_SECONDS = 3.0


class World:
    """One copy of the example. `name` is its project's, and part of its topics' names; `until` ends the events."""

    def __init__(self, folder: Path, stack: Stack, valkey: str, name: str, until: datetime, tables: dict[str, pa.Table]) -> None:
        self.root, self.name, self.stack = copy_project(folder), name, stack
        self.kafka, self.until = stack.endpoints["kafka"], until
        settings = {
            "project": name, "target": "stream", "online_store": valkey, "kafka": {"bootstrap_servers": self.kafka},
            "flink": {"gateway": stack.endpoints["gateway"], "jobmanager": stack.endpoints["flink"]},
        }
        (self.root / "skewless.yml").write_text(json.dumps(settings))
        sources = self.root / "models" / "staging" / "sources.yml"
        sources.write_text(sources.read_text().replace("{topic: ", "{topic: " + name + "_"))
        for table, events in tables.items():
            self.write(table, events)
        self.manifest: dict[str, Any] = {}
        self.consumer: Consumer | None = None

    def write(self, table: str, events: pa.Table) -> None:
        """The warehouse's copy of a topic, or another source, without what happened after the end."""
        at = "observed_at" if table == "weather" else "arrived_at"
        before = pc.less(events[at], pa.scalar(self.until, pa.timestamp("us")))
        prepare.write(events.filter(before), self.file(table))

    def load(self, tables: dict[str, pa.Table]) -> None:
        """The warehouse's copies of the topics as a loader makes them: the objects whose fields are of the declared types."""
        for topic in ("departures", "landings"):
            schema = tables[topic].schema
            types, found = {field.name: field.type for field in schema}, []
            for *_, arrived, value in sorted(self.read(f"{self.name}_{topic}"), key=lambda m: m[:2]):
                try:
                    body = json.loads(value or b"")
                except ValueError:
                    continue
                row = typed(body, types) if isinstance(body, dict) and body else None
                if row is not None:
                    found.append({**row, "arrived_at": arrived})
            prepare.write(pa.Table.from_pylist(found, schema=schema), self.file(topic))

    def file(self, table: str) -> Path:
        return self.root / "data" / f"{table}.parquet"

    def config(self, target: str = "stream") -> Config:
        return read_config(self.root, target=target)

    def apply(self) -> Registry:
        """The project's definitions, applied to `stream`."""
        project = Project(self.config())
        self.manifest = project.manifest
        wanted, findings = read_definitions(self.config(), self.manifest)
        assert not [f for f in findings if getattr(f, "level", "") in ("error", "warning")], findings
        store = Store(self.config())
        store.save(wanted, expected=store.applied())
        return store.applied()

    def skewless(self, *argv: str) -> str:
        """What a command prints."""
        done = subprocess.run([sys.executable, "-m", "skewless.cli", *argv], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def view(self, name: str) -> View:
        return Store(self.config()).applied().view(name)

    def lake(self, name: str, target: str = "stream") -> LakeTable:
        return LakeTable(self.config(target).lake_root, self.view(name))

    # -- events ---------------------------------------------------------------------------------------------------------

    def replay(self, closing: bool = True, **asked: Any) -> dict[str, Any]:
        """Publishes the copies, or what is asked of them; with `closing`, every window can end then."""
        sent = Replay({"bootstrap.servers": self.kafka}, closing=closing).run(self.events(**asked))
        assert sent.complete
        return sent.as_dict()

    def create_topics(self) -> None:
        Replay({"bootstrap.servers": self.kafka}).prepare(self.events())

    def events(self, **asked: Any) -> Events:
        findings: list[Finding] = []
        streams = read_streams(self.root, self.manifest, findings)
        assert not findings
        return Events(self.root, copies(self.manifest, streams, []), Asked(**asked))

    @contextmanager
    def replaying(self, speed: float, **asked: Any) -> Iterator[dict[str, Any]]:
        """Publishes them meanwhile, so much faster than they happened; afterwards the rest at once, and what was sent is told."""
        told: dict[str, Any] = {}
        replay, events = Replay({"bootstrap.servers": self.kafka}, speed=speed, closing=True), self.events(**asked)
        with in_a_thread(lambda: told.update(replay.run(events).as_dict()), seconds=SECONDS_MAX) as thread:
            try:
                yield told
                assert failures or thread.is_alive(), "nothing was left to be sent"
                replay.speed = None
            except BaseException:
                replay.ending.set()
                raise
        assert told["complete"]

    def read(self, topic: str) -> list[tuple[int, int, datetime, bytes | None]]:
        """Partition, offset, timestamp and value of everything in a topic."""
        return [(m.partition(), m.offset(), EPOCH + timedelta(milliseconds=m.timestamp()[1]), m.value())
                for m in read_topic({"bootstrap.servers": self.kafka}, topic)]

    def dead_letters(self, view: str) -> Counter[str]:
        """Reason -> how many places of the topics have a dead letter for it; a letter sent again counts once."""
        found = {tuple(json.loads(value or b"{}").values())[:4]
                 for *_, value in self.read(messages.dead_letter_topic(self.config().namespace, self.view(view)))}
        return Counter(str(reason) for *_, reason in found)

    def arrivals(self, view: str) -> dict[tuple[Any, ...], list[tuple[datetime, bytes]]]:
        """Slot (keys, event time) -> when each of its messages arrived in the view's topic, in that order, and what it says."""
        definition, out = self.view(view), defaultdict[tuple[Any, ...], list[tuple[datetime, bytes]]](list)
        schema: Any = fastavro.parse_schema(messages.avro_schema(definition))
        for *_, at, value in self.read(messages.topic(self.config().namespace, definition)):
            assert value is not None
            row: Any = fastavro.schemaless_reader(io.BytesIO(value), schema, None)
            names = (*definition.key_names, messages.EVENT_TIMESTAMP)
            out[tuple(row[name] for name in names)].append((at, value))
        return {slot: sorted(found) for slot, found in out.items()}

    # -- the stream -----------------------------------------------------------------------------------------------------

    def stream(self, expected: dict[str, int], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Runs the jobs and a consumer until `meanwhile` is done, the history holds so many rows a view, and no more come."""
        project = Project(self.config())
        project.__dict__["manifest"] = self.manifest
        jobs = project.jobs(cluster_of(self.config()))
        for view in VIEWS:
            assert project.submit(jobs, view).works
        consumer = self.consume()
        with in_a_thread(consumer.run, consumer.stop.set, 60) as thread:
            meanwhile()
            deadline, counted, since = time.monotonic() + SECONDS_MAX, list[int](), time.monotonic()
            while time.monotonic() < deadline and thread.is_alive():
                time.sleep(0.3)
                now = [sum(s.counts.messages for s in consumer.streams.values()), *(self.rows(view) for view in VIEWS)]
                since = since if now == counted else time.monotonic()
                counted = now
                if time.monotonic() - since > QUIET_SECONDS and all(self.held(v) >= expected[v] for v in VIEWS):
                    break

    def consume(self) -> Consumer:
        views = [self.view(name) for name in VIEWS]
        return Consumer(self.config(), views, {"bootstrap.servers": self.kafka}, Options(flush_seconds=1.0))

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """`skewless stream run` in a process of its own."""
        with open(self.root / "run.log", "wb") as log:
            keeper = subprocess.Popen([sys.executable, "-m", "skewless.cli", "stream", "run"], cwd=self.root, stderr=log)
        try:
            yield
            assert keeper.poll() is None, (self.root / "run.log").read_text()
        finally:
            keeper.terminate()
            keeper.wait()

    def end(self) -> None:
        """Cancels the jobs."""
        project = Project(self.config())
        jobs = project.jobs(cluster_of(self.config()))
        for stream in project.records.all():
            jobs.stop(stream, cancel=True)

    def rows(self, view: str) -> int:
        """Rows that the history has, told by its log."""
        found = self.lake(view).statistics()
        return int(found["current"] + found["pending"])

    def held(self, view: str) -> int:
        """Slots that the history has."""
        table = self.lake(view)
        return query(f"select count(*) from {table.relation()}")[0][0] if table.exists() else 0

    # -- the batch, and what is compared ----------------------------------------------------------------------------------

    def dbt(self, target: str) -> dict[str, str]:
        """`dbt run` of the streamed views; view -> what its run says of itself."""
        done = run_dbt(self.config(target), ["run", "--select", *(f"+{view}" for view in VIEWS)])
        assert done.ok, done.lines
        told = {r["unique_id"].split(".")[-1]: r["message"] for r in done.run_results["results"]}
        return {view: told[view] for view in VIEWS}

    def slots(self, view: str, target: str) -> dict[bytes, bytes]:
        """Slot -> its values, in the bytes of the online store, of the rows that count."""
        definition = self.view(view)
        columns = ", ".join(f'"{n}"' for n in (*definition.key_names, "event_timestamp", *definition.feature_names))
        table = arrow(f"select {columns}, timestamp '2013-01-01' as ingested_at from {self.lake(view, target).relation()}")
        keys = rows.encode_keys("x.y", definition, table).to_pylist()
        values = rows.encode_rows(definition, table, 0).to_pylist()
        out = {key + raw[10:18]: raw for key, raw in zip(keys, values, strict=True)}
        assert len(out) == table.num_rows
        return out

    def online(self, view: str) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """Key -> bytes without the batch's stamp: of every entity's newest row in the history, and of the online store.

        An entity whose newest row is older than ttl is compared where the online store still has it.
        """
        definition, config = self.view(view), self.config()
        newest = self.lake(view).changes(None).rows
        keys = rows.encode_keys(config.namespace, definition, newest).to_pylist()
        offline = dict(zip(keys, rows.encode_rows(definition, newest, 0).to_pylist(), strict=True))
        client = connect(config)
        pattern = f"{config.namespace}:{{*:{definition.name}@{definition.version}"
        found = {key: client.get(key) for key in client.scan_iter(match=pattern, count=10_000)}
        oldest = now_us() - (definition.ttl_us or 2**62)
        wanted = {k: raw for k, raw in offline.items() if k in found or rows.read_header(raw).event_timestamp_us >= oldest}
        return unstamped(wanted), unstamped(found)


def sources() -> dict[str, pa.Table]:
    """The example's."""
    flights = prepare.flights()
    return {"departures": prepare.departures(flights), "landings": prepare.landings(flights), "weather": prepare.weather()}


def unstamped(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: raw[:STAMP_AT] + raw[HEADER_SIZE:] for key, raw in found.items()}


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        return con.execute(sql).fetchall()


def arrow(sql: str) -> pa.Table:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        return con.sql(sql).to_arrow_table()


def typed(body: dict[str, Any], types: dict[str, pa.DataType]) -> dict[str, Any] | None:
    """The fields as values of their types; None where one is of another type."""
    out: dict[str, Any] = {}
    for name, type_ in types.items():
        value = body.get(name)
        try:
            if value is not None and pa.types.is_timestamp(type_):
                value = datetime.fromisoformat(value).replace(tzinfo=None)
            elif value is not None and pa.types.is_integer(type_):
                value = int(value)
        except ValueError:
            return None
        out[name] = value
    return out


def clock_after(until: datetime) -> str:
    """When a batch that waits an hour has all that happened before, and the hour after."""
    return format_instant((until + timedelta(hours=3) - EPOCH) // timedelta(microseconds=1))
