"""The ASGI application: routes, health, start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve import catalogue, feast, jobs, problems, registration
from skewless.serve.attach import attached
from skewless.serve.front import AccessLog
from skewless.serve.hooks import BATCH_ROUTE, ONE_ROUTE, VIEW_ROUTE, Hooks
from skewless.serve.hosts import Hosts
from skewless.serve.hot import Hot
from skewless.serve.live import Live
from skewless.serve.openapi import document
from skewless.serve.replies import json_reply
from skewless.serve.store import Store, open_store

Connect = Callable[[Config], Store]
Entry = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application(Starlette):
    """Starlette, with the lookups in front of its router. `state.live` and `state.hooks` are for whoever serves other routes."""

    entry: Entry | None = None          # takes HTTP once the application has started
    direct: Hot | None = None           # set where a connection may ask for lookups without ASGI
    hosts: Hosts | None = None          # set where requests for other hosts are refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.entry is not None and scope["type"] == "http":
            await self.entry(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def others(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything that is not a lookup."""
        await super().__call__(scope, receive, send)


def create_app(config: Config, connect: Connect | None = None, hooks: Hooks | None = None) -> Application:
    """The application over one project's snapshot and online store. `connect` opens the store."""
    app = Application(
        routes=routes(),
        lifespan=lifespan(config, connect or open_store),
        exception_handlers={
            SkewlessError: problems.on_skewless_error,
            HTTPException: problems.on_http_error,
            Exception: problems.on_crash,
        },
    )
    app.router.redirect_slashes = False
    app.state.hooks = hooks or Hooks()
    return app


def routes() -> list[Route]:
    """Every path there is. /openapi.json describes the same list; a test compares them. Lookups never get this far."""
    return [
        Route("/feature-views", catalogue.list_views),
        Route("/feature-views", registration.register, methods=["POST"]),
        Route("/feature-views/{id}", catalogue.read_view),
        Route(VIEW_ROUTE, nothing),
        Route(ONE_ROUTE, nothing, methods=["POST"]),
        Route(BATCH_ROUTE, nothing, methods=["POST"]),
        Route("/feature-views/{id}/materialize", jobs.materialize, methods=["POST"]),
        Route("/jobs/{id}", jobs.read_job),
        Route("/jobs/{id}/cancel", jobs.cancel_job, methods=["POST"]),
        Route("/training-datasets", jobs.list_datasets),
        Route("/training-datasets", jobs.make_dataset, methods=["POST"]),
        Route("/training-datasets/{id}", jobs.read_dataset),
        Route("/get-online-features", feast.get_online_features, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/index.json", catalogue.page_json),
        Route("/", catalogue.page),
    ]


def lifespan(config: Config, connect: Connect) -> Callable[[Any], Any]:
    """Connects, tries to load the snapshot, follows it while the application runs, disconnects."""
    @asynccontextmanager
    async def run(app: Application) -> AsyncIterator[None]:
        store = connect(config)
        await store.start()
        live = app.state.live = Live(config, store)
        with suppress(SkewlessError):   # the watch says it, and keeps trying
            await live.refresh()
        watching = asyncio.create_task(live.watch())
        try:
            async with attached(config, live, app.state, app.others) as front:
                hot = app.state.hot = Hot(front, live, app.state.hooks)
                app.entry = AccessLog(hot) if config.serve.access_log else hot
                app.state.metrics.busy = lambda: hot.in_flight + front.in_flight
                app.direct = hot if hot.ask is not None and not config.serve.access_log else None
                yield
        finally:
            app.entry = app.direct = None
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await store.aclose()

    return run


async def nothing(_: Request) -> Response:
    """A lookup's path with nothing where the id should be."""
    raise HTTPException(404)


async def healthz(_: Request) -> Response:
    """GET /healthz: the process runs."""
    return json_reply({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: the snapshot is loaded and Redis answers."""
    live: Live = request.app.state.live
    loaded = live.current()
    await live.store.call("PING")
    return json_reply({"status": "ready", "snapshot": loaded.snapshot_id})


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format."""
    reply: Response = await request.app.state.metrics.reply()
    return reply


async def openapi(_: Request) -> Response:
    """GET /openapi.json."""
    return json_reply(document())
