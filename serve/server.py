"""The process: its socket, its signals, and how it stops."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import uvicorn

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve.app import create_app
from skewless.serve.workers import Workers, cores, shares

KEEP_ALIVE_S = 75
DRAIN_S = 10
BACKLOG = 2048


class Server(uvicorn.Server):
    """Tells when it listens, and ends with 0 after a signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        self.on_ready()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()   # uvicorn raises them again otherwise, and the caller could not clean up


def run(
    config: Config, *, host: str | None = None, port: int | None = None, insecure: bool = False, workers: int = 0,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight (at most DRAIN_S) and returns.

    Port 0 takes a free one; `on_ready` gets the URL once requests are answered. `workers` 0: serve.workers, else one for each
    processor, and one alone beside the embedded store. Raises SK451 for an address beyond loopback without `insecure`, SK452
    when the port is taken.
    """
    host = config.serve.host if host is None else host
    port = config.serve.port if port is None else port
    listener = listen(host, port, insecure=insecure)
    name, bound = listener.getsockname()[:2]
    url = f"http://[{name}]:{bound}" if ":" in name else f"http://{name}:{bound}"
    count = workers or config.serve.workers or (1 if config.online_store.strip() == "embedded" else cores())
    if count == 1:
        with listener:
            answer(config, listener, lambda: on_ready(url))
    else:
        Workers(shares(listener, count), partial(answer, config)).run(lambda: on_ready(url))


def answer(config: Config, listener: socket.socket, on_ready: Callable[[], None], alive: int = -1) -> None:
    """One process's serving, until a signal or until `alive` (a descriptor) ends. Raises SK900 when it does not start."""
    server = Server(_settings(config), on_ready)

    async def serve() -> None:
        if alive >= 0:
            asyncio.get_running_loop().add_reader(alive, setattr, server, "should_exit", True)
        await server.serve([listener])

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve())
    if not server.started:
        raise SkewlessError("SK900", "the server did not start", hint="The lines above say why.")


def listen(host: str, port: int, *, insecure: bool = False) -> socket.socket:
    """A bound socket. Raises SK451 beyond loopback without `insecure`, SK452 when the port or address cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise SkewlessError("SK452", f'"{host}:{port}" is not an address: {error}') from None
    family, kind, protocol, _, address = found[0]
    if not insecure and not ipaddress.ip_address(address[0]).is_loopback:
        raise SkewlessError(
            "SK451", f'"{host}" is not a loopback address, and the server asks for no token',
            hint="Listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure.",
        )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        fact = f"port {port} of {host} is taken" if taken else f"cannot listen on {host}:{port}: {error.strerror}"
        raise SkewlessError("SK452", fact, hint="Choose another with --port, or --port 0 for any free one.") from None
    return listener


def _settings(config: Config) -> uvicorn.Config:
    log = logging.getLogger("skewless.serve")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    return uvicorn.Config(
        create_app(config), loop="uvloop", http="httptools", ws="none", lifespan="on", access_log=False, log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=DRAIN_S, server_header=False, backlog=BACKLOG,
    )
