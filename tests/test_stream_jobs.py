"""The jobs of streams on real Kafka and real Flink: submitted, stopped, resumed, killed; rows equal the undisturbed run."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from skewless import messages
from skewless.cli.stream_jobs import start_each
from skewless.cli.stream_project import Project, cluster_of, kafka_of, positions
from skewless.config import Config
from skewless.dev.flink import OPENS
from skewless.dev.process import Server, answers, free_ports
from skewless.dev.stack import START_SECONDS_MAX, Stack
from skewless.errors import SkewlessError
from skewless.registry.stream_jobs import StreamRecords
from skewless.stream import checkpoints
from skewless.stream.checkpoints import local
from skewless.stream.environment import locate
from skewless.stream.gateway import Gateway
from skewless.stream.jobmanager import ALIVE, JobManager
from skewless.stream.jobs import Jobs
from skewless.stream.position import Letters, Position
from skewless.stream.supervisor import Supervisor
from skewless.stream.tables import PAYLOAD_CHARACTERS_MAX, UNNAMED, Kafka, with_brokers
from skewless.stream.topics import Topics
from tests.stream_feed import DELAY, TARGETS, Feed, apply, rows, settled, write
from tests.waiting import SECONDS_MAX, eventually

ROUNDS = 5 if os.environ.get("SKEWLESS_SOAK") else 1
_TARGETS = iter(TARGETS)


class World:
    """One target of the project on the shared servers."""

    def __init__(self, stack: Stack, feed: Feed, config: Config, manifest: dict[str, Any]) -> None:
        self.stack, self.feed, self.config = stack, feed, config
        self.project = Project(config)
        self.project.__dict__["manifest"] = manifest
        self.registry = apply(config, manifest)
        self.records = StreamRecords(config)
        self.said: list[str] = []

    @property
    def jobs(self) -> Jobs:
        return self.project.jobs(cluster_of(self.config))

    def supervisor(self) -> Supervisor:
        return Supervisor(self.records, lambda: (cluster_of(self.config), kafka_of(self.config)), self.said.append)

    def check(self, version: int) -> int:
        """The topic holds exactly what it must; the number of messages in it."""
        view, wanted = self.registry.view("rotation", version), self.feed.expected(version)
        found = rows(self.feed.servers, view, self.config.namespace, len(wanted))
        assert settled(found) == wanted
        return len(found)

    def state(self, version: int = 1) -> str:
        return self.jobs.cluster.manager.state(self.records.require("rotation", version).job_id)

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "skewless.cli", "stream", *argv, "--project-dir", self.config.root]
        return subprocess.run([*whole, "--target", self.config.target], capture_output=True, text=True)


@pytest.fixture(scope="module")
def feed(stack: Stack) -> Feed:
    return Feed(stack.endpoints["kafka"])


@pytest.fixture(scope="module")
def config(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return write(tmp_path_factory.mktemp("streams"), stack.endpoints["kafka"], stack.endpoints["gateway"])


@pytest.fixture(scope="module")
def manifest(config: Config) -> dict[str, Any]:
    return Project(config).manifest


@pytest.fixture
def world(
    stack: Stack, feed: Feed, config: Config, manifest: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[World]:
    """A target of the test's own, whose jobs end with it."""
    made = World(stack, feed, msgspec.structs.replace(config, target=next(_TARGETS)), manifest)
    yield made
    for stream in made.records.all():
        made.jobs.stop(stream, cancel=True)


def children(server: Server) -> list[str]:
    assert server._process is not None
    return Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children").read_text().split()


def kill(stack: Stack, *names: str) -> None:
    """kill -9 of the Java processes of servers, which are started again."""
    killed = [s for s in stack.servers if s.name in names]
    for server in killed:
        os.kill(int(eventually(lambda server=server: children(server))[0]), signal.SIGKILL)
    eventually(lambda: not any(s.alive for s in killed))
    eventually(lambda: [stack.watch(), all(s.alive for s in killed)][1])
    for server in killed:
        server.wait_ready(START_SECONDS_MAX)


def test_rows_come_out_and_a_stopped_stream_goes_on_where_it_was(world: World) -> None:
    first = world.project.submit(world.jobs, "rotation@1")
    assert first.works and not first.resumed and first.stream.topic == f"shop.{world.config.target}.rotation.v1"
    second = world.project.submit(world.jobs, "rotation")
    assert second.works and second.stream.version == 2
    world.feed.send(60)
    assert [world.check(1), world.check(2)] == [len(world.feed.sent)] * 2
    with pytest.raises(SkewlessError, match=f"SK834.*{first.stream.job_id}"):
        world.project.submit(world.jobs, "rotation@1")
    shown = {p["view"]: p for p in json.loads(world.command("status", "--json").stdout)}
    one = shown["rotation@1"]
    assert (one["state"], one["job_state"], one["job_id"]) == ("running", "RUNNING", first.stream.job_id)
    assert one["rows"]["lag"] >= len(world.feed.sent) and one["rows"]["committed"] == {}
    assert one["events"][0]["topic"] == "landings" and one["readers"] == [] and one["dead_letters"]["count"] == world.feed.faults

    stopped = world.command("stop", "rotation@1")
    assert stopped.returncode == 0, stopped.stderr
    record = world.records.require("rotation", 1)
    where = local(record.savepoint)
    assert where is not None and (where / "_metadata").is_file()
    assert record.state == "stopped" and record.savepoint in stopped.stderr
    assert not local(first.stream.checkpoint_dir).exists()      # the savepoint needs no checkpoint
    assert world.state() == "FINISHED" and "stopped already" in world.command("stop", "rotation@1").stderr
    assert world.supervisor().once()         # what was stopped stays so
    assert msgspec.structs.replace(world.records.require("rotation", 1), revision=record.revision) == record
    world.feed.send(60)
    resumed = world.project.upgrade(world.jobs, "rotation@1")
    assert resumed is not None and resumed.resumed == record.savepoint
    assert world.project.upgrade(world.jobs, "rotation@1") is None
    now = world.records.require("rotation", 1)
    assert world.records.note(now, script=[s.replace("'5 s'", "'6 s'") for s in now.script])        # a setting has changed since
    upgraded = world.project.upgrade(world.jobs, "rotation@1")
    assert upgraded is not None and upgraded.stream.job_id != now.job_id and f"/{now.job_id}/savepoint-" in upgraded.resumed
    assert [world.check(1), world.check(2)] == [len(world.feed.sent)] * 2     # no row twice
    assert world.records.require("rotation", 1).savepoint == ""


def test_status_counts_events_that_came_after_their_windows(stack: Stack, tmp_path: Path) -> None:
    feed = Feed(stack.endpoints["kafka"], "overtaken")
    config = write(tmp_path, feed.servers, stack.endpoints["gateway"], topic=feed.topic)
    world = World(stack, feed, msgspec.structs.replace(config, target=next(_TARGETS)), Project(config).manifest)
    started = world.project.submit(world.jobs, "rotation@1").stream
    try:
        feed.send(20)
        world.check(1)
        feed.send_late("N1", 3)
        eventually(lambda: world.jobs.cluster.manager.late(started.job_id))      # it looks every ten seconds
        shown = world.command("status", "rotation@1", "--json")
        assert shown.returncode == 0 and json.loads(shown.stdout)[0]["late"] == 3
        told = world.command("status", "rotation@1").stdout
        assert "rotation@1: 3 events came after their windows" in told and "Producers stamp the records of overtaken" in told
        feed.send(20)
        world.check(1)
    finally:
        world.jobs.stop(started, cancel=True)


def test_what_is_no_event_ends_no_job_however_long_it_is(world: World) -> None:
    started = world.project.submit(world.jobs, "rotation@1")
    long = [b"\x01" * 900_000, json.dumps({"tailnum": "\u65e5\x01" * 70_000, "landed_at": "2013-02-30T00:00:00"}).encode()]
    for payload in long:
        world.feed.send_fault(payload)
    world.feed.send(40)
    world.check(1)
    letters = f"{started.stream.topic}.dead-letters"
    reader = Consumer({"bootstrap.servers": world.feed.servers, "group.id": "letters", "enable.auto.commit": False})
    reader.assign([TopicPartition(letters, 0, 0)])
    found: list[dict[str, Any]] = []
    eventually(lambda: found.extend(json.loads(m.value()) for m in reader.consume(10, 0.2)) or len(found) == world.feed.faults)
    reader.close()
    cut = [letter["reason"] for letter in found if len(letter["payload"]) == PAYLOAD_CHARACTERS_MAX]
    assert sorted(cut) == ["landed_at is not of type timestamp", "not a JSON object"]


def test_status_counts_dead_letters_and_what_each_reader_has_not_taken(world: World) -> None:
    started = world.project.submit(world.jobs, "rotation@1")
    world.feed.send(40)
    world.check(1)
    for _ in range(3):
        world.feed.send_fault(b"no event")
    topic, count = f"{started.stream.topic}.dead-letters", world.feed.faults

    def position() -> Position:
        return next(p for p in positions(world.config, ["rotation@1"], ""))

    eventually(lambda: position().dead_letters == Letters(topic=topic, end={0: count}, count=count))
    before, namespace = position().rows, world.config.namespace
    assert before is not None and before.committed == {} and position().readers == ()
    for stores, offset in (("online", 3), ("offline", 2)):
        reader = Consumer({"bootstrap.servers": world.feed.servers, "group.id": f"skewless.{namespace}.{stores}"})
        reader.commit(offsets=[TopicPartition(started.stream.topic, 0, offset)], asynchronous=False)
        reader.close()
    after = position()
    assert {r.stores: before.lag - r.lag for r in after.readers} == {"online": 3, "offline": 2}
    assert after.rows is not None and after.rows.stores == "offline"
    shown = world.command("status", "rotation@1")
    assert shown.returncode == 0 and f"online {before.lag - 3:,}, offline {before.lag - 2:,}" in shown.stdout


def test_a_submission_of_several_that_fails_half_way_goes_on_when_it_is_run_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def submit(*views: str, as_json: bool = False) -> list[str]:
        done = start_each(world.jobs, list(views), lambda jobs, view: world.project.submit(jobs, view), as_json)
        return [d.stream.ref for d in done]

    with pytest.raises(SkewlessError, match="SK404"):
        submit("rotation@1", "rotation@9", "rotation@2", as_json=True)
    said = capsys.readouterr()
    assert "rotation@1 runs" in said.err and "not started: rotation@9, rotation@2" in said.err
    (told,) = json.loads(said.out)
    assert told["job_id"] == world.records.require("rotation", 1).job_id and world.records.read("rotation", 2) is None
    assert submit("rotation@1", "rotation@2") == ["rotation@2"]
    said = capsys.readouterr()
    assert told["job_id"] in said.err and world.records.require("rotation", 2).job_id in said.out
    for again in (["rotation@1"], ["rotation@1", "rotation@2"]):
        with pytest.raises(SkewlessError, match=f'SK834.*"{again[-1]}" runs already'):
            submit(*again)
    said = capsys.readouterr()
    assert said.err.count("runs already") == 1 and '"rotation@1" runs already' in said.err       # what is raised is told later


def test_a_changed_definition_gets_no_state(world: World, tmp_path: Path) -> None:
    started = world.project.submit(world.jobs, "rotation@1")
    changed = write(tmp_path, world.config.kafka.bootstrap_servers, world.config.flink.gateway, span="3 seconds")
    other = Project(msgspec.structs.replace(changed, target=world.config.target))
    other.records = world.records
    for act in (
        lambda: other.upgrade(world.jobs, "rotation@1"), lambda: other.submit(world.jobs, "rotation@1"),
    ):
        with pytest.raises(SkewlessError, match="SK836") as said:
            act()
        assert "Add a version of rotation" in said.value.hint and "--reset" in said.value.hint
    assert world.state() == "RUNNING" and world.records.require("rotation", 1).job_id == started.stream.job_id
    with pytest.raises(SkewlessError, match="SK832"):       # nobody knows that definition yet
        other.submit(world.jobs, "rotation@1", reset=True)
    other.__dict__["config"] = world.config
    apply(world.config, other.manifest)
    done = other.submit(world.jobs, "rotation@1", reset=True)
    assert done.works and not done.resumed and done.stream.fingerprint != started.stream.fingerprint
    manager = world.jobs.cluster.manager
    assert manager.state(started.stream.job_id) == "CANCELED" and manager.state(done.stream.job_id) == "RUNNING"
    world.feed.send(60)
    before, after = world.feed.expected(1), world.feed.expected(1, span=timedelta(seconds=3))
    assert before != after
    view = world.registry.view("rotation", 1)
    eventually(lambda: dict(rows(world.feed.servers, view, world.config.namespace, len(after))) == after)   # newest message wins
    assert not world.command("upgrade", "rotation@1", "--from", "earliest").returncode == 0


def test_killed_flink_goes_on_as_if_nothing_had_been(world: World) -> None:
    started = world.project.submit(world.jobs, "rotation@1")
    manager = world.jobs.cluster.manager
    keeper = world.supervisor()
    for _ in range(ROUNDS):
        world.feed.send(40)
        eventually(lambda: manager.checkpoint(world.records.require("rotation", 1).job_id))
        world.feed.send(40)
        kill(world.stack, "taskmanager")
        job = world.records.require("rotation", 1).job_id
        eventually(lambda job=job: manager.trouble(job) and manager.works(job))
        assert keeper.once() and world.records.require("rotation", 1).job_id == job     # Flink did that by itself
        kill(world.stack, "kafka")
        world.feed.send(40)
        kill(world.stack, "jobmanager", "taskmanager", *(["gateway"] if ROUNDS > 1 else []))
        assert world.state() == ""
        before = world.records.require("rotation", 1)
        done = world.command("run", "--once")
        assert done.returncode == 0, done.stderr
        after = world.records.require("rotation", 1)
        assert after.job_id != before.job_id and after.state == "running"
        assert after.restored_from.startswith(before.checkpoint_dir)
        assert before.job_id in done.stderr and after.restored_from in done.stderr
        world.feed.send(40)
        world.check(1)
        assert before.checkpoint_dir in after.leftovers
        old = local(before.checkpoint_dir)
        assert old is not None and old.exists()
        eventually(lambda after=after: manager.checkpoint(after.job_id))
        assert keeper.once() and not old.exists() and world.records.require("rotation", 1).leftovers == []
    assert started.stream.job_id != world.records.require("rotation", 1).job_id


def test_a_job_that_nobody_recorded_is_adopted_and_one_that_fails_is_started_again(world: World) -> None:
    started = world.project.submit(world.jobs, "rotation@2")
    world.records.note(world.records.require("rotation", 2), job_id="0" * 32, state="gone")
    script = world.records.require("rotation", 2).script
    other = [s.replace(started.stream.fingerprint[:12], "0123456789ab") for s in script]
    world.records.note(world.records.require("rotation", 2), script=other)
    assert not world.supervisor().once() and "SK834" in world.said[-1]       # its state is not of the recorded script
    world.records.note(world.records.require("rotation", 2), script=script)
    assert world.supervisor().once() and world.records.require("rotation", 2).job_id == started.stream.job_id
    with world.records.claimed(world.records.require("rotation", 2)):
        with pytest.raises(SkewlessError, match="SK835"):
            world.jobs.stop(world.records.require("rotation", 2))
    eventually(lambda: world.jobs.cluster.manager.checkpoint(started.stream.job_id))
    world.jobs.cluster.manager.cancel(started.stream.job_id)        # by hand, behind our back
    assert json.loads(world.command("status", "--json").stdout)[1]["state"] == "gone"
    assert world.supervisor().once()
    after = world.records.require("rotation", 2)
    assert after.job_id != started.stream.job_id and after.restored_from.startswith(started.stream.checkpoint_dir)
    world.check(2)
    where = local(after.restored_from)
    assert where is not None
    world.jobs.cluster.manager.cancel(after.job_id)
    for folder in (where.parent, local(after.checkpoint_dir)):
        subprocess.run(["rm", "-r", str(folder)], check=False, capture_output=True)
    keeper = world.supervisor()
    assert not keeper.once() and "SK846" in world.said[-1]          # state that was lost is not passed over
    assert not keeper.once() and world.records.require("rotation", 2).job_id == after.job_id
    world.project.submit(world.jobs, "rotation@2", reset=True)
    world.check(2)


def test_a_job_that_nobody_recorded_keeps_what_it_went_on_from(world: World) -> None:
    first = world.project.submit(world.jobs, "rotation@2").stream
    world.check(2)
    cluster = world.jobs.cluster
    for _ in range(2):              # the second of them began after the rows had come out
        before = cluster.manager.checkpoint(first.job_id)
        eventually(lambda before=before: cluster.manager.checkpoint(first.job_id) != before)
    cluster.manager.cancel(first.job_id)
    path = checkpoints.newest(first.checkpoint_dir)
    script = [s.replace("'5 s'", "'600 s'") for s in with_brokers(first.script, kafka_of(world.config))]
    second = cluster.submit(script, {"execution.state-recovery.path": path})     # its beginner died before it wrote that down
    assert world.supervisor().once()
    adopted = world.records.require("rotation", 2)
    assert adopted.job_id == second and local(adopted.restored_from) == local(path)
    cluster.manager.cancel(second)      # before its first checkpoint
    assert world.supervisor().once()
    third = world.records.require("rotation", 2)
    assert third.job_id not in (first.job_id, second) and local(third.restored_from) == local(path)
    world.feed.send(20)
    assert world.check(2) == len(world.feed.sent)       # no row twice, so the events were not read from the beginning


def test_a_job_that_was_stopped_by_hand_goes_on_from_that_savepoint(world: World, tmp_path: Path) -> None:
    started = world.project.submit(world.jobs, "rotation@2")
    world.check(2)
    path = world.jobs.cluster.manager.stop(started.stream.job_id, f"file://{tmp_path}")
    assert world.supervisor().once()
    after = world.records.require("rotation", 2)
    assert after.restored_from == path and after.job_id != started.stream.job_id
    world.feed.send(20)
    assert world.check(2) == len(world.feed.sent)       # no row twice


def test_the_topics_of_a_view_and_where_its_job_begins(world: World) -> None:
    world.feed.send(40)
    _, since = world.feed.sent[-20]
    made = world.project.submit(world.jobs, "rotation@2", partitions=3, since=(since + DELAY).isoformat()).stream
    assert made.start == {"at_ms": (since + DELAY - datetime(1970, 1, 1)) // timedelta(milliseconds=1)}
    wanted = world.feed.expected(2, since)
    assert settled(rows(world.feed.servers, world.registry.view("rotation", 2), world.config.namespace, len(wanted))) == wanted
    with pytest.raises(SkewlessError, match="SK102.*has state"):
        world.project.submit(world.jobs, "rotation@2", since="earliest")
    admin = AdminClient({"bootstrap.servers": world.feed.servers})
    name = f"shop.{world.config.target}.rotation.v2"
    found = admin.list_topics(timeout=10).topics
    assert len(found[name].partitions) == 3 and len(found[f"{name}.{messages.DEAD_LETTERS}"].partitions) == 1
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
    assert future.result()["message.timestamp.type"].value == "LogAppendTime"
    world.jobs.stop(world.records.require("rotation", 2), cancel=True)
    with pytest.raises(SkewlessError, match="SK833.*has 3 partitions"):
        world.project.submit(world.jobs, "rotation@2", partitions=4)
    (future,) = admin.create_topics([NewTopic(f"shop.{world.config.target}.rotation.v1", 2)]).values()
    future.result()
    with pytest.raises(SkewlessError, match="SK833.*CreateTime"):
        world.project.submit(world.jobs, "rotation@1")


def test_a_topic_that_does_not_reach_back_is_seen(stack: Stack) -> None:
    feed = Feed(stack.endpoints["kafka"], "cut")
    feed.send(10)
    topics, (_, at) = Topics(Kafka(feed.servers, {})), feed.sent[0]
    begin_ms = (at - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    assert topics.cut("cut", 2, begin_ms) == [] and topics.ends("cut", 2) == {0: 6, 1: 6}
    admin = AdminClient({"bootstrap.servers": feed.servers})
    (future,) = admin.delete_records([TopicPartition("cut", 1, 3)]).values()
    future.result()
    assert topics.begins("cut", 2) == {0: 0, 1: 3} and topics.cut("cut", 2, begin_ms) == [1]
    assert topics.cut("cut", 2, begin_ms + 900) == [] and topics.arrived("cut", 2, begin_ms + 10**6) == {0: 6, 1: 6}


def test_what_is_wrong_is_said(world: World, config: Config, manifest: dict[str, Any]) -> None:
    def refused(code: str, act: Callable[[], Any]) -> SkewlessError:
        with pytest.raises(SkewlessError, match=code) as said:
            act()
        return said.value

    (port,) = free_ports(1)
    jobs, project = world.jobs, world.project
    refused("SK404", lambda: project.submit(jobs, "rotations"))
    refused("SK404", lambda: project.submit(jobs, "rotation@7"))
    refused("SK847", JobManager(config.flink.gateway).jobs)         # a gateway is none, though it is Flink
    refused("SK840", lambda: cluster_of(config, f"http://127.0.0.1:{port}"))
    refused("SK102", lambda: cluster_of(config, f"localhost:{port}"))
    refused("SK841", lambda: cluster_of(msgspec.structs.replace(config, flink=msgspec.structs.replace(config.flink, gateway=""))))
    refused("SK837", lambda: project.upgrade(jobs, "rotation@1"))
    refused("SK103", lambda: project.submit(jobs, "rotation@1", since="yesterday"))
    refused("SK832", lambda: _with(Project(msgspec.structs.replace(config, target="empty")), manifest).submit(jobs, "rotation@1"))
    nobody = Jobs(world.records, jobs.cluster, msgspec.structs.replace(config.kafka, bootstrap_servers=f"127.0.0.1:{port}"))
    refused("SK838", lambda: project.submit(nobody, "rotation@1"))
    elsewhere = json.loads(json.dumps(manifest).replace('"topic": "landings"', '"topic": "takeoffs"'))
    there = _with(Project(msgspec.structs.replace(config, target="elsewhere")), elsewhere)
    apply(there.config, elsewhere)
    assert "takeoffs" in refused("SK833", lambda: there.submit(jobs, "rotation@1")).fact
    said = refused("SK839", lambda: broken(world, "`landed_at`\nFROM", "`landed_at`, `landings_at`\nFROM"))
    assert "models/stg_landings.sql" in said.fact and "landings_at" in said.fact
    said = refused("SK839", lambda: broken(world, "WATERMARK FOR `skw_event_time`", "WATERMARK FOR `skw_event_tide`"))
    assert "skw_event_tide" in said.fact and "CREATE" in said.detail and "dns" not in said.render()
    assert world.records.all() == []        # nothing was started, nothing is remembered
    done = world.command("submit", "nix", "--gateway", f"http://127.0.0.1:{port}")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "SK404" in world.command("stop", "nosuch").stderr and "SK837" in world.command("stop", "rotation").stderr
    assert world.command("stop", "rotation").returncode == 3 and world.command("status").returncode == 0


def broken(world: World, before: str, after: str) -> Any:
    """Submits a script with a fault in it, for brokers with a property that nobody is to see."""
    view, config = world.project.view("rotation@1"), world.config
    script = world.project.script(view, UNNAMED)
    wrong = tuple(s.replace(before, after) for s in script.setup)
    assert wrong != script.setup
    kafka = Kafka(config.kafka.bootstrap_servers, {"client.dns.lookup": "use_all_dns_ips"})
    jobs = Jobs(world.records, world.jobs.cluster, kafka)
    script = dataclasses.replace(script, setup=wrong)
    return world.project._naming(view, lambda: jobs.submit(view, config.namespace, script, {}))


def _with(project: Project, manifest: dict[str, Any]) -> Project:
    project.__dict__["manifest"] = manifest
    return project


def test_flink_of_our_own_stops_with_a_savepoint_and_a_cluster_goes_on(world: World, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "skewless.cli", "stream", "submit", "rotation@1", "--local", "--project-dir", world.config.root]

    def start(name: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / name, "wb") as log:
            process = subprocess.Popen([*argv, "--target", world.config.target], stdout=log, stderr=log)
        eventually(lambda: process.poll() is not None or b"runs here" in (tmp_path / name).read_bytes())
        assert process.poll() is None, (tmp_path / name).read_text()
        return process

    if ROUNDS > 1:
        process = start("killed.log")
        killed = world.records.require("rotation", 1)
        eventually(lambda: checkpoints.newest(killed.checkpoint_dir))
        process.kill()
        process.wait()
        eventually(lambda: not answers(int(killed.gateway.rpartition(":")[2])))
        assert not world.supervisor().once() and "--local" in world.said[-1]
    process = start("stopped.log")
    if ROUNDS > 1:
        assert world.records.require("rotation", 1).restored_from.startswith(killed.checkpoint_dir)
    world.feed.send(20)
    assert world.check(1) >= len(world.feed.sent)
    (shown,) = json.loads(world.command("status", "rotation@1", "--json").stdout)
    assert (shown["state"], shown["job_state"]) == ("running", "RUNNING") and shown["gateway"].startswith("local ")
    with pytest.raises(SkewlessError, match="SK834"):
        world.project.submit(world.jobs, "rotation@1")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS_MAX) == 0, (tmp_path / "stopped.log").read_text()
    stopped = world.records.require("rotation", 1)
    assert stopped.state == "stopped" and "savepoint-" in stopped.savepoint
    world.feed.send(20)
    assert world.project.submit(world.jobs, "rotation@1").resumed == stopped.savepoint
    world.check(1)


def _submit(config: Config, manifest: dict[str, Any], ready: Event) -> None:
    project = Project(config)
    project.__dict__["manifest"] = manifest
    jobs = project.jobs(cluster_of(config))
    ready.set()
    project.submit(jobs, "rotation@1")


@pytest.mark.parametrize("moment", range(ROUNDS))
def test_a_submission_that_is_killed_leaves_one_job(world: World, moment: int) -> None:
    manager = world.jobs.cluster.manager
    jobs = world.jobs

    def ours() -> list[str]:
        prefix = f"{world.config.namespace}.rotation@1 "
        return [i for i, name, state in manager.jobs() if name.startswith(prefix) and state in ALIVE]

    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    child = spawn.Process(target=_submit, args=(world.config, world.project.manifest, ready))
    child.start()
    assert ready.wait(SECONDS_MAX)
    if moment % 2 == 0:
        eventually(ours)                # submitted, and not yet written down, or just so
    else:
        time.sleep(0.4 * moment)        # somewhere on the way
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(SECONDS_MAX)
    try:
        world.project.submit(jobs, "rotation@1")
    except SkewlessError as error:
        assert error.code == "SK834", error
    time.sleep(2.0 if moment else 0.0)      # what the gateway was given by the one that was killed, it does
    assert world.supervisor().once()
    assert ours() == [world.records.require("rotation", 1).job_id]
    world.check(1)


def test_a_supervisor_runs_until_it_is_told_to_end_and_the_jobs_go_on(world: World) -> None:
    started = world.project.submit(world.jobs, "rotation@1")
    argv = [sys.executable, "-m", "skewless.cli", "stream", "run", "--project-dir", world.config.root]
    process = subprocess.Popen([*argv, "--target", world.config.target], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and "looking after all submitted streams" in process.stderr.readline()
    eventually(lambda: world.jobs.cluster.manager.checkpoint(started.stream.job_id))
    world.jobs.cluster.manager.cancel(started.stream.job_id)
    assert started.stream.job_id in process.stderr.readline() and "started from" in process.stderr.readline()
    after = world.records.require("rotation", 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS_MAX) == 0 and "the jobs go on" in process.stderr.read()
    assert after.job_id != started.stream.job_id and world.state() == "RUNNING"


def test_the_statements_run_one_by_one_in_a_session_of_a_gateway(world: World) -> None:
    Topics(kafka_of(world.config)).prepare(world.project.view("rotation@1"), world.config.namespace)
    script = json.loads(world.command("emit", "rotation@1", "--json").stdout)
    with Gateway(world.config.flink.gateway) as session:
        job = session.submit(script["statements"])
    manager = world.jobs.cluster.manager
    try:
        assert (job, script["name"]) in [(id_, name) for id_, name, _ in manager.jobs()]
        world.feed.send(20)
        assert world.check(1) >= 20
    finally:
        manager.cancel(job)


def test_the_script_runs_as_it_is_in_sql_client(world: World, tmp_path: Path) -> None:
    view, kafka = world.project.view("rotation@1"), kafka_of(world.config)
    Topics(kafka).prepare(view, world.config.namespace)
    script = world.project.script(view, kafka)
    (tmp_path / "job.sql").write_text(script.text())
    flink = locate()
    opt = Path(flink.flink_home) / "opt"
    path = ":".join([flink.class_path(), *map(str, (*opt.glob("flink-sql-client-*.jar"), *opt.glob("flink-python-*.jar")))])
    done = subprocess.run(
        [flink.java, *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS), "-cp", path,
         "org.apache.flink.table.client.SqlClient", "-f", "job.sql"],
        cwd=tmp_path, env={**os.environ, "FLINK_CONF_DIR": str(world.stack.folder / "flink" / "conf")},
        capture_output=True, text=True,
    )
    assert done.returncode == 0 and "[ERROR]" not in done.stdout, done.stdout + done.stderr
    (job,) = [id_ for id_, name, _ in world.jobs.cluster.manager.jobs() if name == script.name]
    try:
        world.feed.send(20)
        assert world.check(1) >= 20
    finally:
        world.jobs.cluster.manager.cancel(job)
