"""What stands before every route that is not a lookup: who asks, from where, for how long; and the log of requests.

Replies from here carry `X-Request-Id`: the caller's, if it is plain, else one of ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from skewless.clock import format_instant, now_us
from skewless.errors import SkewlessError
from skewless.serve.auth import ADMIN, WRITE, Gate, needed
from skewless.serve.problems import problem
from skewless.serve.requestid import NAME, request_id

access = logging.getLogger("skewless.serve.access")
HANDLER_S = 30.0
REGISTER_S = 300.0              # dbt compiles the project
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """`observe(path, status, seconds)` hears of every request that passed here."""

    def __init__(self, app: App, gate: Gate, observe: Callable[[Scope, int, float], None] | None = None) -> None:
        self.app, self.gate, self.observe = app, gate, observe
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 500
        mark = (NAME, request_id(scope).encode())

        async def marked(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if all(name != NAME for name, _ in message["headers"]):
                    message["headers"] = [*message["headers"], mark]
            await send(message)

        self.in_flight += 1
        try:
            await self._admitted(scope, receive, marked)
        finally:
            self.in_flight -= 1
            if self.observe is not None:
                self.observe(scope, status, time.perf_counter() - started)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        level = needed(scope["method"], scope["path"])
        begun = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            scope["actor"] = self.gate.admit(scope, level)
            if level >= WRITE:
                check_origin(scope, level)
            async with asyncio.timeout(REGISTER_S if level >= ADMIN else HANDLER_S):
                await self.app(scope, receive, watched)
        except SkewlessError as error:
            await problem(error)(scope, receive, send)
        except TimeoutError:
            if begun:
                raise
            slow = SkewlessError("SK458", "no answer in time", hint="Ask again in a moment.")
            await problem(slow)(scope, receive, send)


def check_origin(scope: Scope, level: int) -> None:
    """Refuses what a page of another site could make a browser send: a body must say that it is JSON. Raises SK415.

    A form cannot say so, and a script of another origin would have to ask first, which nobody here answers.
    """
    if scope["method"] in ("POST", "PUT", "PATCH") or level >= ADMIN:
        found = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        if found.split(b";")[0].strip().lower() != b"application/json":
            raise SkewlessError("SK415", "the body is not announced as JSON", hint="Send Content-Type: application/json.")


class AccessLog:
    """One JSON line a request on stderr: who asked for which path, what came of it. Without query, body or token."""

    def __init__(self, app: App, stream: Any = None) -> None:
        self.app = app
        if not access.handlers:
            handler = logging.StreamHandler(stream)
            handler.setFormatter(logging.Formatter("%(message)s"))
            access.addHandler(handler)
            access.propagate = False
        access.setLevel(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, size = time.perf_counter(), 0, 0
        mark = (NAME, request_id(scope).encode())

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                if all(name != NAME for name, _ in message["headers"]):
                    message["headers"] = [*message["headers"], mark]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            access.info(_line(scope, status, size, time.perf_counter() - started))


def _line(scope: Mapping[str, Any], status: int, size: int, seconds: float) -> str:
    client = scope.get("client") or ("", 0)
    return orjson.dumps({
        "at": format_instant(now_us()), "request_id": request_id(scope), "client": client[0], "actor": scope.get("actor", ""),
        "method": scope["method"][:20], "path": scope["path"][:300].encode("utf-8", "replace").decode(), "status": status,
        "bytes": size, "ms": round(seconds * 1000, 3), "pid": os.getpid(),
    }).decode()
