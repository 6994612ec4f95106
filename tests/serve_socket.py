"""The server's own protocol over a socket, for the tests of lookups."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from skewless.serve.protocol import Protocol


async def listen(app: Any) -> asyncio.Server:
    """The application behind the server's own protocol, on a free port."""
    config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", log_level="warning")
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Wed, 01 Jan 2014 12:00:00 GMT")]
    return await asyncio.get_running_loop().create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
