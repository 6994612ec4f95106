"""What Flink does not do for a stream, on a real one: it is said with the place and a way out, and can be mended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from skewless.cli.stream_project import Project, kafka_of, positions
from skewless.dev import flink
from skewless.dev.stack import START_SECONDS_MAX, Stack
from skewless.errors import SkewlessError
from skewless.registry.stream_jobs import StreamJob
from skewless.stream.environment import locate
from skewless.stream.jobs import Jobs, Started
from skewless.stream.position import Position
from skewless.stream.tables import UNNAMED, Kafka
from skewless.stream.topics import Topics
from tests.stream_feed import Feed, write
from tests.test_stream_jobs import World, kill
from tests.waiting import eventually

NO_RESTART = "SET 'restart-strategy.type' = 'none'"
STAGING = """-- one row a landing

select
    tailnum,
    landed_at
from {{ source('airport', 'landings') }}
"""


class Refused(World):
    """A project whose job can be one that Flink does not start again by itself, or whose script has a fault in it."""

    def submit(self, *more: str, kafka: Kafka | None = None, before: str = "", after: str = "") -> Started:
        """Starts version 1 with statements more, with `after` in the place of `before`."""
        view = self.project.view("rotation@1")
        script = self.project.script(view, UNNAMED)
        setup = (*more, *(s.replace(before, after) for s in script.setup)) if before else (*more, *script.setup)
        assert not before or setup != script.setup
        jobs = Jobs(self.records, self.jobs.cluster, kafka or kafka_of(self.config))
        script = dataclasses.replace(script, setup=setup)
        Topics(kafka_of(self.config)).prepare(view, self.config.namespace)
        done: Started = self.project._naming(view, lambda: jobs.submit(view, self.config.namespace, script, {}))
        return done

    @property
    def record(self) -> StreamJob:
        return self.records.require("rotation", 1)

    @property
    def position(self) -> Position:
        (found,) = positions(self.config, ["rotation@1"], "")
        return found

    def status(self) -> tuple[int, str]:
        """Exit code of `stream status`, and what it says."""
        done = self.command("status", "rotation@1")
        assert done.stderr == "", done.stderr
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def feed(stack: Stack) -> Feed:
    return Feed(stack.endpoints["kafka"], "refused")


@pytest.fixture(scope="module")
def made(stack: Stack, feed: Feed, tmp_path_factory: pytest.TempPathFactory) -> Refused:
    root = tmp_path_factory.mktemp("refused")
    config = write(root, feed.servers, stack.endpoints["gateway"], topic=feed.topic, project="refused")
    Path(root, "models", "stg_landings.sql").write_text(STAGING)
    return Refused(stack, feed, config, Project(config).manifest)


@pytest.fixture
def world(made: Refused) -> Iterator[Refused]:
    yield made
    for stream in made.records.all():
        made.jobs.stop(stream, cancel=True)


@pytest.fixture(scope="module")
def bare_gateway(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SQL Gateway of the same cluster that has neither connectors nor settings of checkpoints."""
    folder = tmp_path_factory.mktemp("bare")
    found = locate()
    own = dataclasses.replace(found, jars=tuple(jar for jar in found.jars if "sql-gateway" in jar))
    servers, ports = flink.servers(folder, own)
    conf, rest = folder / "conf" / "config.yaml", stack.endpoints["flink"].rpartition(":")[2]
    kept = [line for line in conf.read_text().splitlines() if not line.startswith(("execution.checkpointing", "rest.port"))]
    conf.write_text("\n".join([*kept, f"rest.port: {rest}"]))
    _, _, port = ports
    (gateway,) = [server for server in servers if server.name == "gateway"]
    gateway.start()
    try:
        gateway.wait_ready(START_SECONDS_MAX)
        yield f"http://127.0.0.1:{port}"
    finally:
        gateway.stop()


def test_a_gateway_without_checkpoints_or_jars_says_what_it_lacks(made: Refused, bare_gateway: str) -> None:
    done = made.command("submit", "rotation@1", "--gateway", bare_gateway)
    assert done.returncode == 3 and "error[SK843]: this Flink keeps no checkpoints" in done.stderr
    assert "hint: Name a folder that the cluster can write: flink: {checkpoints:" in done.stderr
    flinks = {"gateway": bare_gateway, "checkpoints": f"file://{made.config.root}/checkpoints"}
    settings = Path(made.config.root, "skewless.yml")
    before = settings.read_text()
    settings.write_text(json.dumps(json.loads(before) | {"flink": flinks}))
    try:
        done = made.command("submit", "rotation@1")
    finally:
        settings.write_text(before)
    assert done.returncode == 3 and done.stdout == "" and "Traceback" not in done.stderr
    assert 'error[SK839]: models/rotation_v1.sql: view "rotation@1": Flink refuses a statement: could not find any' in done.stderr
    assert "factory for identifier 'kafka'" in done.stderr and "SELECT" not in done.stderr
    assert "hint: The jars of the connector or the format" in done.stderr and "FLINK_LIB_DIR" in done.stderr
    assert made.records.all() == []         # nothing was started, nothing is remembered


def test_a_file_system_that_flink_does_not_know_is_said_with_the_way_out(world: Refused) -> None:
    elsewhere = msgspec.structs.replace(world.config.flink, checkpoints="s3://bucket/checkpoints")
    world.config, before = msgspec.structs.replace(world.config, flink=elsewhere), world.config
    try:
        with pytest.raises(SkewlessError, match="SK839.*file system implementation for scheme 's3'") as said:
            world.submit()
    finally:
        world.config = before
    assert said.value.fact.startswith("models/rotation_v1.sql: ") and "flink: {checkpoints:" in said.value.hint
    assert world.records.all() == []


def test_a_refused_statement_is_told_with_file_and_line(world: Refused) -> None:
    def said(before: str, after: str) -> str:
        with pytest.raises(SkewlessError, match="SK839") as refused:
            world.submit(before=before, after=after)
        return refused.value.fact

    assert said("AS `landed_at`", "AS `landed_on`").startswith('models/stg_landings.sql:5: view "rotation@1": ')
    assert said("VIEW `stg_landings`", "VIEW `stg_takeoffs`").startswith('models/rotation_v1.sql:2: view "rotation@1": ')


def test_a_job_that_failed_for_good_is_told_and_started_again(world: Refused) -> None:
    with pytest.raises(SkewlessError, match='SK845.*the job of view "rotation@1" fails: .*acks') as refused:
        world.submit(NO_RESTART, kafka=Kafka(world.feed.servers, {"acks": "2"}))        # of librdkafka, and not of Java
    assert "skewless stream submit rotation@1" in refused.value.hint and world.state() == "FAILED"
    shown = world.position
    assert (shown.state, shown.job_state) == ("failed", "FAILED") and "acks" in shown.trouble

    started = world.submit(NO_RESTART)
    assert started.works and not started.resumed and world.position.trouble == ""
    world.feed.send(40)
    world.check(1)
    manager, job = world.jobs.cluster.manager, started.stream.job_id
    eventually(lambda: manager.checkpoint(job))
    kill(world.stack, "taskmanager")
    eventually(lambda: manager.state(job) == "FAILED")
    world.feed.send(20)
    cause = eventually(lambda: manager.trouble(job))        # told later than the state
    shown = world.position
    assert (shown.state, shown.job_state, shown.trouble) == ("failed", "FAILED", cause) and "TaskManager" in cause, cause
    code, told = world.status()
    assert code == 1 and f"rotation@1: {cause}\n" in told and "failed" in told
    done = world.command("run", "--once")
    after = world.record
    assert done.returncode == 0 and after.job_id != job and after.fingerprint == started.stream.fingerprint
    assert f"rotation@1: job {job} is FAILED: {cause}" in done.stderr
    assert after.restored_from.startswith(started.stream.checkpoint_dir) and after.restored_from in done.stderr
    world.feed.send(20)
    world.check(1)
    assert world.position.state == "running" and world.status()[0] == 0


def test_who_stamps_the_records_of_a_topic_is_told(world: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(world.config)
    project.submit(world.jobs, "rotation@1", reset=True)
    said = capsys.readouterr().err
    assert "note: producers stamp the records of refused (message.timestamp.type=CreateTime)" in said and "LogAppendTime" in said
    assert world.position.events[0].stamped_by == "producer"
    project.submit(world.jobs, "rotation@1", reset=True)
    assert capsys.readouterr().err == "", "it is said once"
    entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "refused", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.feed.servers})
    (future,) = admin.incremental_alter_configs([resource]).values()
    future.result()
    Project(world.config).submit(world.jobs, "rotation@1", reset=True)
    assert capsys.readouterr().err == ""
    assert world.position.events[0].stamped_by == "broker"
