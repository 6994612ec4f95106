"""One RESP3 connection: commands of a loop tick leave in one write, replies come back in order, each to the caller it is for.

A connection that is late, breaks the protocol or is lost ends whole: everything in flight on it fails, nothing of it is read
again. So a reply cannot reach another caller than the one that asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from skewless.clock import now_us
from skewless.errors import SkewlessError

Loop = asyncio.AbstractEventLoop
NOTHING = object()


class Waiting:
    """A request of one or several commands: until when it waits (loop time), the replies so far. Ends once: `come` or `lost`."""

    __slots__ = ("deadline", "left", "parts", "size", "ended")

    def __init__(self) -> None:
        self.ended = False
        self.parts: list[Any] | None = None

    def asked(self, deadline: float, commands: int, size: int) -> None:
        """It is on its way: so many commands, for `size` keys together."""
        self.deadline, self.left, self.size = deadline, commands, size

    def come(self, reply: Any, at_us: int) -> None:
        """The reply; the lists of several commands are joined. `at_us` is an instant after the store gave it. Must not raise."""
        raise NotImplementedError

    def lost(self, error: SkewlessError) -> None:
        """There will be no reply: SK453. Must not raise."""
        raise NotImplementedError

    def put(self, reply: Any, at_us: int) -> bool:
        """Takes one reply; true when it was the last."""
        self.left -= 1
        if not self.ended:
            if isinstance(reply, Exception):
                self.fail(f"It answered {str(reply).split(' ', 1)[0][:40]}.")
            elif self.left:
                self.parts = reply if self.parts is None else self.parts + reply
            else:
                self.ended = True
                self.come(reply if self.parts is None else self.parts + reply, at_us)
        return self.left == 0

    def fail(self, why: str) -> None:
        """The caller gets SK453."""
        if not self.ended:
            self.ended = True
            self.lost(unanswered(why))


class Promise(Waiting):
    """Somebody awaits the reply."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        super().__init__()
        self.future = future

    def come(self, reply: Any, at_us: int) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def lost(self, error: SkewlessError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Connection(asyncio.Protocol):
    """The wire. `on_lost(connection, why)` is called once; `freed(size)` whenever a request's last reply has come."""

    def __init__(self, loop: Loop, on_lost: Callable[[Connection, str], None], freed: Callable[[int], None]) -> None:
        self._loop, self._on_lost, self._freed = loop, on_lost, freed
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        self._transport: asyncio.Transport | None = None
        self.waiting: deque[Waiting] = deque()
        self.writable = True
        self.on_writable: Callable[[], None] = lambda: None
        self.opened_at = loop.time()
        self.why = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, waiting: list[Waiting]) -> None:
        """Writes commands whose replies belong to `waiting`, in order."""
        self.waiting.extend(waiting)
        assert self._transport is not None
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hands each reply to the oldest request that still waits for one."""
        reader, waiting = self._reader, self.waiting
        try:
            reader.feed(data)
            at_us = now_us()
            while (reply := reader.gets()) is not NOTHING:
                if isinstance(reply, hiredis.PushNotification):
                    continue
                if not waiting:
                    return self.drop("It answered what nobody asked.")
                oldest = waiting[0]
                if oldest.put(reply, at_us):
                    waiting.popleft()
                    self._freed(oldest.size)
        except hiredis.ProtocolError:
            self.drop("It broke the protocol.")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.on_writable()

    def drop(self, why: str) -> None:
        """Ends the connection now; `connection_lost` follows."""
        self.why = self.why or why
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        why = self.why = self.why or "It closed the connection."
        for one in self.waiting:
            one.fail(why)
            self._freed(one.size)
        self.waiting.clear()
        self._on_lost(self, why)


def unanswered(why: str = "") -> SkewlessError:
    """SK453 as every caller sees it."""
    return SkewlessError("SK453", "the online store does not answer", detail=why, hint="Ask again in a moment.")
