"""The process: its socket, its signals, and how it stops."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import uvicorn

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.published import PublishedToken, parse_tokens
from skewless.serve.app import create_app
from skewless.serve.hosts import Hosts
from skewless.serve.protocol import Protocol
from skewless.serve.store import open_store
from skewless.serve.workers import Workers, cores, shares

log = logging.getLogger("skewless.serve")
KEEP_ALIVE_S = 75
FOLDER = "PROMETHEUS_MULTIPROC_DIR"     # read by prometheus_client when it is first imported, which is in a worker
DRAIN_S = 10
GC_THRESHOLDS = (20_000, 50, 50)        # lookups make next to no cycles, and a full look is a pause for all of them
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
        gc.set_threshold(*GC_THRESHOLDS)
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
    processor, and one alone beside the embedded store. Beyond loopback every request needs a token, but with `insecure`. Raises
    SK451 when there it would ask for tokens and none is published, SK452 when the port is taken.
    """
    host = config.serve.host if host is None else host
    port = config.serve.port if port is None else port
    listener = listen(host, port)
    name, bound = listener.getsockname()[:2]
    loopback = ipaddress.ip_address(name).is_loopback
    if not insecure and not loopback:
        config = with_tokens(config, host)
    hosts = Hosts(config.serve.hosts) if loopback and not insecure and not config.serve.require_tokens else None
    scheme = "https" if config.serve.tls_cert else "http"
    url = f"{scheme}://[{name}]:{bound}" if ":" in name else f"{scheme}://{name}:{bound}"
    count = workers or config.serve.workers or (1 if config.online_store.strip() == "embedded" else cores())
    if count == 1:
        with listener:
            answer(config, hosts, listener, lambda: on_ready(url))
    else:
        with metrics_folder():
            Workers(shares(listener, count), partial(answer, config, hosts), worker_ended).run(lambda: on_ready(url))


@contextmanager
def metrics_folder() -> Generator[None, None, None]:
    """Where the workers keep their numbers while they run, so that each of them can tell of all."""
    with tempfile.TemporaryDirectory(prefix="skewless-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def worker_ended(pid: int) -> None:
    """The gauges of a worker that is gone count no longer."""
    from skewless.serve import metrics

    metrics.worker_ended(pid)


def answer(
    config: Config, hosts: Hosts | None, listener: socket.socket, on_ready: Callable[[], None], alive: int = -1
) -> None:
    """One process's serving, until a signal or until `alive` (a descriptor) ends. Raises SK900 when it does not start.

    With `hosts` it answers those who call it by these names.
    """
    server = Server(_settings(config, hosts), on_ready)

    async def serve() -> None:
        if alive >= 0:
            asyncio.get_running_loop().add_reader(alive, setattr, server, "should_exit", True)
        await server.serve([listener])

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve())
    if not server.started:
        raise SkewlessError("SK900", "the server did not start", hint="The lines above say why.")


def with_tokens(config: Config, host: str) -> Config:
    """The settings with tokens required. Raises SK451 when the online store says that none is published."""
    log_to_stderr()
    try:
        found = asyncio.run(published_tokens(config))
    except SkewlessError as error:
        log.warning("whether there is a token cannot be seen yet: %s", error)
        found = None
    if found is not None and not found:
        raise SkewlessError(
            "SK451", f'"{host}" is not a loopback address, and there is no token',
            hint="Make one with: skewless token create; or listen on 127.0.0.1; or let everybody in with --insecure.",
        )
    return msgspec.structs.replace(config, serve=msgspec.structs.replace(config.serve, require_tokens=True))


async def published_tokens(config: Config) -> tuple[PublishedToken, ...]:
    """The tokens that servers know. Raises SK250, SK453, SK601, SK602."""
    store = open_store(config)
    await store.start()
    try:
        return parse_tokens(await store.call("GET", f"{config.namespace}:tokens"))
    finally:
        await store.aclose()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises SK452 when the port or address cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise SkewlessError("SK452", f'"{host}:{port}" is not an address: {error}') from None
    family, kind, protocol, _, address = found[0]
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


def log_to_stderr() -> None:
    """What the server says goes to stderr, a line each."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _settings(config: Config, hosts: Hosts | None) -> uvicorn.Config:
    log_to_stderr()
    app = create_app(config)
    app.hosts = hosts
    settings = uvicorn.Config(
        app, loop="uvloop", http=Protocol, ws="none", lifespan="on", access_log=False, log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=DRAIN_S, server_header=False, backlog=BACKLOG,
        ssl_certfile=_file(config, config.serve.tls_cert), ssl_keyfile=_file(config, config.serve.tls_key),
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise SkewlessError("SK101", "the TLS certificate or key cannot be used", detail=f"{error}.",
                            hint="Check --tls-cert and --tls-key.") from None
    return settings


def _file(config: Config, name: str) -> str | None:
    return str(Path(config.root) / name) if name else None
