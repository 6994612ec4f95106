"""A topic of Avro events read by a running job: the values that come out, what is a dead letter, and what ends the job."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, TopicPartition

from skewless import messages
from skewless.cli.stream_project import Project, cluster_of, kafka_of, positions
from skewless.clock import EPOCH, format_instant
from skewless.dev.stack import Stack
from skewless.stream.jobs import Jobs
from skewless.stream.supervisor import Supervisor
from tests.registry_project import write_project
from tests.stream_feed import DELAY, Feed, apply, records
from tests.waiting import eventually

SQL_TYPES = {
    "delay": "bigint", "gate": "integer", "diverted": "boolean", "weight": "double", "fare": "decimal(10,2)", "day": "date",
    "scheduled_at": "timestamp", "picture": "blob", "stops": "varchar[]",
}
COLUMNS = [f'{{name: {name}, data_type: "{type_}"}}' for name, type_ in SQL_TYPES.items()]
YAML = """
sources:
  - name: airport
    schema: main
    tables:
      - name: landings
        config: {meta: {skewless: {stream: {topic: packed, format: avro, event_timestamp: landed_at, idle_timeout: 0s}}}}
        columns:
          - {name: tailnum, data_type: varchar, data_tests: [not_null]}
          - {name: landed_at, data_type: timestamp}
          - {name: arrived_at, data_type: timestamp}
          - COLUMNS
models:
  - name: unpacked
    config:
      materialized: view
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: plane, join_keys: [tailnum]}], stream: {enabled: true, only: true}}}
    columns:
      - {name: tailnum, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - COLUMNS
"""
for indent in ("          - ", "      - "):
    YAML = YAML.replace(f"{indent}COLUMNS\n", "".join(f"{indent}{column}\n" for column in COLUMNS), 1)
SQL = f"select tailnum, landed_at as event_timestamp, {', '.join(SQL_TYPES)} from {{{{ source('airport', 'landings') }}}}"

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
FIELDS: dict[str, Any] = {
    "tailnum": "string", "landed_at": MILLIS, "delay": "long", "gate": "int", "diverted": "boolean", "weight": "double",
    "fare": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
    "day": {"type": "int", "logicalType": "date"}, "scheduled_at": MILLIS,
    "picture": "bytes", "stops": {"type": "array", "items": ["null", "string"]},
}
SCHEMA: Any = fastavro.parse_schema(
    {"type": "record", "name": "landing", "fields": [{"name": n, "type": ["null", t]} for n, t in FIELDS.items()]}
)
"""What docs/streams.md says of an event: the columns in their order, each a union of null and its type."""
FULL: dict[str, Any] = {
    "delay": -(2**60), "gate": 2**31 - 1, "diverted": True, "weight": 0.1, "fare": Decimal("-12345678.90"),
    "day": date(1969, 12, 31), "scheduled_at": -1, "picture": b"\x00\xff", "stops": ["JFK", None, "日"],
}
FOUND = FULL | {"scheduled_at": "1969-12-31 23:59:59.999000"}
EMPTY: dict[str, Any] = dict.fromkeys(SQL_TYPES)


def packed(plane: str | None, at: datetime | None, values: dict[str, Any] = EMPTY) -> bytes:
    out = io.BytesIO()
    landed_at = None if at is None else (at - EPOCH) // timedelta(milliseconds=1)
    fastavro.schemaless_writer(out, SCHEMA, {"tailnum": plane, "landed_at": landed_at, **values})
    return out.getvalue()


class Packed(Feed):
    """Landings in Avro; `values` are what an event holds besides plane and time."""

    values = FULL

    def body(self, plane: str) -> bytes:
        return packed(plane, self.now, self.values)


class World:
    """The project of one view, `unpacked`, whose topic is Avro."""

    def __init__(self, stack: Stack, root: Path) -> None:
        kafka, gateway = stack.endpoints["kafka"], stack.endpoints["gateway"]
        settings = {"project": "avro", "kafka": {"bootstrap_servers": kafka}, "flink": {"gateway": gateway}}
        (root / "skewless.yml").write_text(json.dumps(settings))
        self.config = write_project(root, {"views.yml": YAML}, {"unpacked": SQL})
        self.project, self.feed = Project(self.config), Packed(kafka, "packed")
        self.view = apply(self.config, self.project.manifest).view("unpacked")
        self.said: list[str] = []

    @property
    def jobs(self) -> Jobs:
        return self.project.jobs(cluster_of(self.config))

    def submit(self, **options: Any) -> str:
        """The id of the job."""
        started = self.project.submit(self.jobs, "unpacked", **options)
        assert started.works
        return started.stream.job_id

    def rows(self, count: int) -> list[tuple[tuple[str, datetime], dict[str, Any]]]:
        return sorted(records(self.feed.servers, self.view, self.config.namespace, count), key=lambda row: row[0])

    def look(self) -> list[str]:
        """What `stream run` says."""
        Supervisor(self.project.records, lambda: (cluster_of(self.config), kafka_of(self.config)), self.said.append).once()
        return self.said

    def dead_letters(self) -> list[dict[str, Any]]:
        name = messages.dead_letter_topic(self.config.namespace, self.view)
        reader = Consumer({"bootstrap.servers": self.feed.servers, "group.id": "letters", "enable.auto.commit": False})
        place = TopicPartition(name, 0, 0)
        reader.assign([place])
        count = reader.get_watermark_offsets(place)[1]
        found = [json.loads(message.value()) for message in reader.consume(count, 30)]
        reader.close()
        return found


@pytest.fixture
def world(stack: Stack, tmp_path: Path) -> Iterator[World]:
    made = World(stack, tmp_path)
    yield made
    for stream in made.project.records.all():
        made.jobs.stop(stream, cancel=True)


def test_avro_events_are_rows_and_dead_letters_and_one_that_does_not_decode_ends_the_job(world: World) -> None:
    feed, job = world.feed, world.submit()
    manager = world.jobs.cluster.manager
    feed.send(4)
    feed.values = EMPTY
    feed.send(4)
    feed.send_fault(packed("N1", None))
    feed.send_fault(packed(None, feed.now))
    feed.send_fault(packed("N1", feed.now - timedelta(seconds=1) + DELAY))
    feed.send_fault(packed("N1", feed.now + timedelta(seconds=5, milliseconds=51)))
    feed.send_fault(None)
    feed.send(4)
    wanted = [(slot, FOUND if number < 4 else EMPTY) for number, slot in enumerate(feed.sent)]
    assert world.rows(12) == sorted(wanted, key=lambda row: row[0])
    letters = eventually(lambda: len(found := world.dead_letters()) >= 4 and found)
    places = [letter["offset"] for letter in letters]
    reasons = ["landed_at is missing", "tailnum is missing", "late", "in the future"]
    assert [letter["reason"] for letter in letters] == reasons and places == list(range(places[0], places[0] + 4))
    assert {(letter["topic"], letter["partition"], letter["payload"]) for letter in letters} == {("packed", 1, None)}
    assert manager.works(job) and not manager.trouble(job)          # nor did the tombstone do anything

    feed.send_fault(b"\0\0\0\0\7" + packed("N1", feed.now, FULL))     # the id of a schema in front
    after = feed.now + DELAY + timedelta(milliseconds=1)
    feed.send(4)
    eventually(lambda: "Flink restarts the job" in " ".join(world.look()))
    shown = eventually(lambda: next((p for p in positions(world.config, [], "") if p.trouble), None))     # it comes and goes
    assert shown.job_id == job and shown.dead_letters is not None and shown.dead_letters.count == len(letters)
    behind = {slot for slot in feed.sent[13::2]}        # what follows in its partition
    assert len(behind) == 2 and not behind & {slot for slot, _ in world.rows(12)}
    world.submit(reset=True, since=format_instant((after - EPOCH) // timedelta(microseconds=1)))
    wanted += [(slot, EMPTY) for slot in feed.sent[12:]]
    eventually(lambda: dict(world.rows(16)) == dict(wanted))
    assert len(world.dead_letters()) == len(letters)
