"""Lookups on the short way: from the parsed request to the store and back to the socket, without a task, a future or a scope.

Only what is plain goes it. A request that is refused, has a NULL join key, wants the offline store, a deprecated view or a row
that another one is fetching for the cache is handed to the application (`hot`), which knows all of it: one place decides what
such a request gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from skewless.clock import now_us
from skewless.errors import SkewlessError
from skewless.lookup import Lookups
from skewless.serve import requests
from skewless.serve.hooks import BATCH_ROUTE, ONE_ROUTE, VIEW_ROUTE, Seen, Trip
from skewless.serve.hot import VIEW_HEAD, VIEW_TAIL, Hot, Keys, shape_of, view_request
from skewless.serve.plan import Reply
from skewless.serve.resp import Waiting

POSTED = {ONE_ROUTE.encode(): ONE_ROUTE, BATCH_ROUTE.encode(): BATCH_ROUTE}
HEAD, TAIL = VIEW_HEAD.encode(), VIEW_TAIL.encode()
SAMPLED = 16                    # one in so many reads of the store is timed


class Wire(Protocol):
    """The connection that a lookup came by."""

    headers: list[tuple[bytes, bytes]]
    url: bytes

    def answer(self, lookup: Lookup, body: bytes) -> None:
        """Sends 200 with the body."""

    def hand_over(self, lookup: Lookup, app: Any = None) -> None:
        """The request goes to the application, or to `app`."""


class Nobody:
    """Where somebody might wait for a message."""

    def set(self) -> None:
        """There is nobody."""


class Lookup(Waiting):
    """One request. To the HTTP protocol it is what a request and its response are there (uvicorn's `RequestResponseCycle`)."""

    __slots__ = ("wire", "hot", "route", "url", "headers", "body", "started", "shape", "entity", "timed", "reads", "trip",
                 "keep_alive", "disconnected", "response_started", "response_complete")
    message_event = Nobody()
    more_body = False

    def __init__(self, wire: Wire, hot: Hot, route: str) -> None:
        self.ended, self.parts = False, None
        self.wire, self.hot, self.route, self.url, self.headers = wire, hot, route, wire.url, wire.headers
        self.body, self.entity = b"", b""
        self.shape: Reply
        self.reads: Any
        self.trip: Trip | None = None
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False

    def begin(self) -> bool:
        """Asks the store. False where the application is to answer."""
        hot = self.hot
        hooks = hot.hooks
        self.started = time.perf_counter()
        try:
            if hooks.authorise is not None:
                hooks.authorise({"method": "GET" if self.route is VIEW_ROUTE else "POST", "headers": self.headers})
            shape, keys = ASKED[self.route](self, hot.live.current())
            plan = shape.plan
            if plan.deprecation or not keys or None in keys or hot.is_cold(plan):
                return False
            self.shape = shape
            if hot.is_cached(plan):
                self.reads = hooks.reads
                self.trip = hooks.reads.trip(plan, keys, wait=False)    # type: ignore[union-attr]
                if self.trip is None:
                    return False
                keys = self.trip.keys                                   # type: ignore[assignment]
            if keys:
                self._ask(keys)         # type: ignore[arg-type]
        except Exception:               # the application meets the same, answers it and tells the log
            return False
        if not keys:
            self._give([], now_us())
            return True
        hot.in_flight += 1
        hot.turn += 1
        self.timed = hooks.timed is not None and hot.turn % SAMPLED == 0
        return True

    def _ask(self, keys: list[bytes]) -> None:
        try:
            self.hot.ask(keys, self)    # type: ignore[misc]
        except Exception as error:
            if self.trip is not None:
                self.reads.lost(self.trip, error)
            raise

    def come(self, reply: list[bytes | None], at_us: int) -> None:
        hot = self.hot
        hot.in_flight -= 1
        if self.timed:
            hot.hooks.timed(time.perf_counter() - self.started)     # type: ignore[misc]
        self._give(reply, at_us)

    def _give(self, reply: list[bytes | None], at_us: int) -> None:
        """Answers with the rows that were asked for."""
        hot, shape, sources = self.hot, self.shape, None
        if self.trip is not None:
            reply, sources = self.reads.came(self.trip, reply)
        try:
            ages: list[int] = []
            one = self.route is not BATCH_ROUTE
            body = shape.one(reply, at_us, self.entity, sources, ages) if one else shape.many(reply, at_us, sources, ages)
        except SkewlessError as error:
            if error.code == "SK454":               # there may be a newer snapshot
                return self.wire.hand_over(self)
            return self._refuse(error)
        except Exception:
            return self.wire.hand_over(self)
        self.wire.answer(self, body)
        if hot.hooks.observe is not None:
            hot.hooks.observe(Seen(self.route, 200, time.perf_counter() - self.started, shape.plan, reply, "", at_us, ages))

    def lost(self, error: SkewlessError) -> None:
        self.hot.in_flight -= 1
        if self.trip is not None:
            self.reads.lost(self.trip, error)
        self._refuse(error)

    def _refuse(self, error: SkewlessError) -> None:
        hot, route, started = self.hot, self.route, self.started

        async def refused(scope: Any, receive: Any, send: Any) -> None:
            await hot.refuse(route, error, started, scope, receive, send)

        self.wire.hand_over(self, refused)


def _one(lookup: Lookup, lookups: Lookups) -> tuple[Reply, Keys]:
    wanted = requests.parse_body(lookup.body, requests.OnlineRequest)
    shape = shape_of(lookups, wanted)
    return shape, shape.plan.keys(wanted.entities)


def _batch(lookup: Lookup, lookups: Lookups) -> tuple[Reply, Keys]:
    wanted = requests.parse_body(lookup.body, requests.BatchRequest)
    shape = shape_of(lookups, wanted)
    requests.check_batch(len(wanted.entities), shape.width)
    return shape, shape.plan.keys_of(wanted.entities)


def _view(lookup: Lookup, lookups: Lookups) -> tuple[Reply, Keys]:
    path, _, query = lookup.url.partition(b"?")
    shape, keys, lookup.entity, _ = view_request(lookups, path[len(HEAD) : -len(TAIL)].decode("ascii"), query)
    return shape, keys


ASKED: dict[str, Callable[[Lookup, Lookups], tuple[Reply, Keys]]] = {ONE_ROUTE: _one, BATCH_ROUTE: _batch, VIEW_ROUTE: _view}


def route_of(method: bytes, url: bytes) -> str | None:
    """The lookup that a request line names, None for everything else and for what is written in another way."""
    if method == b"POST":
        return POSTED.get(url)
    path = url.partition(b"?")[0]
    if method != b"GET" or not path.startswith(HEAD) or not path.endswith(TAIL):
        return None
    if b"%" in path or b"#" in url or not path.isascii():
        return None
    name = path[len(HEAD) : -len(TAIL)]
    return VIEW_ROUTE if name and b"/" not in name else None
