"""Stores of several nodes, by redis-py, whose topology code is worth more there than speed: Cluster and Sentinel.

What lookups of one turn of the event loop ask for goes out together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

from skewless.errors import SkewlessError
from skewless.online.topology import Topology, topology
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
    """The store of a `redis+cluster` or `redis+sentinel` URL; nothing is sent yet. Raises SK601."""
    found = topology(url)
    assert found is not None, "a URL of one node"
    return _cluster(found) if found.kind == "cluster" else _sentinel(found)


def _cluster(found: Topology) -> Store:
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in found.nodes], decode_responses=False, ssl=found.tls,
        socket_connect_timeout=DEADLINE_S, max_connections=POOL_MAX, **found.login,
    )
    return RedisPyStore(client, cluster=True)


def _sentinel(found: Topology) -> Store:
    from redis.asyncio.sentinel import Sentinel

    sentinel = Sentinel(found.nodes, socket_connect_timeout=DEADLINE_S, **found.login)
    client = sentinel.master_for(
        found.master, db=found.db, decode_responses=False, ssl=found.tls, socket_connect_timeout=DEADLINE_S,
        max_connections=POOL_MAX, **found.login,
    )
    return RedisPyStore(client)
