"""The online store as the server sees it: read rows, send a command. Over one node by our own connection.

    open_store(config)   -> a Store for what skewless.yml names
    Store.read(keys)     -> awaitable of the stored bytes in order, None where there is nothing
    Store.call(*words)   -> awaitable of one command's reply

Every failure is a SkewlessError: SK453 no answer in time or an error reply, SK455 too much in flight.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import hiredis

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve.resp import Connection, Promise, Waiting, unanswered

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
log = logging.getLogger("skewless.serve")
DEADLINE_S = 1.0
KEYS_WAITING_MAX = 100_000      # rows of ~0.6 kB: what a process holds for Redis at worst
MGET_KEYS_MAX = 300
BACKOFF_S = (0.02, 0.5)
STEADY_S = 1.0                  # a connection that lived shorter is opened again after a pause only
REOPEN_S = 0.1                  # the longest of these pauses: the server is there
Rows = list[bytes | None]


class Store(Protocol):
    """What lookups and the snapshot's watch need of Redis."""

    async def start(self) -> None:
        """Begins to connect; does not wait for it."""

    def read(self, keys: Sequence[bytes]) -> Awaitable[Rows]:
        """The stored bytes of each key."""

    def call(self, *words: Any) -> Awaitable[Any]:
        """One command."""

    async def aclose(self) -> None:
        """Ends every connection."""


class Address(NamedTuple):
    """Where a node is and how to log in. `path` is a unix socket; it excludes host and port."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    db: int = 0
    tls: ssl.SSLContext | None = None


class RespStore:
    """One node over one connection, which is kept: lost, it is opened again with backoff.

    While the first attempt after a loss runs, requests wait for it; when it has failed, they fail at once until one succeeds.
    """

    def __init__(self, address: Address, *, deadline_s: float = DEADLINE_S, keys_waiting_max: int = KEYS_WAITING_MAX) -> None:
        self.address, self.deadline_s, self.keys_waiting_max = address, deadline_s, keys_waiting_max
        self.keys_waiting = 0
        self.down = ""                                  # why requests fail at once; empty while they may wait
        self._queue: deque[tuple[bytes, Waiting]] = deque()
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = self._closing = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._fail("The server stops.")
        if self._connection is not None:
            self._connection.drop("The server stops.")
        if self._timer is not None:
            self._timer.cancel()

    def read(self, keys: Sequence[bytes]) -> Awaitable[Rows]:
        promise = Promise(self._loop.create_future())
        self.ask(keys, promise)
        return promise.future

    def call(self, *words: Any) -> Awaitable[Any]:
        promise = Promise(self._loop.create_future())
        self._send(pack(words), promise, 1, 1)
        return promise.future

    def ask(self, keys: Sequence[bytes], waiting: Waiting) -> None:
        """`read` without a future: `waiting` hears of the rows, or that there are none. Raises SK453, SK455 when it will not."""
        if len(keys) <= MGET_KEYS_MAX:
            self._send(pack((b"MGET", *keys)), waiting, 1, len(keys))
        else:
            parts = [keys[at : at + MGET_KEYS_MAX] for at in range(0, len(keys), MGET_KEYS_MAX)]
            self._send(b"".join([pack((b"MGET", *part)) for part in parts]), waiting, len(parts), len(keys))

    def _send(self, data: bytes, waiting: Waiting, commands: int, size: int) -> None:
        if self.down:
            raise unanswered(self.down)
        if self.keys_waiting + size > self.keys_waiting_max and self.keys_waiting:
            raise SkewlessError("SK455", "too many lookups are in flight", hint="Ask again in a moment, or add servers.")
        deadline = self._loop.time() + self.deadline_s
        waiting.asked(deadline, commands, size)
        self.keys_waiting += size
        self._queue.append((data, waiting))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._overdue)

    def _flush(self) -> None:
        """Everything asked for since the last tick, in one write."""
        self._flushing = False
        connection, queue = self._connection, self._queue
        if connection is None or not connection.writable or not queue:
            return
        if len(queue) == 1:
            connection.send(queue[0][0], [queue[0][1]])
        else:
            connection.send(b"".join([data for data, _ in queue]), [waiting for _, waiting in queue])
        queue.clear()

    def _overdue(self) -> None:
        """The oldest request's deadline. A connection that is late is given up: what follows on it would be late too."""
        self._timer = None
        now, connection = self._loop.time(), self._connection
        if connection is not None and connection.waiting and connection.waiting[0].deadline <= now:
            self.down = "It is late."
            connection.drop(self.down)
        while self._queue and self._queue[0][1].deadline <= now:
            waiting = self._queue.popleft()[1]
            waiting.fail("It is late.")
            self._freed(waiting.size)
        oldest = connection.waiting[0] if connection is not None and connection.waiting and not self.down else None
        oldest = oldest or (self._queue[0][1] if self._queue else None)
        if oldest is not None:
            self._timer = self._loop.call_at(oldest.deadline, self._overdue)

    def _freed(self, size: int) -> None:
        self.keys_waiting -= size

    def _fail(self, why: str) -> None:
        """Everything that waits for a connection fails, and what comes until there is one."""
        self.down = why
        while self._queue:
            waiting = self._queue.popleft()[1]
            waiting.fail(why)
            self._freed(waiting.size)

    def _on_lost(self, connection: Connection, why: str) -> None:
        if connection is self._connection:
            self._connection = None
            if not self._closing:
                log.warning("the online store: connection lost. %s", why)
            if self._loop.time() - connection.opened_at < STEADY_S:
                self._fail(why)
            self._lost.set()

    async def _keep(self) -> None:
        """Keeps a connection open until cancelled."""
        wait_s, said = 0.0, ""
        while not self._closing:
            self._lost.clear()
            try:
                async with asyncio.timeout(self.deadline_s):    # wait_for may lose a cancellation
                    connection = await connect(self.address, self._on_lost, self._freed)
            except Exception as error:      # a keeper that dies would never connect again
                why = error.detail if isinstance(error, SkewlessError) else f"{type(error).__name__}."
                if why != said:
                    log.warning("the online store does not answer: %s", why)
                said = why
                self._fail(why)
                wait_s = min(max(wait_s * 2, BACKOFF_S[0]), BACKOFF_S[1])
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
                continue
            if said:
                log.info("the online store answers again")
            said = ""
            await self._serve(connection)
            lived = self._loop.time() - connection.opened_at
            wait_s = 0.0 if lived >= STEADY_S else min(max(wait_s * 2, BACKOFF_S[0]), REOPEN_S)
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _serve(self, connection: Connection) -> None:
        """Uses the connection until it is lost."""
        connection.on_writable = self._flush
        if connection.why:      # lost between the last reply of the handshake and now
            self._fail(connection.why)
            return
        self._connection, self.down = connection, ""
        self._flush()
        await self._lost.wait()


async def connect(address: Address, on_lost: Any, freed: Any) -> Connection:
    """An open connection, logged in, RESP3 where the server has it. Raises OSError, SK453 when the login is refused."""
    loop = asyncio.get_running_loop()

    def factory() -> Connection:
        return Connection(loop, on_lost, freed)

    if address.path:
        _, protocol = await loop.create_unix_connection(factory, address.path)
    else:
        name = address.host if address.tls is not None else None
        _, protocol = await loop.create_connection(factory, address.host, address.port, ssl=address.tls, server_hostname=name)
    try:
        await _log_in(loop, protocol, address)
    except BaseException:
        protocol.drop("The login failed.")
        raise
    return protocol


async def _log_in(loop: asyncio.AbstractEventLoop, connection: Connection, address: Address) -> None:
    user = address.username or "default"
    hello: tuple[str, ...] = ("HELLO", "3") + (("AUTH", user, address.password) if address.password else ())
    try:
        await _one(loop, connection, (*hello, "SETNAME", "skewless-serve"))
    except SkewlessError as error:
        if error.detail not in ("It answered ERR.", "It answered NOPROTO.", "It answered NOAUTH."):
            raise
        if address.password:        # a server from before RESP3
            login = (address.username, address.password) if address.username else (address.password,)
            await _one(loop, connection, ("AUTH", *login))
    if address.db:
        await _one(loop, connection, ("SELECT", str(address.db)))


def _one(loop: asyncio.AbstractEventLoop, connection: Connection, words: tuple[str, ...]) -> Awaitable[Any]:
    promise = Promise(loop.create_future())
    promise.asked(0.0, 1, 0)
    connection.send(pack(words), [promise])
    return promise.future


def address_of(url: str) -> Address:
    """redis://, rediss:// and unix:// as redis-py reads them. Raises SK601."""
    from redis.connection import parse_url

    try:
        found = parse_url(url)
        tls = _tls(found) if url.startswith("rediss://") else None
    except (ValueError, OSError) as error:
        raise SkewlessError("SK601", "online_store is not understood", detail=f"{error}.") from None
    return Address(
        host=found.get("host") or "localhost", port=found.get("port") or 6379, path=found.get("path") or "",
        username=found.get("username") or "", password=found.get("password") or "", db=int(found.get("db") or 0), tls=tls,
    )


def _tls(options: Any) -> ssl.SSLContext:
    """By ssl_cert_reqs (none, optional, required), ssl_check_hostname, ssl_ca_certs, ssl_certfile, ssl_keyfile of the URL."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    requires = str(options.get("ssl_cert_reqs", "required")).lower()
    if requires not in ("none", "optional", "required"):
        raise ValueError(f"ssl_cert_reqs={requires}")
    check = str(options.get("ssl_check_hostname", "true")).lower() not in ("false", "0", "no")
    context.check_hostname = check and requires != "none"
    context.verify_mode = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}[requires]
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


def open_store(config: Config) -> Store:
    """The store that skewless.yml names; nothing is sent yet. Starts or joins the embedded server. Raises SK601, SK602."""
    from skewless.online import store_url
    from skewless.online.topology import topology

    if topology(config.online_store) is not None:
        from skewless.serve.topology import open_topology

        return open_topology(config.online_store)
    return RespStore(address_of(store_url(config)))
