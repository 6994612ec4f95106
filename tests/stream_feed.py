"""Events for the tests of streams, and what a view that counts them must hold: a project, a topic, an oracle."""

from __future__ import annotations

import io
import json
import time
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from skewless import messages
from skewless.config import Config
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Registry, View, to_json
from skewless.registry.store import Store
from tests.registry_project import write_project

SOURCES = """
sources:
  - name: airport
    schema: main
    tables:
      - name: landings
        config: {meta: {skewless: {stream: {topic: landings, event_timestamp: landed_at, lateness: 200ms, idle_timeout: 0s}}}}
        columns:
          - {name: tailnum, data_type: varchar, data_tests: [not_null]}
          - {name: landed_at, data_type: timestamp}
          - {name: arrived_at, data_type: timestamp}
models:
  - name: rotation
    latest_version: 2
    config:
      materialized: view
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: plane, join_keys: [tailnum]}], input_lookback: 1h, stream: {enabled: true}}}
    columns:
      - {name: tailnum, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
    versions: [{v: 1}, {v: 2}]
"""
OVER = "over (partition by tailnum order by landed_at range between interval '{}' preceding and current row)"
SQL = "select tailnum, landed_at as event_timestamp, {}\nfrom {{{{ ref('stg_landings') }}}}\n"
SPANS = {1: timedelta(seconds=40), 2: timedelta(seconds=5)}
TICK = "tick"
DELAY = timedelta(milliseconds=50)
"""From an event to its arrival."""
TARGETS = tuple(f"t{n}" for n in range(1, 30))
_BEGIN = datetime(2026, 1, 1)
_PLANES, _STEP = 7, timedelta(milliseconds=100)
_DRAIN_SECONDS_MAX = 60.0


def write(
    root: Path, kafka: str = "", gateway: str = "", *, span: str = "40 seconds", topic: str = "landings", store: str = "",
    wider: bool = False, project: str = "shop",
) -> Config:
    """The project, with servers of these addresses; `span` is what version 1 counts over, `wider` has a feature more."""
    settings: dict[str, Any] = {"project": project, "kafka": {"bootstrap_servers": kafka}, "flink": {"gateway": gateway}}
    settings |= {"online_store": store} if store else {}
    root.mkdir(parents=True, exist_ok=True)
    (root / "skewless.yml").write_text(json.dumps(settings))
    features = {"landings": ("bigint", "count(*)")} | ({"first_at": ("timestamp", "min(landed_at)")} if wider else {})
    sqls = {"stg_landings": "select tailnum, landed_at from {{ source('airport', 'landings') }}"}
    for version, length in ((1, span), (2, "5 seconds")):
        values = ", ".join(f"{value} {OVER.format(length)} as {name}" for name, (_, value) in features.items())
        sqls[f"rotation_v{version}"] = SQL.format(values)
    (root / "models").mkdir(exist_ok=True)
    columns = "".join(f"      - {{name: {name}, data_type: {type_}}}\n" for name, (type_, _) in features.items())
    yaml = SOURCES.replace("{topic: landings", "{topic: " + topic).replace("    versions:", columns + "    versions:")
    config = write_project(root, {"views.yml": yaml}, sqls)
    (root / "models" / "rotation.sql").unlink()      # it has versions only
    outputs = {name: {"type": "duckdb", "path": f"{name}.duckdb", "settings": {"TimeZone": "UTC"}} for name in ("dev", *TARGETS)}
    (root / "profiles.yml").write_text(json.dumps({"shop": {"target": "dev", "outputs": outputs}}))
    return config


def apply(config: Config, manifest: dict[str, Any]) -> Registry:
    """The project's definitions, applied."""
    wanted, findings = read_definitions(config, manifest)
    assert not [f for f in findings if getattr(f, "level", "error") == "error"], findings
    store = Store(config)
    store.save(wanted, expected=store.applied())
    return msgspec.json.decode(to_json(wanted), type=Registry)


class Feed:
    """A topic of landings with two partitions, whose record timestamps are 50 ms after the event."""

    def __init__(self, servers: str, topic: str = "landings") -> None:
        self.servers, self.topic, self.now = servers, topic, _BEGIN
        self.sent: list[tuple[str, datetime]] = []
        self.faults = 0
        admin = AdminClient({"bootstrap.servers": servers})
        (future,) = admin.create_topics([NewTopic(topic, 2)]).values()
        future.result()
        self._producer = Producer({"bootstrap.servers": servers})

    def send(self, count: int, plane: str = "") -> None:
        """The next events, a tenth of a second apart, and one of TICK a second later in each partition: all but that come out.
        They are of that plane, or of all."""
        for number in range(count):
            self.now += _STEP
            self._event(plane or f"N{(number * number + number // 3) % _PLANES}", number % 2)
        self.now += timedelta(seconds=1)
        for partition in (0, 1):
            self._event(TICK, partition)
        assert self._producer.flush(30) == 0

    def send_late(self, plane: str, count: int) -> None:
        """Events that happened and arrived ten seconds before the last ones, and stand behind them: jobs take none of them."""
        now, self.now = self.now, self.now - timedelta(seconds=10)
        for _ in range(count):
            self._send(self.body(plane), plane, 0)
        self.now = now
        assert self._producer.flush(30) == 0

    def send_fault(self, payload: bytes | None) -> None:
        """What is no event, and becomes a dead letter of every job of the topic."""
        self._send(payload, "N1", 1)
        assert self._producer.flush(30) == 0
        self.faults += 1

    def _send(self, payload: bytes | None, plane: str, partition: int) -> None:
        arrived_ms = (self.now + DELAY - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
        self._producer.produce(self.topic, payload, plane.encode(), partition, timestamp=arrived_ms)

    def body(self, plane: str) -> bytes:
        """An event of now."""
        return json.dumps({"tailnum": plane, "landed_at": self.now.isoformat(timespec="milliseconds") + "Z"}).encode()

    def _event(self, plane: str, partition: int) -> None:
        self._send(self.body(plane), plane, partition)
        if plane != TICK:
            self.sent.append((plane, self.now))

    def expected(self, version: int, since: datetime = _BEGIN, span: timedelta | None = None) -> dict[tuple[str, datetime], int]:
        """(plane, event time) -> landings within the span, of every event sent; for a job that began with those `since`."""
        out: dict[tuple[str, datetime], int] = {}
        times = defaultdict[str, list[datetime]](list)
        for plane, at in self.sent:
            if at >= since:
                times[plane].append(at)
                out[plane, at] = sum(1 for t in times[plane] if t >= at - (span or SPANS[version]))
        return out


def records(servers: str, view: View, namespace: str, slots: int) -> list[tuple[tuple[str, datetime], dict[str, Any]]]:
    """Slot (plane, event time) and features of what a view's topic holds, without TICK, in the order of the partitions, once it
    holds rows for so many slots."""
    topic = messages.topic(namespace, view)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    places = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic).topics[topic].partitions]
    consumer.assign(places)
    schemas = {header: fastavro.parse_schema(messages.avro_schema(view, past)) for header, past in messages.schemas(view).items()}
    out, deadline, quiet = [], time.monotonic() + _DRAIN_SECONDS_MAX, 0
    while quiet < 2 or len({slot for slot, _ in out}) < slots and time.monotonic() < deadline:
        found = consumer.consume(1000, 0.3)
        quiet = 0 if found else quiet + 1
        for message in found:
            assert message.error() is None
            schema = schemas[dict(message.headers())[messages.HEADER]]
            row: Any = fastavro.schemaless_reader(io.BytesIO(message.value()), schema, None)
            slot = row.pop("tailnum"), row.pop(messages.EVENT_TIMESTAMP)
            if slot[0] != TICK:
                out.append((slot, row))
    consumer.close()
    return out


def rows(servers: str, view: View, namespace: str, count: int) -> list[tuple[tuple[str, datetime], int]]:
    """The same, with the one feature of `rotation`."""
    return [(slot, row["landings"]) for slot, row in records(servers, view, namespace, count)]


def settled(found: list[tuple[tuple[str, datetime], int]]) -> dict[tuple[str, datetime], int]:
    """Slot -> value; a row that was sent again must say the same."""
    out: dict[tuple[str, datetime], int] = {}
    for slot, value in found:
        assert out.setdefault(slot, value) == value, (slot, value, out[slot])
    return out
