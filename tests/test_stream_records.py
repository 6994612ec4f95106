"""What streams are remembered by: claims, folders of checkpoints, brokers in kept scripts, where a job begins."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import msgspec
import pytest

from skewless.brokers import client_settings
from skewless.config import Config, read_config
from skewless.dev.process import free_ports
from skewless.errors import SkewlessError
from skewless.registry import stream_jobs
from skewless.registry.model import Entity, JoinKey, Registry, Streaming, StreamSource, View
from skewless.registry.store import Store
from skewless.registry.stream_jobs import CLAIM_SECONDS_MAX, StreamJob, StreamRecords
from skewless.stream import checkpoints
from skewless.stream.cluster import Remote
from skewless.stream.gateway import Gateway
from skewless.stream.jobmanager import JobManager
from skewless.stream.position import start_ms
from skewless.stream.supervisor import CLUSTER_SECONDS_MAX, Supervisor
from skewless.stream.tables import UNNAMED, Kafka, with_brokers, without_brokers

Answering = Callable[[Callable[[str, str], tuple[int, bytes]]], str]
FLINK_SAYS = b'{"errors":["Not found."]}'
JOB = {"topic": "t", "fingerprint": "f", "script": ["s"], "gateway": "http://g", "job_id": "j", "checkpoint_dir": "file:///c/j"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "skewless.yml").write_text("project: shop\n")
    return read_config(tmp_path)


def view(version: int = 1, **change: object) -> View:
    source = StreamSource(name="s", topic="t", event_timestamp="e", unique_id="u", lateness_us=2_000_000)
    made = View(
        name="rotation", version=version, entity="plane", join_keys=(JoinKey("tailnum", "string"),), features=(), streamed=True,
        input_lookback_us=3_600_000_000, stream=Streaming(sources=(source,)),
    )
    return msgspec.structs.replace(made, **change)


def submitted(config: Config, version: int = 1) -> StreamJob:
    with StreamRecords(config).claimed(view(version)) as claim:
        return claim.save(**JOB, state="running", submitted_at_us=1)


def test_a_stream_is_there_once_it_has_a_job(config: Config) -> None:
    records = StreamRecords(config)
    with pytest.raises(SkewlessError, match="SK837"):
        records.require("rotation", 1)
    with pytest.raises(ZeroDivisionError), records.claimed(view()) as claim:
        assert claim.stream.state == "" and records.read("rotation", 1) is None and records.all() == []
        1 / 0  # noqa: B018
    assert records.all() == []
    made = submitted(config)
    assert [s.ref for s in records.all()] == ["rotation@1"] and submitted(config, 2).version == 2
    assert records.require("rotation", 1) == msgspec.structs.replace(made, claimed_at_us=None, claimed_by="")
    assert StreamRecords(msgspec.structs.replace(config, target="prod")).all() == []


def test_one_claims_a_stream_at_a_time_and_a_dead_claim_ends(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    records, stream = StreamRecords(config), submitted(config)
    monkeypatch.setenv("SKEWLESS_CLOCK", "2026-01-01T00:00:00Z")
    with records.claimed(stream) as first:
        with pytest.raises(SkewlessError, match="SK835"), records.claimed(stream):
            pass
        assert not records.note(stream, error="seen")               # a claimed stream is its holder's
        monkeypatch.setenv("SKEWLESS_CLOCK", f"2026-01-01T00:{CLAIM_SECONDS_MAX // 60:02d}:01Z")
        with records.claimed(stream) as second:
            with pytest.raises(SkewlessError, match="SK835.*taken over"):
                first.save(job_id="of the first")
            second.save(job_id="of the second")
    now = records.require("rotation", 1)
    assert now.job_id == "of the second" and now.claimed_at_us is None
    assert not records.note(stream, error="too late") and records.note(now, error="seen")
    assert records.require("rotation", 1).error == "seen"


def test_a_claim_outlives_its_term_while_its_holder_lives(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_jobs, "CLAIM_SECONDS_MAX", 2)
    records, stream = StreamRecords(config), submitted(config)
    with records.claimed(stream) as claim:
        time.sleep(3)
        with pytest.raises(SkewlessError, match="SK835"), records.claimed(stream):
            pass
        claim.save(savepoint="made at last")
    time.sleep(0.5)         # it is not renewed once it was given back
    now = records.require("rotation", 1)
    assert (now.savepoint, now.claimed_at_us) == ("made at last", None)


def _die(config: Config) -> None:
    with StreamRecords(config).claimed(view()):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_claim_of_a_process_that_was_killed_ends_with_it(config: Config) -> None:
    submitted(config)
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(config,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert StreamRecords(config).require("rotation", 1).claimed_at_us is not None
    assert submitted(config).job_id == "j"


def _count(config: Config, rounds: int) -> None:
    records, done = StreamRecords(config), 0
    while done < rounds:
        try:
            with records.claimed(view()) as claim:
                claim.save(**JOB, state="running", submitted_at_us=claim.stream.submitted_at_us + 1)
                done += 1
        except SkewlessError as error:
            assert error.code == "SK835", error


def test_processes_that_start_the_same_stream_take_turns(config: Config) -> None:
    rounds = 50 if os.environ.get("SKEWLESS_SOAK") else 5
    processes = [multiprocessing.get_context("spawn").Process(target=_count, args=(config, rounds)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [p.exitcode for p in processes] == [0, 0, 0]
    assert StreamRecords(config).require("rotation", 1).submitted_at_us == 3 * rounds


def complete(folder: Path, at: int) -> str:
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(b"m")
    os.utime(folder / "_metadata", (at, at))
    return f"file://{folder}"


def test_a_job_goes_on_from_its_newest_complete_state(config: Config, tmp_path: Path) -> None:
    own, saved = tmp_path / "c" / "j", tmp_path / "s"
    stream = msgspec.structs.replace(submitted(config), checkpoint_dir=f"file://{own}")
    savepoints = f"file://{saved}"
    assert checkpoints.resume_path(stream, savepoints) == ""        # it never had any: its sources begin anew
    older = complete(tmp_path / "older" / "chk-9", 1)
    assert checkpoints.resume_path(msgspec.structs.replace(stream, restored_from=older), savepoints) == older
    complete(own / "chk-9", 10)
    newest = complete(own / "chk-10", 20)
    (own / "chk-11").mkdir()                                        # was being written
    assert checkpoints.resume_path(msgspec.structs.replace(stream, restored_from=older), savepoints) == newest
    stopped = complete(saved / "j" / "savepoint-j-1", 30)           # `stop` ended before it wrote that down
    assert checkpoints.resume_path(stream, savepoints) == stopped
    assert checkpoints.resume_path(msgspec.structs.replace(stream, savepoint=older), savepoints) == older
    seen = {"checkpoint_dir": "file:///nix", "job_id": "k", "checkpoint": "/nix"}
    for lost in ({"savepoint": f"file://{tmp_path}/gone"}, seen):
        with pytest.raises(SkewlessError, match="SK846"):
            checkpoints.resume_path(msgspec.structs.replace(stream, **lost), savepoints)
    far = msgspec.structs.replace(stream, checkpoint_dir="s3://b/c/j", checkpoint="s3://b/c/j/chk-3", job_id="k")
    assert checkpoints.resume_path(far, "s3://b/s") == "s3://b/c/j/chk-3"
    assert checkpoints.resume_path(far, "s3://b/s", "s3://b/c/j/chk-4") == "s3://b/c/j/chk-4"
    assert checkpoints.remove([f"file://{own}", "s3://b/c/j"]) == [f"file://{own}"] and not own.exists()


def test_kept_scripts_hold_no_secret() -> None:
    secret = Kafka("b:9092", {"sasl.jaas.config": "it's secret", "security.protocol": "SASL_SSL"})
    options = {"topic": "t", "format": "raw"}
    kept = UNNAMED.options(options)
    assert with_brokers(["SET 'a' = 'b'", kept], secret) == ["SET 'a' = 'b'", secret.options(options)]
    assert without_brokers([secret.options(options)], secret) == [kept]
    assert "secret" not in kept and "it''s secret" in secret.options(options)


def test_the_properties_of_java_clients_for_python() -> None:
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="a\\"b";'
    authorities = certifi.where()
    given = {"sasl.jaas.config": login, "security.protocol": "SASL_SSL", "ssl.truststore.location": authorities}
    given["sasl.mechanism"] = "PLAIN"
    found = client_settings("b:1", given | {"ssl.truststore.type": "PEM"})
    assert (found["sasl.username"], found["sasl.password"], found["ssl.ca.location"]) == ("me", 'a"b', authorities)
    assert found["security.protocol"] == "SASL_SSL" and found["bootstrap.servers"] == "b:1"
    for wrong in ({"sasl.jaas.config": "x required;"}, {"ssl.keystore.type": "JKS"}):
        with pytest.raises(SkewlessError, match="SK838"):
            client_settings("b:1", wrong)
    for strange in ({"security.providers": "x"}, {"security.protocol": "SLS"}, given | {"ssl.truststore.location": "nix.pem"}):
        with pytest.raises(SkewlessError, match="SK848") as said:
            client_settings("b:1", strange)
        assert "skewless.yml" in said.value.hint and login not in said.value.render()


def test_a_job_without_state_begins_before_the_end_of_the_history() -> None:
    through = 1_767_225_600_000_000
    assert start_ms(view(), None) is None and start_ms(view(stream=Streaming(only=True)), through) is None
    assert start_ms(view(), through) == (through - 3_602_000_000) // 1000 - 5000
    assert start_ms(view(), 0) == 0


@pytest.mark.parametrize(("text", "local", "gateway"), [("local", True, ""), ("{gateway: 'http://g:1'}", False, "http://g:1")])
def test_where_flink_is(tmp_path: Path, text: str, local: bool, gateway: str) -> None:
    (tmp_path / "skewless.yml").write_text(f"project: shop\nflink: {text}\n")
    found = read_config(tmp_path).flink
    assert (found.local, found.gateway) == (local, gateway)


@pytest.fixture
def answering() -> Iterator[Answering]:
    """`answering(answer)`: the URL of a server of HTTP that says what `answer(method, path)` gives: status and body."""
    servers = []

    def start(answer: Callable[[str, str], tuple[int, bytes]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, body = answer(self.command, self.path)
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_PATCH = do_GET

            def log_message(self, *args: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_session_that_does_not_end_takes_nothing_back(answering: Answering) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        if method == "DELETE":
            return 500, b"gone"
        return 200, b'{"sessionHandle": "s", "operationHandle": "o", "resultType": "EOS", "jobID": "j"}'

    url = answering(answer)
    with Gateway(url) as session:
        job = session.submit(["INSERT"])
    assert job == "j"
    with pytest.raises(SkewlessError, match="SK801.*gone"):
        Gateway(url).close()


@pytest.mark.parametrize(
    ("code", "body"), [(404, b"nope"), (404, FLINK_SAYS), (409, FLINK_SAYS), (405, b""), (200, b"<html>"), (200, b"{}")]
)
def test_what_is_no_jobmanager_has_not_no_jobs(answering: Answering, code: int, body: bytes) -> None:
    manager = JobManager(answering(lambda method, path: (code, body)))
    for act in (manager.jobs, lambda: manager.state("j")):
        with pytest.raises(SkewlessError, match="SK847"):
            act()


def test_a_jobmanager_without_the_job_says_so(answering: Answering) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        return (200, b'{"jobs": []}') if path in ("/jobs", "/jobs/overview") else (404, FLINK_SAYS)

    manager = JobManager(answering(answer))
    assert manager.jobs() == [] and manager.state("j") == "" and manager.checkpoint("j") is None and manager.trouble("j") == ""
    assert not manager.works("j") and manager.restored("j") == ""
    manager.cancel("j")
    with pytest.raises(SkewlessError, match="SK844.*does not know the job"):
        manager.stop("j", "file:///s")
    between = JobManager(answering(lambda method, path: (404, b"<html>")))      # an ingress while Flink is away
    with pytest.raises(SkewlessError, match="SK847"):
        between.cancel("j")


def test_a_supervisor_waits_for_a_cluster_that_does_not_answer(config: Config) -> None:
    submitted(config)
    (port,) = free_ports(1)
    said, seconds, asked = list[str](), [0.0], list[float]()

    def where() -> tuple[Remote, Kafka]:
        asked.append(seconds[0])
        return Remote(f"http://127.0.0.1:{port}", config.flink), Kafka("b:1", {})

    keeper = Supervisor(StreamRecords(config), where, said.append, clock=lambda: seconds[0])
    for now in (0, 0.5, 1.1, 2, 3.2, 100, 10_000):
        seconds[0] = now
        assert not keeper.once()
    assert len(said) == 1 and "SK840" in said[0]
    asked.clear()
    for now in range(20_000, 20_100):
        seconds[0] = now
        assert not keeper.once()
    assert asked[0] == 20_000 and {b - a for a, b in itertools.pairwise(asked)} == {CLUSTER_SECONDS_MAX}
    assert Supervisor(StreamRecords(config), keeper.where, said.append, refs=["other@1"]).once()


def test_an_error_that_nobody_foresaw_ends_neither_supervisor_nor_other_streams(config: Config, answering: Answering) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        jobs = [{"jid": i, "id": i, "name": i, "state": "RUNNING", "status": "RUNNING"} for i in ("j", "k")]
        settings = {"rest.address": "127.0.0.1", "execution.checkpointing.dir": "file:///c"}
        found = {
            "/v1/sessions": {"sessionHandle": "s"}, "/v1/sessions/s": {"properties": settings}, "/jobs": {"jobs": jobs},
            "/jobs/overview": {"jobs": jobs}, "/jobs/j/checkpoints": {"latest": 7},
        }
        return 200, json.dumps(found.get(path, {})).encode()

    url = answering(answer)
    submitted(config), submitted(config, 2)
    records, said = StreamRecords(config), list[str]()
    records.note(records.require("rotation", 2), job_id="k", state="gone")
    flink = msgspec.structs.replace(config.flink, jobmanager=url)
    seconds, stop = itertools.count(0, 1000), threading.Event()

    def where() -> tuple[Remote, Kafka]:
        if not said:
            raise ZeroDivisionError("by nobody")
        return Remote(url, flink), Kafka("b:1", {})

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            stop.set()

    Supervisor(records, where, say, clock=lambda: next(seconds)).run(stop)
    assert "the cluster: unexpected ZeroDivisionError: by nobody (test_stream_records.py:" in said[0]
    assert said[1] == "the cluster answers again" and "rotation@1: unexpected AttributeError" in said[2]
    assert records.require("rotation", 2).state == "running"


def test_brokers_that_do_not_answer_are_part_of_the_status(config: Config) -> None:
    (port,) = free_ports(1)
    Path(config.root, "skewless.yml").write_text(f"project: shop\nkafka: {{bootstrap_servers: '127.0.0.1:{port}'}}\n")
    store = Store(config)
    entity = Entity(name="plane", join_keys=view().join_keys)
    applied = Registry(project=config.project, target=config.target, entities=(entity,), views=(view(1), view(2)))
    store.save(applied, expected=store.applied())
    argv = [sys.executable, "-m", "skewless.cli", "stream", "status", "--project-dir", config.root]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    for version in (1, 2):
        assert f"rotation@{version}: Kafka at 127.0.0.1:{port} does not answer" in done.stdout
    shown = json.loads(subprocess.run([*argv, "--json"], capture_output=True, text=True).stdout)
    assert [(p["state"], p["rows"], p["dead_letters"]) for p in shown] == [("not submitted", None, None)] * 2

