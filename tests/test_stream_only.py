"""A view that no batch computes, `only: true`: event topic, Flink, feature topic, consumer, both stores, fold, training set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.cli.stream_project import Project, cluster_of
from skewless.clock import EPOCH
from skewless.dev.stack import Stack
from skewless.online import connect
from skewless.project import apply_plan, make_plan
from skewless.registry.store import Store
from skewless.stream.jobs import Jobs
from skewless.warehouse.lake import LakeTable
from tests import history_project
from tests.feature_messages import newest, offline_rows, online_rows
from tests.stream_feed import OVER, TICK, Feed, records
from tests.test_materialize import call

YAML = """
sources:
  - name: airport
    schema: nowhere
    tables:
      - name: landings
        config: {meta: {skewless: {stream: {topic: unseen, event_timestamp: landed_at, lateness: 200ms, idle_timeout: 0s}}}}
        columns:
          - {name: tailnum, data_type: varchar, data_tests: [not_null]}
          - {name: landed_at, data_type: timestamp, data_tests: [not_null]}
          - {name: arrived_at, data_type: timestamp}
models:
  - name: rotation
    config:
      materialized: feature_view
      contract: {enforced: true}
      meta: {skewless: {entities: [{name: plane, join_keys: [tailnum]}], stream: {enabled: true, only: true}}}
    columns:
      - {name: tailnum, data_type: varchar}
      - {name: event_timestamp, data_type: timestamp}
      - {name: landings, data_type: bigint, config: {meta: {skewless: {default: 0}}}}
"""
SQL = f"""select tailnum, landed_at as event_timestamp, count(*) {OVER.format("40 seconds")} as landings
from {{{{ source('airport', 'landings') }}}} where {{{{ skewless.on_time(source('airport', 'landings')) }}}}
"""
MS = timedelta(milliseconds=1)


class World:
    """A dbt project of that one view on real servers."""

    def __init__(self, root: Path, stack: Stack, valkey: str) -> None:
        self.dbt = history_project.Project(root)
        for name in ("events.sql", "events.yml"):
            (root / "models" / name).unlink()
        self.dbt.write("models/rotation.sql", SQL)
        self.dbt.write("models/rotation.yml", YAML)
        kafka, flink = {"bootstrap_servers": stack.endpoints["kafka"]}, {"gateway": stack.endpoints["gateway"]}
        settings = {"project": "only", "online_store": valkey, "kafka": kafka, "flink": flink}
        self.dbt.write("skewless.yml", json.dumps(settings))
        self.config, self.feed = self.dbt.config, Feed(stack.endpoints["kafka"], "unseen")
        apply_plan(self.config, make_plan(self.config).id)
        (self.view,) = Store(self.config).applied().views
        self.table = LakeTable(self.config.lake_root, self.view)
        self.project = Project(self.config)

    @property
    def jobs(self) -> Jobs:
        return self.project.jobs(cluster_of(self.config))

    def skewless(self, *argv: str) -> str:
        """What a command prints."""
        done = call(self.dbt, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def consume(self) -> None:
        """Both stores hold what was sent and nothing else, the online store the newest of each plane."""
        self.feed.send(30)
        wanted = {(plane, (at - EPOCH) // (MS / 1000)): (n,) for (plane, at), n in self.feed.expected(1).items()}
        records(self.feed.servers, self.view, self.config.namespace, len(wanted))       # they are in the topic
        self.skewless("stream", "consume", "--once")
        assert {slot: values for slot, (values, _) in self.rows().items()} == wanted
        with connect(self.config) as client:
            found = online_rows(client, self.config.namespace, self.view)
        assert {plane: row for plane, row in found.items() if plane != TICK} == newest(self.rows())

    def rows(self) -> dict[tuple[str, int], Any]:
        """What the history holds: slot -> values and ingested_at."""
        found = offline_rows(self.table, self.view) if self.table.exists() else {}
        return {slot: row for slot, row in found.items() if slot[0] != TICK}


@pytest.fixture
def world(stack: Stack, valkey: str, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "project", stack, valkey)
    yield made
    for stream in made.project.records.all():
        made.jobs.stop(stream, cancel=True)


def test_a_view_that_only_streams_becomes_history_and_training_rows(world: World, tmp_path: Path) -> None:
    feed, table = world.feed, world.table
    assert world.project.submit(world.jobs, "rotation").works
    for fold in (lambda: world.skewless("compact"), lambda: world.dbt.run().ok):
        world.consume()
        before, position = world.rows(), table.position()
        assert table.statistics()["pending"] >= len(before) - table.statistics()["current"] > 0
        assert fold()
        assert world.rows() == before                   # the values, and when each came
        found = table.statistics()
        assert found["pending"] == 0 and found["superseded"] == 0 and table.changes(position).retracted.num_rows == 0
    assert table.complete_through_us() is None

    slots = feed.expected(1)
    last = feed.sent[-1][1]
    asked = [(plane, at + shift) for plane, at in feed.sent[::4] for shift in (-MS, timedelta(), MS) if at + shift < last]
    asked += [("N0", feed.sent[0][1] - MS), ("unknown", last - MS), asked[0]]
    labels = pa.table({
        "tailnum": [plane for plane, _ in asked], "label_timestamp": pa.array([at for _, at in asked], pa.timestamp("us")),
        "late": [n % 2 == 0 for n in range(len(asked))],
    })
    pq.write_table(labels, tmp_path / "labels.parquet")
    given, out = str(tmp_path / "labels.parquet"), str(tmp_path / "train.parquet")
    world.skewless("training-set", "--labels", given, "--features", "rotation:landings", "--statuses", "--out", out)
    made = pq.read_table(tmp_path / "train.parquet")
    assert made.select(labels.column_names).equals(labels)

    def at_label(plane: str, at: datetime) -> tuple[int, str]:
        known = [(then, n) for (who, then), n in slots.items() if who == plane and then <= at]
        return (max(known)[1], "ok") if known else (0, "missing")

    wanted = [at_label(plane, at) for plane, at in asked]
    assert list(zip(*(made[name].to_pylist() for name in made.column_names[-2:]), strict=True)) == wanted
    assert {status for _, status in wanted} == {"ok", "missing"} and len({n for n, _ in wanted}) > 3

    later = pa.table({"tailnum": ["N0"], "label_timestamp": pa.array([last + timedelta(hours=1)], pa.timestamp("us"))})
    pq.write_table(later, tmp_path / "later.parquet")
    argv = ["--labels", str(tmp_path / "later.parquet"), "--features", "rotation:landings", "--out", out]
    refused = call(world.dbt, "training-set", *argv)
    assert refused.returncode == 3 and "SK705" in refused.stderr and "stream status rotation@1" in refused.stderr
