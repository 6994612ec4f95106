"""The three lookup routes as a raw ASGI callable in front of the application. Everything else goes through.

A request takes the snapshot in force once, when its body is there, and answers from it alone. A row that was written under a
newer snapshot makes it look for that one and answer again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from email.utils import formatdate
from typing import Any

import orjson

from skewless.clock import now_us
from skewless.errors import SkewlessError
from skewless.lookup import Lookups, Plan
from skewless.registry.model import Registry, View
from skewless.serve import requests
from skewless.serve.catalogue import find_view
from skewless.serve.hooks import BATCH_ROUTE, ONE_ROUTE, VIEW_ROUTE, Found, Hooks, Seen
from skewless.serve.live import Live
from skewless.serve.plan import Reply, compiled
from skewless.serve.problems import problem

log = logging.getLogger("skewless.serve")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
VIEW_HEAD, VIEW_TAIL = "/feature-views/", "/online-features"
JSON_TYPE = (b"content-type", b"application/json")
NAMES_MAX = 10_000
Keys = list[bytes | None]


class Answered:
    """What one request came to: the body, and what the reply's headers and the hooks want to know of it."""

    __slots__ = ("body", "plan", "rows", "registry", "at_us")

    def __init__(self, body: bytes, plan: Plan, rows: Sequence[bytes | None], lookups: Lookups, at_us: int) -> None:
        self.body, self.plan, self.rows, self.registry, self.at_us = body, plan, rows, lookups.registry, at_us


class Hot:
    """`app` gets every request that is not one of the three lookups."""

    def __init__(self, app: Application, live: Live, hooks: Hooks) -> None:
        self.app, self.live, self.hooks = app, live, hooks
        self.in_flight = self.turn = 0
        self.ask = getattr(live.store, "ask", None)     # where the store has it, lookups may go the short way (serve/direct.py)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if method == "POST":
                if path == ONE_ROUTE:
                    return await self._run(ONE_ROUTE, self._one, scope, receive, send)
                if path == BATCH_ROUTE:
                    return await self._run(BATCH_ROUTE, self._batch, scope, receive, send)
            elif path.endswith(VIEW_TAIL) and path.startswith(VIEW_HEAD) and method in ("GET", "HEAD"):
                name = path[len(VIEW_HEAD) : -len(VIEW_TAIL)]
                if name and "/" not in name:
                    return await self._run(VIEW_ROUTE, self._view, scope, receive, send)
        await self.app(scope, receive, send)

    async def _run(self, route: str, handler: Any, scope: Scope, receive: Receive, send: Send) -> None:
        started, hooks = time.perf_counter(), self.hooks
        plan, rows, at_us = None, None, 0
        self.in_flight += 1
        try:
            if hooks.authorise is not None:
                hooks.authorise(scope)
            asked = await handler(scope, receive)
            answered = await self._answer(asked)
            plan, rows, at_us = answered.plan, answered.rows, answered.at_us
            await reply(send, answered)
        except requests.Gone:
            return
        except SkewlessError as error:
            return await self.refuse(route, error, started, scope, receive, send)
        except Exception as error:
            log.exception("a lookup crashed")
            return await self.refuse(route, SkewlessError("SK900", type(error).__name__), started, scope, receive, send)
        finally:
            self.in_flight -= 1
        if hooks.observe is not None:
            hooks.observe(Seen(route, 200, time.perf_counter() - started, plan, rows, "", at_us))

    async def refuse(self, route: str, error: SkewlessError, started: float, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a lookup with a problem. `started` is its time by perf_counter."""
        refusal = problem(error)
        await refusal(scope, receive, send)
        if self.hooks.observe is not None:
            seconds = time.perf_counter() - started
            self.hooks.observe(Seen(route, refusal.status_code, seconds, None, None, error.code))

    async def _answer(self, asked: Callable[[Lookups], Awaitable[Answered]]) -> Answered:
        lookups = self.live.current()
        try:
            return await asked(lookups)
        except SkewlessError as error:
            if error.code != "SK454" or not await self.live.overtaken(lookups):
                raise
        return await asked(self.live.current())

    async def _one(self, scope: Scope, receive: Receive) -> Callable[[Lookups], Awaitable[Answered]]:
        """POST /online-features."""
        wanted = requests.parse_body(await requests.read_body(scope, receive), requests.OnlineRequest)

        async def answer(lookups: Lookups) -> Answered:
            shape = shape_of(lookups, wanted)
            plan = shape.plan
            found, at_us = await self.read(plan, plan.keys(wanted.entities), (wanted.entities,)), now_us()
            return Answered(shape.one(found.rows, at_us, b"", found.sources), plan, found.rows, lookups, at_us)

        return answer

    async def _batch(self, scope: Scope, receive: Receive) -> Callable[[Lookups], Awaitable[Answered]]:
        """POST /online-features/batch."""
        wanted = requests.parse_body(await requests.read_body(scope, receive), requests.BatchRequest)
        entities = wanted.entities

        async def answer(lookups: Lookups) -> Answered:
            shape = shape_of(lookups, wanted)
            requests.check_batch(len(entities), shape.width)
            found, at_us = await self.read(shape.plan, shape.plan.keys_of(entities), entities), now_us()
            return Answered(shape.many(found.rows, at_us, found.sources), shape.plan, found.rows, lookups, at_us)

        return answer

    async def _view(self, scope: Scope, receive: Receive) -> Callable[[Lookups], Awaitable[Answered]]:
        """GET /feature-views/{id}/online-features."""
        name, query = scope["path"][len(VIEW_HEAD) : -len(VIEW_TAIL)], scope["query_string"]

        async def answer(lookups: Lookups) -> Answered:
            shape, keys, entity, entities = view_request(lookups, name, query)
            found, at_us = await self.read(shape.plan, keys, (entities,)), now_us()
            return Answered(shape.one(found.rows, at_us, entity, found.sources), shape.plan, found.rows, lookups, at_us)

        return answer

    async def read(self, plan: Plan, keys: Keys, entities: Sequence[Mapping[str, Any]]) -> Found:
        """The rows of the keys, in order; None for None. Raises SK453, SK455."""
        hooks, store = self.hooks, self.live.store
        if hooks.reads is not None:
            found = await hooks.reads(plan, keys, store.read)
        elif None not in keys:
            found = Found(await store.read(keys) if keys else [])  # type: ignore[arg-type]
        else:
            asked = [key for key in keys if key is not None]
            rows = iter(await store.read(asked) if asked else [])
            found = Found([None if key is None else next(rows) for key in keys])
        if hooks.misses is not None and self.is_cold(plan):
            found = await hooks.misses.fill(plan, entities, keys, found)
        return found

    def is_cached(self, plan: Plan) -> bool:
        """Whether a cache has to do with the plan."""
        return self.hooks.reads is not None and self.hooks.reads.wanted(plan)

    def is_cold(self, plan: Plan) -> bool:
        """Whether the offline store has to do with the plan."""
        return self.hooks.misses is not None and self._wants_misses(plan)

    def _wants_misses(self, plan: Plan) -> bool:
        wanted: bool | None = plan.compiled.get("cold")
        if wanted is None:
            assert self.hooks.misses is not None
            wanted = plan.compiled["cold"] = self.hooks.misses.wanted(plan)
        return wanted


def shape_of(lookups: Lookups, wanted: requests.Wanted) -> Reply:
    """The compiled reply of a POST body. Raises SK104, SK105, SK404, SK407."""
    if wanted.feature_service is not None:
        plan = lookups.service(wanted.feature_service)
    else:
        plan = lookups.references(tuple(wanted.features or ()), wanted.full_names)
    return compiled(plan, wanted.format == "compact", wanted.int64_as_string)


def view_request(lookups: Lookups, name: str, query: bytes) -> tuple[Reply, Keys, bytes, Mapping[str, str]]:
    """What a GET asks for: the compiled reply, its keys, the JSON of `entity_id`, the join keys. Raises SK3xx, SK4xx."""
    view = lookups.compiled.get(name)
    if view is None:
        view = find_view(lookups.registry, name)
        if len(lookups.compiled) < NAMES_MAX:
            lookups.compiled[name] = view
    asked = requests.parse_query(query, view.key_names)
    plan = lookups.view(view.name, view.version, asked.features)
    keys = plan.keys(asked.entities)
    entity = entity_json(view, plan.typed(asked.entities), asked.int64_as_string)
    return compiled(plan, asked.compact, asked.int64_as_string), keys, entity, asked.entities


def entity_json(view: View, typed: dict[str, Any], int64_as_string: bool) -> bytes:
    """`entity_id` of a reply: the key's value, or an object where the key has several parts."""
    for key in view.join_keys:
        if int64_as_string and key.type == "int64" and typed[key.name] is not None:
            typed[key.name] = str(typed[key.name])
    return orjson.dumps(typed[view.key_names[0]] if len(view.join_keys) == 1 else {k: typed[k] for k in view.key_names})


async def reply(send: Send, answered: Answered) -> None:
    """Sends 200 with the body; a deprecated view adds its headers."""
    headers = [JSON_TYPE, (b"content-length", b"%d" % len(answered.body))]
    if answered.plan.deprecation:
        headers += deprecation_headers(answered.plan, answered.registry)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})


def deprecation_headers(plan: Plan, registry: Registry) -> list[tuple[bytes, bytes]]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and a link to the latest version, of the views that are deprecated first."""
    views = [vp.view for vp in plan.views if vp.view.deprecated_at_us is not None]
    out = [(b"deprecation", b"@%d" % (min(v.deprecated_at_us or 0 for v in views) // 1_000_000))]
    sunsets = [v.sunset_at_us for v in views if v.sunset_at_us is not None]
    if sunsets:
        out.append((b"sunset", formatdate(min(sunsets) // 1_000_000, usegmt=True).encode()))
    for view in views:
        latest = max((v for v in registry.views if v.name == view.name), key=lambda v: v.version, default=view)
        if latest.version > view.version:
            out.append((b"link", f'</feature-views/{latest.ref}>; rel="successor-version"'.encode()))
    return out
