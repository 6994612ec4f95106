"""The floor: a raw ASGI application that answers a fixed body, on the server's own settings. `python -m bench.hello PORT`."""

from __future__ import annotations

import sys
from typing import Any

BODY = b'{"hello":"world"}'
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(BODY))]}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, as a lookup does, and answers."""
    if scope["type"] == "http":
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none", lifespan="off",
        access_log=False, log_level="warning", timeout_keep_alive=75, server_header=False,
    )
