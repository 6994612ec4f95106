"""`skewless dev`: real servers start, come back after a kill, keep their data, and never outlive the process that holds them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

import skewless as skewless_package
from skewless.config import Config, read_config
from skewless.dev import supervisor
from skewless.dev.process import answers, free_ports
from skewless.dev.stack import NAMES, Stack, check_names
from skewless.errors import SkewlessError
from skewless.stream.gateway import Gateway
from skewless.stream.install import install
from tests.waiting import SECONDS_MAX, eventually


def skewless(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "skewless.cli", "dev", *argv, "--project-dir", str(root)],
                          capture_output=True, text=True)


def processes(folder: Path) -> dict[int, str]:
    """Id -> command line, of every process that was started for a folder."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = os.readlink(path / "cwd")
            except OSError:
                continue
            if str(folder) in line or where.startswith(str(folder)):
                found[int(path.name)] = line
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Config]:
    install(lambda step, text: print(f"{step}: {text}", file=sys.stderr))
    (tmp_path / "skewless.yml").write_text("project: shop\n")
    config = read_config(tmp_path)
    yield config
    supervisor.down(config)


def test_all_servers_take_work_and_die_with_their_holder(project: Config, tmp_path: Path) -> None:
    done = skewless(tmp_path, "up", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    where = state["endpoints"]
    assert state["servers"] == list(NAMES) and json.loads(skewless(tmp_path, "status", "--json").stdout) == state
    with urllib.request.urlopen(f"{where['flink']}/overview") as answer:
        assert json.load(answer)["slots-total"] == 8
    with urllib.request.urlopen(f"{where['flink']}/jobmanager/config") as answer:
        settings = {entry["key"]: entry["value"] for entry in json.load(answer)}
    assert settings["heartbeat.interval"] == "2 s" and "heartbeat.timeout" not in settings
    with urllib.request.urlopen(f"{where['gateway']}/v1/info") as answer:
        assert json.load(answer)["version"].startswith("2.")
    with Gateway(where["gateway"], {"execution.runtime-mode": "batch"}) as gateway:
        assert gateway.run("SELECT 1 + 1") == [[2]]
        with pytest.raises(SkewlessError, match="SK801.*nix"):
            gateway.run("SELECT nix")
    with pytest.raises(SkewlessError, match="SK840"):
        Gateway("http://127.0.0.1:9")
    assert redis.Redis.from_url(where["valkey"]).ping()
    with psycopg.connect(where["postgres"]) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert answers(int(where["kafka"].rpartition(":")[2]))
    os.kill(state["pid"], signal.SIGKILL)
    eventually(lambda: not processes(tmp_path))
    assert skewless(tmp_path, "status").returncode == 1


def test_a_server_that_dies_is_started_again_and_data_outlives_down(project: Config, tmp_path: Path) -> None:
    state = supervisor.up(project, ("kafka", "valkey"))
    client = redis.Redis.from_url(state["endpoints"]["valkey"])
    client.set("kept", "1")
    (broker,) = [pid for pid, line in processes(tmp_path).items() if "kafka.Kafka" in line and "lifeline" not in line]
    os.kill(broker, signal.SIGKILL)
    port = int(state["endpoints"]["kafka"].rpartition(":")[2])
    eventually(lambda: [p for p, line in processes(tmp_path).items() if "kafka.Kafka" in line and p != broker] and answers(port))
    assert supervisor.up(project, ("valkey",)) == state         # what runs is left alone
    with pytest.raises(SkewlessError, match="SK931"):
        supervisor.up(project, ("postgres",))
    client.close()
    assert supervisor.down(project) and supervisor.state(project) is None
    eventually(lambda: not processes(tmp_path))
    again = supervisor.up(project, ("kafka", "valkey"))
    assert again["endpoints"] == state["endpoints"]
    assert redis.Redis.from_url(again["endpoints"]["valkey"]).get("kept") == b"1"
    log = supervisor.folder_of(project) / "kafka" / "kafka.log"
    assert log.read_text().count("Kafka Server started") >= 2
    assert supervisor.down(project, remove=True) and not supervisor.folder_of(project).exists()
    assert not supervisor.down(project)


def test_several_that_start_the_servers_at_once_get_the_same_ones(project: Config, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "skewless.cli", "dev", "up", "valkey", "--json", "--project-dir", str(tmp_path)]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    found = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], found
    now = supervisor.state(project)
    assert now is not None and {out for out, _ in found} == {found[0][0]} and json.loads(found[0][0]) == now
    assert [pid for pid, line in processes(tmp_path).items() if "dev.supervisor" in line] == [now["pid"]]
    supervisor.down(project)
    other = subprocess.Popen([*argv[:5], "postgres", *argv[6:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: supervisor._holder(supervisor.folder_of(project)))   # the lock alone may be somebody's who only looks
    with pytest.raises(SkewlessError, match="SK931.*postgres"):         # it waits until it is known what runs
        supervisor.up(project, ("valkey",))
    assert "postgres" in json.loads(other.communicate()[0])["endpoints"]


def test_servers_that_only_start_are_stopped_at_once(project: Config, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "skewless.cli", "dev", "up", "kafka", "--project-dir", str(tmp_path)]
    starting = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: [line for line in processes(tmp_path).values() if "kafka.Kafka" in line])
    assert supervisor.down(project)
    assert "error[SK930]: the servers were stopped while they started" in starting.communicate()[1]
    assert starting.returncode == 2 and supervisor.state(project) is None
    assert "kafka: ready" not in (supervisor.folder_of(project) / "supervisor.log").read_text()
    eventually(lambda: not processes(tmp_path))


def test_a_process_that_has_the_number_of_an_earlier_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "skewless.yml").write_text("project: shop\n")
    config = read_config(tmp_path)
    folder = supervisor.folder_of(config)
    folder.mkdir(parents=True)
    monkeypatch.setattr(supervisor, "DOWN_SECONDS_MAX", 0.5)
    with subprocess.Popen(["sleep", "600"]) as stranger, open(folder / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # of a holder that has not written down who it is
        for name in ("pid", "state.json"):      # left by one that was killed
            (folder / name).write_text(json.dumps({"pid": stranger.pid, "began": "1", "servers": ["kafka"], "endpoints": {}}))
        try:
            assert supervisor.state(config) is None
            with pytest.raises(SkewlessError, match="SK931"):
                supervisor.down(config)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_ends_with_its_own_holder_and_is_started_again(tmp_path: Path) -> None:
    with Stack(tmp_path, ("valkey",)) as stack:
        (server,) = stack.servers
        for _ in range(2):
            (valkey,) = [pid for pid, line in processes(tmp_path).items() if "lifeline" not in line]
            assert server.pid is not None and valkey != server.pid
            os.kill(server.pid, signal.SIGKILL)
            eventually(lambda valkey=valkey: valkey not in processes(tmp_path))
            eventually(lambda: stack.watch() == ["valkey"])
            server.wait_ready(SECONDS_MAX)
            time.sleep(1.1)         # the next kill is one of its own
    assert not processes(tmp_path)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ("valkey",))
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("in the way")
    with pytest.raises(SkewlessError, match="SK930") as caught:
        stack.start()
    assert "appendonlydir" in caught.value.detail and not processes(tmp_path)


def test_a_program_that_ends_by_itself_ends_its_holder_in_silence(tmp_path: Path) -> None:
    holder = Path(skewless_package.__file__).parent / "lifeline.py"
    body = {"argv": ["true"], "log": str(tmp_path / "log"), "user": "", "stop_signal": 15, "stop_seconds": 5, "remove": ""}
    argv = [sys.executable, "-I", str(holder), json.dumps(body)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read()) == (0, b"")


def test_a_broker_whose_id_begins_with_a_dash_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skewless.dev.kafka.uuid.uuid4", lambda: uuid.UUID(bytes=b"\xf8" + bytes(15)))
    stack = Stack(tmp_path, ("kafka",))
    try:
        assert stack.start()["kafka"]
    finally:
        stack.stop()


def test_only_servers_that_exist_are_asked_for() -> None:
    assert check_names([]) == NAMES and check_names(["valkey", "kafka"]) == ("kafka", "valkey")
    with pytest.raises(SkewlessError, match="SK102"):
        check_names(["zookeeper"])


def test_ports_stay_where_they_are_free() -> None:
    ports = free_ports(2)
    assert free_ports(2, ports) == ports and len(free_ports(3, ports)) == 3
