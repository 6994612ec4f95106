"""Stores of several nodes, by redis-py, whose topology code is worth more there than speed: Cluster and Sentinel.

    redis+cluster://user:password@host:7000,host:7001
    redis+sentinel://user:password@host:26379,host:26379/mymaster/0

`rediss+…` speaks TLS. What lookups of one loop tick ask for goes out together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from skewless.errors import SkewlessError
from skewless.serve.resp import unanswered
from skewless.serve.store import DEADLINE_S, KEYS_WAITING_MAX, MGET_KEYS_MAX, Rows, Store

log = logging.getLogger("skewless.serve")
CALLS_MAX = 32          # at a time; below the connection pool's limit, so that a burst waits instead of failing
POOL_MAX = 64


class RedisPyStore:
    """Over an asyncio client of redis-py whose replies are bytes. `cluster`: an MGET is split by slot."""

    def __init__(self, client: Any, *, cluster: bool = False, deadline_s: float = DEADLINE_S,
                 keys_waiting_max: int = KEYS_WAITING_MAX) -> None:
        self.client, self.cluster, self.deadline_s, self.keys_waiting_max = client, cluster, deadline_s, keys_waiting_max
        self.keys_waiting = 0
        self._queue: list[tuple[Sequence[bytes], asyncio.Future[Rows]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(CALLS_MAX)

    async def start(self) -> None:
        """Connections are made when they are needed."""

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.aclose()

    def read(self, keys: Sequence[bytes]) -> Awaitable[Rows]:
        if self.keys_waiting + len(keys) > self.keys_waiting_max and self.keys_waiting:
            raise SkewlessError("SK455", "too many lookups are in flight", hint="Ask again in a moment, or add servers.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Rows] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._flush)
        self._queue.append((keys, future))
        self.keys_waiting += len(keys)
        return future

    async def call(self, *words: Any) -> Any:
        return await self._guarded(lambda: self.client.execute_command(*words))

    def _flush(self) -> None:
        """Everything asked for since the last tick, in MGETs of about MGET_KEYS_MAX keys."""
        part: list[tuple[Sequence[bytes], asyncio.Future[Rows]]] = []
        size = 0
        queue, self._queue = self._queue, []
        for one in queue:
            if part and size + len(one[0]) > MGET_KEYS_MAX:
                self._spawn(part)
                part, size = [], 0
            part.append(one)
            size += len(one[0])
        if part:
            self._spawn(part)

    def _spawn(self, part: list[tuple[Sequence[bytes], asyncio.Future[Rows]]]) -> None:
        task = asyncio.create_task(self._answer(part))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, part: list[tuple[Sequence[bytes], asyncio.Future[Rows]]]) -> None:
        keys = [key for asked, _ in part for key in asked]
        try:
            rows: Rows = await self._guarded(lambda: self._mget(keys))
            at = 0
            for asked, future in part:
                if not future.done():
                    future.set_result(rows[at : at + len(asked)])
                at += len(asked)
        except asyncio.CancelledError:
            self._fail(part, "The server stops.")
            raise
        except SkewlessError as error:
            self._fail(part, error.detail)
        except Exception as error:
            log.exception("a read crashed")
            self._fail(part, f"{type(error).__name__}.")
        finally:
            self.keys_waiting -= len(keys)

    def _mget(self, keys: list[bytes]) -> Awaitable[Any]:
        return self.client.mget_nonatomic(keys) if self.cluster else self.client.mget(keys)

    def _fail(self, part: list[tuple[Sequence[bytes], asyncio.Future[Rows]]], why: str) -> None:
        for _, future in part:
            if not future.done():
                future.set_exception(unanswered(why))

    async def _guarded(self, call: Any) -> Any:
        """Waiting for a turn and the answer share one deadline. Raises SK453."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self.deadline_s), self._turns:
                return await call()
        except (RedisError, OSError) as error:   # TimeoutError is an OSError
            raise unanswered(f"{type(error).__name__}.") from None


def open_topology(url: str) -> Store:
    """The store of a `redis+cluster` or `redis+sentinel` URL (`rediss+…`: TLS); nothing is sent yet. Raises SK601."""
    kind = url.partition("://")[0].partition("+")[2]
    tls = url.startswith("rediss")
    try:
        nodes, login, path = _parts(url)
        return _cluster(nodes, login, tls) if kind == "cluster" else _sentinel(nodes, login, path, tls)
    except ValueError as error:
        raise SkewlessError(
            "SK601", "online_store is not understood", detail=f"{error}.",
            hint="Write it like redis+cluster://host:7000,host:7001 or redis+sentinel://host:26379/mymaster/0.",
        ) from None


def _parts(url: str) -> tuple[list[tuple[str, int]], dict[str, str], list[str]]:
    """Nodes, login and the parts of the path."""
    split = urlsplit(url)
    login, _, hosts = split.netloc.rpartition("@")
    user, _, password = login.partition(":")
    nodes = []
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if not colon or not name or not port.isdecimal():
            raise ValueError(f'"{host}" is not host:port')
        nodes.append((name.strip("[]"), int(port)))
    given = {"username": unquote(user), "password": unquote(password)}
    return nodes, {k: v for k, v in given.items() if v}, [part for part in split.path.split("/") if part]


def _cluster(nodes: list[tuple[str, int]], login: dict[str, str], tls: bool) -> Store:
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes], decode_responses=False, ssl=tls,
        socket_connect_timeout=DEADLINE_S, max_connections=POOL_MAX, **login,  # type: ignore[arg-type]
    )
    return RedisPyStore(client, cluster=True)


def _sentinel(nodes: list[tuple[str, int]], login: dict[str, str], path: list[str], tls: bool) -> Store:
    from redis.asyncio.sentinel import Sentinel

    if not 1 <= len(path) <= 2 or (len(path) == 2 and not path[1].isdecimal()):
        raise ValueError("the path is not /<name of the master>/<database>")
    sentinel = Sentinel(nodes, socket_connect_timeout=DEADLINE_S, **login)
    client = sentinel.master_for(
        path[0], db=int(path[1]) if len(path) == 2 else 0, decode_responses=False, ssl=tls,
        socket_connect_timeout=DEADLINE_S, max_connections=POOL_MAX, **login,  # type: ignore[arg-type]
    )
    return RedisPyStore(client)
