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

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve import catalogue, lookups, problems
from skewless.serve.live import Live
from skewless.serve.openapi import document
from skewless.serve.replies import json_reply

Connect = Callable[[Config], Any]


def create_app(config: Config, connect: Connect | None = None) -> Starlette:
    """The application over one project's snapshot and online store. `connect` gives the asynchronous Redis client."""
    app = Starlette(
        routes=routes(),
        lifespan=lifespan(config, connect or _connect),
        exception_handlers={
            SkewlessError: problems.on_skewless_error,
            HTTPException: problems.on_http_error,
            Exception: problems.on_crash,
        },
    )
    app.router.redirect_slashes = False
    return app


def routes() -> list[Route]:
    """Every path there is. /openapi.json describes the same list; a test compares them."""
    return [
        Route("/feature-views", catalogue.list_views),
        Route("/feature-views/{id}", catalogue.read_view),
        Route("/feature-views/{id}/online-features", lookups.one_view),
        Route("/online-features", lookups.online_features, methods=["POST"]),
        Route("/online-features/batch", lookups.batch, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/openapi.json", openapi),
        Route("/index.json", catalogue.page_json),
        Route("/", catalogue.page),
    ]


def lifespan(config: Config, connect: Connect) -> Callable[[Starlette], Any]:
    """Connects, tries to load the snapshot, follows it while the application runs, disconnects."""
    @asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[None]:
        client = connect(config)
        live = app.state.live = Live(config, client)
        with suppress(SkewlessError):   # the watch says it, and keeps trying
            await live.refresh()
        watching = asyncio.create_task(live.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await client.aclose()

    return run


async def healthz(_: Request) -> Response:
    """GET /healthz: the process runs."""
    return json_reply({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: the snapshot is loaded and Redis answers."""
    live: Live = request.app.state.live
    loaded = live.current()
    await live.guard(lambda: _ping(live.client))
    return json_reply({"status": "ready", "snapshot": loaded.snapshot_id})


async def openapi(_: Request) -> Response:
    """GET /openapi.json."""
    return json_reply(document())


def _ping(client: Any) -> Awaitable[Any]:
    return client.ping()


def _connect(config: Config) -> Any:
    from skewless.online import connect_async

    return connect_async(config)
