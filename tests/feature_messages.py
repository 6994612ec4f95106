"""Feature messages as a job would write them, and a topic of them on a real broker."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import redis
from confluent_kafka import Consumer as Reader
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from skewless import messages, rows
from skewless.clock import EPOCH, parse_instant
from skewless.config import Config
from skewless.dev.stack import Stack
from skewless.online import OnlineStore
from skewless.registry.model import Streaming, View
from skewless.sync.consume import Consumer, Options
from skewless.warehouse.lake import LakeTable
from tests.history_project import fetch, view
from tests.waiting import eventually, in_a_thread
from tests.whole_topic import read_topic

_names = itertools.count()
NOON = parse_instant("2026-03-10T12:00:00Z") // 1000
Known = tuple[tuple[Any, ...], int]             # values, ingested_at
Version = tuple[int, int, tuple[Any, ...]]      # ingested_at, offset, values
Online = tuple[int, int, tuple[Any, ...]]       # event_timestamp, ingested_at, values


def wire(type_text: str, value: Any) -> Any:
    """A value as a message carries it: timestamps are texts."""
    return value.isoformat(" ", "microseconds") if isinstance(value, datetime) and type_text == "timestamp" else value


def body(view: View, row: list[Any]) -> bytes:
    """The Avro record of a row: keys, event_timestamp (milliseconds), features."""
    names = [*view.key_names, messages.EVENT_TIMESTAMP, *view.feature_names]
    types = [*(k.type for k in view.join_keys), "", *(f.type for f in view.features)]
    out = io.BytesIO()
    record = {n: wire(t, v) for n, t, v in zip(names, types, row, strict=True)}
    record[messages.EVENT_TIMESTAMP] = EPOCH + timedelta(milliseconds=record[messages.EVENT_TIMESTAMP])
    schemaless_writer(out, parse_schema(messages.avro_schema(view)), record)
    return out.getvalue()


def streamed(**changes: Any) -> View:
    """The view `events` of the history's tests, streaming."""
    return view(**{"streamed": True, "stream": Streaming(), **changes})


@dataclass
class Topic:
    """A project of its own with one streamed view and the view's topic; rows are (key, milliseconds, a, x)."""

    stack: Stack
    root: Path
    partitions: int = 2
    view: View = field(default_factory=streamed)
    said: list[str] = field(default_factory=list)
    patience: float = 5.0       # of the online store's clients, seconds

    def __post_init__(self) -> None:
        self.config = Config(root=str(self.root), project=f"shop{next(_names)}", online_store=self.store_url)
        self.brokers: dict[str, Any] = {"bootstrap.servers": self.stack.endpoints["kafka"], "log_level": 0}
        self.name = messages.topic(self.config.namespace, self.view)
        self.admin = AdminClient(self.brokers)
        self.make()
        self.producer = Producer({**self.brokers, "linger.ms": 5})
        self.versions = 0                           # how many versions of rows `expected` saw
        self.tied = set[tuple[str, int]]()          # slots with two values of one millisecond: which one wins is chance

    def configure(self, online_store: str = "") -> None:
        """Writes the project's settings for its commands; `online_store`: another way to it."""
        (self.root / "skewless.yml").write_text(json.dumps({
            "project": self.config.project, "online_store": online_store or self.config.online_store,
            "kafka": {"bootstrap_servers": self.stack.endpoints["kafka"]},
        }))

    @property
    def store_url(self) -> str:
        return f"{self.stack.endpoints['valkey']}?socket_timeout={self.patience}"

    def make(self) -> None:
        topic = NewTopic(self.name, num_partitions=self.partitions, config={"message.timestamp.type": "LogAppendTime"})
        self.admin.create_topics([topic])[self.name].result(30)

    def send(self, *sent: tuple[Any, ...], view: View | None = None, wait: bool = True) -> None:
        """Rows as messages; a key's rows go to one partition."""
        of = view or self.view
        headers: Any = [(messages.HEADER, messages.header(of))]
        for row in sent:
            place = sum(str(row[0]).encode()) % self.partitions
            self.producer.produce(self.name, body(of, list(row)), json.dumps({"k": row[0]}), place, headers=headers)
            self.producer.poll(0)
        if wait:
            assert not self.producer.flush(30)

    def raw(self, value: bytes | None, key: bytes | None = b"{}", headers: Any = ()) -> None:
        """A message that is none."""
        self.producer.produce(self.name, value, key, 0, headers=list(headers))
        assert not self.producer.flush(30)

    def consumer(self, *, flush_rows: int = 1000, flush_seconds: float = 0.2, stores: str = "both", once: bool = False,
                 reload: Callable[[View], View | None] = lambda view: None, member: str = "", group: str = "") -> Consumer:
        options = Options(
            stores=stores, flush_rows=flush_rows, flush_seconds=flush_seconds, until_caught_up=once, member=member
        )
        made = Consumer(self.config, [self.view], self.brokers, options, reload=reload, say=self.said.append)
        made.group += group
        return made

    def once(self, **options: Any) -> Consumer:
        """A consumer that has caught up."""
        consumer = self.consumer(once=True, **options)
        consumer.run()
        return consumer

    @contextmanager
    def running(self, **options: Any) -> Iterator[Consumer]:
        """A consumer in a thread; at the end it is stopped, and must have drained."""
        consumer = self.consumer(**options)
        with in_a_thread(consumer.run, consumer.stop.set):
            yield consumer

    # -- what is where --------------------------------------------------------------------------------------------------

    @property
    def table(self) -> LakeTable:
        return LakeTable(self.config.lake_root, self.view)

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.config.online_store)

    def read(self, topic: str = "") -> list[Any]:
        return read_topic(self.brokers, topic or self.name)

    def dead(self) -> list[dict[str, Any]]:
        name = messages.dead_letter_topic(self.config.namespace, self.view)
        return [json.loads(m.value()) for m in self.read(name)]

    def offsets(self) -> dict[int, int]:
        """What the group has committed."""
        reader = Reader({**self.brokers, "group.id": f"skewless.{self.config.namespace}"})
        wanted = [TopicPartition(self.name, p) for p in range(self.partitions)]
        found = eventually(lambda: answered(lambda: reader.committed(wanted, timeout=30)))
        reader.close()
        return {p.partition: p.offset for p in found}

    def rewind(self, **offsets: int) -> None:
        """Commits these offsets (p0=…) for the group; nobody may be a member."""
        group = f"skewless.{self.config.namespace}"
        reader = Reader({**self.brokers, "group.id": group, "enable.auto.commit": False})
        where = [TopicPartition(self.name, int(p[1:]), offset) for p, offset in offsets.items()]
        eventually(lambda: _committed(reader, where))
        reader.close()

    def sent(self) -> dict[tuple[str, int], list[Version]]:
        """All rows in the topic: slot -> its versions; event times in microseconds."""
        slots: dict[tuple[str, int], list[Version]] = {}
        known = {bytes.fromhex(s.fingerprint): s for s in (*self.view.past_schemas, self.view.schema)}
        for message in self.read():
            header = dict(message.headers() or []).get(messages.HEADER)
            if header not in known or message.key() is None:
                continue
            schema: Any = parse_schema(messages.avro_schema(self.view, known[header]))
            try:
                record: Any = schemaless_reader(io.BytesIO(message.value()), schema)
            except Exception:
                continue
            at = (record.pop(messages.EVENT_TIMESTAMP) - EPOCH) // timedelta(microseconds=1)
            values = tuple(record.get(name) for name in self.view.feature_names)
            slots.setdefault((record["k"], at), []).append((message.timestamp()[1] * 1000, message.offset(), values))
        return slots

    def expected(self) -> dict[tuple[str, int], Known]:
        """Law 2 over all messages of the topic: slot -> values and ingested_at."""
        slots = self.sent()
        self.versions = sum(len({ingested for ingested, _, _ in versions}) for versions in slots.values())
        self.tied = {slot for slot, some in slots.items() if len({v[0] for v in some}) < len({repr(v[::2]) for v in some})}
        return {slot: winner(versions) for slot, versions in slots.items()}

    def offline(self) -> dict[tuple[str, int], Known]:
        return offline_rows(self.table, self.view)

    def online(self) -> dict[str, Online]:
        """Entity -> event_timestamp, ingested_at, values."""
        return online_rows(self.client, self.config.namespace, self.view)

    def check(self) -> None:
        """History = law 2 over the messages, each of them there once; online store = its newest rows. No batch has run."""
        expected, offline, online = self.expected(), self.offline(), self.online()
        assert offline.keys() == expected.keys()
        assert not [slot for slot, known in expected.items() if offline[slot] != known and slot not in self.tied]
        wanted = newest(expected)
        assert online.keys() == wanted.keys()
        assert not [k for k, row in wanted.items() if online[k] != row and (k, row[0]) not in self.tied]
        count = self.pending()
        assert self.versions <= count <= self.versions + 2 * len(self.tied), "a message is there twice, or not at all"

    def pending(self) -> int:
        """Rows of the stream as they lie in the lake, copies of one slot counted each."""
        return int(self.table.statistics()["pending"])


def offline_rows(table: LakeTable, view: View) -> dict[tuple[str, int], Known]:
    """What the history of a view with one join key holds: slot -> values and ingested_at."""
    columns = ", ".join(f'"{name}"' for name in view.feature_names)
    (key,) = view.key_names
    found = fetch(f"select {key}, epoch_us(event_timestamp), epoch_us(ingested_at), {columns} from {table.relation()}")
    out = {(k, at): (tuple(values), ingested) for k, at, ingested, *values in found}
    assert len(out) == len(found), "a slot has two rows"
    return out


def online_rows(client: redis.Redis, namespace: str, view: View) -> dict[str, Online]:
    """What the online store holds of a view with one join key: entity -> event_timestamp, ingested_at, values."""
    store, out = OnlineStore(client, namespace), {}
    for keys, _ in store.scan(view):
        for key, raw in zip(keys, store.read(keys), strict=True):
            assert raw is not None
            row = rows.decode_row(view, raw)
            if not row.header.tombstone:
                name = unquote(key.decode().partition("|")[2].partition("}")[0])
                out[name] = (row.header.event_timestamp_us, row.header.ingested_at_us, tuple(row.values))
    return out


def winner(versions: list[Version]) -> Known:
    """The greatest ingested_at, the later message of one instant, and the earliest of its run of equal values."""
    ordered = sorted({version[0]: version for version in sorted(versions, key=lambda v: v[:2])}.values())
    at = len(ordered) - 1
    while at and repr(ordered[at - 1][2]) == repr(ordered[at][2]):
        at -= 1
    return ordered[-1][2], ordered[at][0]


def newest(slots: dict[tuple[str, int], Known]) -> dict[str, Online]:
    """The newest row of each entity."""
    out: dict[str, Online] = {}
    for (key, at), (values, ingested) in slots.items():
        if key not in out or out[key][0] < at:
            out[key] = (at, ingested, values)
    return out


def answered(ask: Callable[[], Any]) -> Any:
    """None while the brokers are still finding the group's coordinator."""
    from confluent_kafka import KafkaException

    try:
        return ask()
    except KafkaException:
        return None


def _committed(reader: Reader, where: list[TopicPartition]) -> bool:
    from confluent_kafka import KafkaException

    try:
        reader.commit(offsets=where, asynchronous=False)
    except KafkaException:
        return False
    return True


def as_json(view: View) -> str:
    return msgspec.json.encode(view).decode()


def table_of(view: View, given: list[tuple[Any, ...]]) -> pa.Table:
    """Rows (k, event_timestamp, a, x, ingested_at; microseconds) as a stream's writer has them."""
    columns = list(zip(*given, strict=True)) or [()] * 5
    types = (pa.string(), pa.timestamp("us"), pa.int64(), pa.float64(), pa.timestamp("us"))
    names = ("k", "event_timestamp", "a", "x", "ingested_at")
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
