"""`skewless dev replay` on a real broker: the events of the warehouse, in their order and with their arrival times."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import structs

from skewless.config import read_config
from skewless.dev.events import KINDS, Asked, Copy, Events, copies
from skewless.dev.replay import Replay
from skewless.dev.stack import Stack
from skewless.errors import SkewlessError
from skewless.registry.finding import Finding
from skewless.registry.streams import read_streams
from skewless.warehouse.dbt import ensure_manifest
from tests.whole_topic import read_topic

SOURCES = """sources:
  - name: airport
    config: {meta: {external_location: "data/{name}.parquet"}}
    tables:
      - name: landings
        config: {meta: {skewless: {stream: {topic: landings, event_timestamp: landed_at, lateness: 1s}}}}
        columns:
          - {name: tailnum, data_type: varchar}
          - {name: landed_at, data_type: timestamp}
          - {name: arrived_at, data_type: timestamp}
          - {name: delay, data_type: bigint}
          - {name: weight, data_type: double}
          - {name: day, data_type: date}
          - {name: fare, data_type: "decimal(10,2)"}
      - name: departures
        config: {meta: {skewless: {stream: {topic: departures, event_timestamp: left_at, arrived_at: got_at}}}}
        columns:
          - {name: left_at, data_type: timestamp}
          - {name: got_at, data_type: timestamp}
      - name: bare
        config: {meta: {skewless: {stream: {topic: bare, event_timestamp: left_at}}}}
        columns: [{name: left_at, data_type: timestamp}]
"""
BEGIN, COUNT = datetime(2013, 3, 1, 12), 400
TOPICS = ("--topic", "landings", "--topic", "departures")
Message = tuple[str, int, datetime, bytes | None]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker of this module."""
    with Stack(tmp_path_factory.mktemp("stack"), ("kafka",)) as stack:
        yield stack.endpoints["kafka"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Path:
    root = tmp_path_factory.mktemp("replay")
    (root / "models").mkdir()
    (root / "data").mkdir()
    (root / "models" / "sources.yml").write_text(SOURCES)
    (root / "dbt_project.yml").write_text("name: tiny\nversion: '1.0'\nprofile: tiny\n")
    (root / "profiles.yml").write_text("tiny: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}\n")
    (root / "skewless.yml").write_text(f"project: tiny\nkafka: {{bootstrap_servers: '{kafka}'}}\n")
    at = [BEGIN + timedelta(seconds=10 * i) for i in range(COUNT)]
    arrived = [t + timedelta(milliseconds=100 + 7 * i % 500) for i, t in enumerate(at)]
    us = pa.timestamp("us")
    landings = pa.table({
        "tailnum": pa.array([f"N{i % 9}" if i % 50 else None for i in range(COUNT)]), "landed_at": pa.array(at, us),
        "arrived_at": pa.array(arrived, us), "delay": list(range(COUNT)), "weight": [i / 3 for i in range(COUNT)],
        "day": pa.array([t.date() for t in at]), "fare": pa.array([f"{i}.50" for i in range(COUNT)]).cast(pa.decimal128(10, 2)),
    })
    pq.write_table(landings.take(list(reversed(range(COUNT)))), root / "data" / "landings.parquet")     # in no order
    pq.write_table(pa.table({"left_at": pa.array(at, us), "got_at": pa.array(arrived, us)}), root / "data" / "departures.parquet")
    return root


@pytest.fixture(scope="module")
def landings(project: Path) -> list[Copy]:
    """The copies of both topics, of a manifest that dbt parsed once."""
    config, findings = read_config(project), list[Finding]()
    manifest = ensure_manifest(config, compiled=False)
    streams = read_streams(project, manifest, findings)
    assert not findings
    return copies(manifest, streams, ["landings", "departures"])


def replay(project: Path, kafka: str, found: list[Copy], closing: bool = False, **asked: Any) -> dict[str, Any]:
    sent = Replay({"bootstrap.servers": kafka}, closing=closing, recreate=True).run(Events(project, found, Asked(**asked)))
    return sent.as_dict()


def command(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "skewless.cli", "dev", "replay", *args]
    return subprocess.run(argv, cwd=project, capture_output=True, text=True, timeout=120)


def read(kafka: str, topic: str) -> list[list[Message]]:
    """Per partition: (topic, offset, timestamp, value) of everything in the topic."""
    found = read_topic({"bootstrap.servers": kafka}, topic)
    out: list[list[Message]] = [[] for _ in range(2)]
    for message in found:
        at = datetime(1970, 1, 1) + timedelta(milliseconds=message.timestamp()[1])
        out[message.partition()].append((topic, message.offset(), at, message.value()))
    return out


def test_the_events_come_in_the_order_and_with_the_times_of_their_arrival(project: Path, kafka: str) -> None:
    done = command(project, "--topic", "landings", "--create", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"topics": {"landings": 2}}, done.stderr
    assert read(kafka, "landings") == [[], []]
    done = command(project, "--topic", "landings", "--topic", "departures", "--json")
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert sent["complete"] and sent["topics"]["landings"] == {"event": COUNT, "late": 0, "duplicate": 0, "malformed": 0}
    partitions = read(kafka, "landings")
    assert [len(p) for p in partitions] == [COUNT // 2, COUNT // 2]
    for messages in partitions:
        assert [m[2] for m in messages] == sorted(m[2] for m in messages)
    by_delay = {}
    for *_, at, value in (m for p in partitions for m in p):
        body = json.loads(value or b"")
        by_delay[body["delay"]] = (at, body)
    held = pq.read_table(project / "data" / "landings.parquet").to_pylist()
    assert len(by_delay) == len(held)
    for row in held:
        at, body = by_delay[row["delay"]]
        assert at == row["arrived_at"]
        assert body == {
            "tailnum": row["tailnum"], "landed_at": iso(row["landed_at"]), "delay": row["delay"],
            "weight": repr(row["weight"]), "day": str(row["day"]), "fare": str(row["fare"]),
        }
    assert sum(len(p) for p in read(kafka, "departures")) == COUNT


def test_late_duplicates_and_what_is_no_event_are_the_same_each_time(project: Path, kafka: str, landings: list[Copy]) -> None:
    ways: dict[str, Any] = {"late": 0.1, "duplicates": 0.2, "malformed": 16, "closing": True}
    first, held = replay(project, kafka, landings, **ways), read(kafka, "landings")
    counts = first["topics"]["landings"]
    assert 20 < counts["late"] < 70 and 50 < counts["duplicate"] < 120 and counts["late"] + counts["event"] == COUNT
    assert sum(topic["malformed"] for topic in first["topics"].values()) == 16 == 2 * len(KINDS)
    bodies, late = Counter[bytes | None](), 0
    for *_, at, value in (m for p in held for m in p):
        bodies[value] += 1
        try:
            landed = json.loads(value or b"")["landed_at"]
            late += at - datetime.fromisoformat(landed).replace(tzinfo=None) >= timedelta(seconds=1)
        except (ValueError, KeyError, TypeError):
            pass
    assert late >= counts["late"] and sum(bodies.values()) == sum(counts.values()) + 2 and bodies[b"{}"] == 2
    assert all([m[2] for m in p] == sorted(m[2] for m in p) for p in held)
    replay(project, kafka, landings, **ways)
    assert read(kafka, "landings") == held


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_shifted_replay_sends_nothing_before_its_time(project: Path, kafka: str, ending: signal.Signals) -> None:
    """What lies before now goes at once; the rest waits for its arrival, which is said, and a signal ends that."""
    now = datetime.now(UTC).replace(tzinfo=None)
    start = BEGIN.replace(hour=now.hour, minute=now.minute) - timedelta(minutes=10)
    at = [start + timedelta(seconds=30 * i + 300 * (i >= 20)) for i in range(60)]
    us, delay = pa.timestamp("us"), timedelta(milliseconds=5)
    table = pa.table({"left_at": pa.array(at, us), "got_at": pa.array([t + delay for t in at], us)})
    pq.write_table(table, project / "data" / "departures.parquet")
    argv = [sys.executable, "-m", "skewless.cli", "dev", "replay", "--topic", "departures", "--recreate", "--shift-to-now"]
    with subprocess.Popen([*argv, "--json"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("the next record arrives at " in line for line in process.stderr)
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    sent, held, ended = json.loads(out), recent(kafka), datetime.now(UTC).replace(tzinfo=None)
    assert not sent["complete"] and len(held) == sent["topics"]["departures"]["event"] == 20
    for *_, arrived, value in held:
        assert ended - timedelta(minutes=30) < arrived <= ended
        assert json.loads(value or b"")["left_at"] == iso(arrived - delay)
    assert sent["shifted_days"] == (held[0][2] - at[0] - delay).days


def recent(kafka: str) -> list[Message]:
    """The departures of these days."""
    try:
        return [m for p in read(kafka, "departures") for m in p if m[2].year > 2020]
    except KeyError:
        return []


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds") + "Z"


def test_a_speed_is_kept(project: Path, kafka: str, landings: list[Copy]) -> None:
    """40 s of events at ten times their speed."""
    until = (BEGIN - datetime(1970, 1, 1)) // timedelta(microseconds=1) + 45_000_000
    only = [copy for copy in landings if copy.source.topic == "landings"]
    events = Events(project, only, Asked(to_us=until))
    sent = Replay({"bootstrap.servers": kafka}, speed=10.0, recreate=True).run(events)
    assert sent.counts["landings"]["event"] == 5 and sent.seconds >= 3.9


def test_the_first_record_of_each_partition_comes_before_the_others(project: Path, kafka: str, landings: list[Copy]) -> None:
    """Else a job that waited would take one partition's events for all, and the others' for too late."""
    only = [copy for copy in landings if copy.source.topic == "landings"]
    sending = Replay({"bootstrap.servers": kafka}, recreate=True)
    events = Events(project, only, Asked())
    sending.prepare(events)
    sending.recreate = False
    with ThreadPoolExecutor(1) as pool, closing(Consumer({"bootstrap.servers": kafka, "group.id": "watch"})) as consumer:
        sent, seen = pool.submit(sending.run, events), list[list[int]]()
        while not sent.done():
            seen.append([consumer.get_watermark_offsets(TopicPartition("landings", p), 5.0, cached=False)[1] for p in (0, 1)])
        assert [1, 1] in seen and sent.result().complete
    assert [len(p) for p in read(kafka, "landings")] == [COUNT // 2, COUNT // 2]


@pytest.mark.parametrize(("args", "code"), [
    (["--topic", "landings", "--from", "2013-02-01"], "SK941"),         # all of it would be late
    (["--topic", "bare"], "SK940"), (["--speed", "fast"], "SK102"),
    (["--topic", "landings", "--kafka", "127.0.0.1:9"], "SK942"),
])
def test_what_does_not_fit_is_refused(project: Path, args: list[str], code: str) -> None:
    done = command(project, *args)
    assert done.returncode in (2, 3) and f"error[{code}]" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_topic_whose_records_the_broker_stamps_is_refused(project: Path, kafka: str, landings: list[Copy]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    name = "stamped"
    for future in admin.create_topics([NewTopic(name, 1, config={"message.timestamp.type": "LogAppendTime"})]).values():
        future.result()
    (copy,) = [replace(c, source=structs.replace(c.source, topic=name)) for c in landings if c.source.topic == "landings"]
    with pytest.raises(SkewlessError, match="SK941.*stamps"):
        Replay({"bootstrap.servers": kafka}).run(Events(project, [copy], Asked()))
    with pytest.raises(SkewlessError, match="SK940"):
        Replay({"bootstrap.servers": kafka}).run(Events(project, [copy], Asked(from_us=2**60)))
