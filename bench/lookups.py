"""Lookups per second of the server: one view of 50 features, closed loop, generator and server on the same cores."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import project, report

FEATURES = 50
ENTITIES = 20_000
SECONDS = 8.0


class Connection(asyncio.Protocol):
    """Sends the next request when the reply to the last one is complete."""

    def __init__(self, requests: list[bytes], latencies_s: list[float], until: float) -> None:
        self.requests, self.latencies_s, self.until = requests, latencies_s, until
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(random.choice(self.requests))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        if len(body) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self.buffer = b""
        now = time.perf_counter()
        self.latencies_s.append(now - self.sent_at)
        if now < self.until:
            self.send()
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()


async def load(port: int, connections: int) -> list[float]:
    """Latencies in seconds of `SECONDS` of closed-loop POST /online-features."""
    requests = []
    for _ in range(2000):
        body = json.dumps({"features": ["wide@1"], "entities": {"uid": random.randrange(ENTITIES)}}).encode()
        head = (
            f"POST /online-features HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    latencies_s: list[float] = []
    until = time.perf_counter() + SECONDS
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(requests, latencies_s, until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    return latencies_s


def run(sizes: tuple[int, ...] = (1, 8, 32)) -> None:
    """`sizes` are numbers of connections."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-lookups-") as folder:
        root = Path(folder) / "p"
        project.create(root, rows=ENTITIES, features=FEATURES, events_per_entity=1)
        project.register(root)
        project.skewless(root, "materialize", "wide")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "skewless.cli", "serve", "--port", str(port)],
            cwd=root,
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_ready(port)
            for connections in sizes:
                found = sorted(asyncio.run(load(port, connections)))
                rows.append(
                    {
                        "what": f"POST /online-features, {FEATURES} features",
                        "connections": connections,
                        "requests/s": int(len(found) / SECONDS),
                        "p50 ms": found[len(found) // 2] * 1e3,
                        "p99 ms": found[int(len(found) * 0.99)] * 1e3,
                    }
                )
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    report.table("lookups", rows)
    report.plot(
        "lookups",
        "connections",
        "requests/s",
        {"POST /online-features": [(float(str(r["connections"])), float(str(r["requests/s"]))) for r in rows]},
    )


def wait_ready(port: int, seconds: float = 30.0) -> None:
    """Return when /readyz answers 200."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server did not become ready in {seconds} s (pid {os.getpid()})")
