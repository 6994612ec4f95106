"""The servers that were asked for, together: started at once, watched, stopped."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from skewless.dev import flink, kafka
from skewless.dev.process import Server, free_ports
from skewless.errors import SkewlessError
from skewless.postgres import PostgresServer

NAMES = ("kafka", "flink", "valkey", "postgres")
START_SECONDS_MAX = 180.0
_AGAIN_SECONDS = 1.0

Report = Callable[[str, str], None]


class Stack:
    """Servers below a folder; what they hold stays there, but for Postgres, which is empty each time.

    They end with `stop`, with the context, or with this process, however that ends.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES, report: Report = lambda step, text: None) -> None:
        self.folder, self.names, self.report = folder.resolve(), names, report
        self.servers: list[Server] = []
        self.postgres: PostgresServer | None = None
        self.endpoints: dict[str, str] = {}
        self._ports: dict[str, list[int]] = {}
        self._ended: dict[str, float] = {}

    def start(self) -> dict[str, str]:
        """Starts them and waits until each takes work; where each is (`endpoints`). Raises SK92x, SK930.

        Keys: kafka (bootstrap servers), flink (the JobManager's REST), gateway (the SQL Gateway's), valkey (URL), postgres (DSN).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports = _read(self.folder / "ports.json")
        try:
            self._make()
            for server in self.servers:
                server.start()
            if "postgres" in self.names:
                self.postgres = PostgresServer()
                self.endpoints["postgres"] = self.postgres.dsn
            for server in self.servers:
                server.wait_ready(START_SECONDS_MAX)
                self.report(server.name, "ready")
        except BaseException:
            self.stop()
            raise
        (self.folder / "ports.json").write_text(json.dumps(self._ports))
        return self.endpoints

    def watch(self) -> list[str]:
        """Starts again what has died since; the names of those."""
        out = []
        for server in self.servers:
            if not server.alive and time.monotonic() - self._ended.get(server.name, 0) > _AGAIN_SECONDS:
                self._ended[server.name] = time.monotonic()
                server.start()
                out.append(server.name)
        return out

    def stop(self) -> None:
        """Ends all of them; returns when they are gone. Flink first, so that it does not look for its brokers."""
        for server in reversed(self.servers):
            if server.name != "kafka":
                server.begin_stop()
        for server in reversed(self.servers):
            server.stop()
        if self.postgres is not None:
            self.postgres.close()
            self.postgres = None
        self.servers = []

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _make(self) -> None:
        if {"kafka", "flink"} & {*self.names}:
            from skewless.stream.environment import find
            from skewless.stream.install import install

            environment = find() or install(self.report)
            if "kafka" in self.names:
                path = kafka.jars(environment, self.report)
                made, self._ports["kafka"] = kafka.server(self.folder / "kafka", environment, path, self._ports.get("kafka"))
                self.servers.append(made)
                self.endpoints["kafka"] = f"127.0.0.1:{self._ports['kafka'][0]}"
            if "flink" in self.names:
                several, self._ports["flink"] = flink.servers(self.folder / "flink", environment, self._ports.get("flink"))
                self.servers += several
                self.endpoints["flink"] = f"http://127.0.0.1:{self._ports['flink'][0]}"
                self.endpoints["gateway"] = f"http://127.0.0.1:{self._ports['flink'][2]}"
        if "valkey" in self.names:
            self.servers.append(self._valkey())

    def _valkey(self) -> Server:
        from skewless.embedded import binary

        folder = self.folder / "valkey"
        folder.mkdir(exist_ok=True)
        self._ports["valkey"] = [port] = free_ports(1, self._ports.get("valkey"))
        argv = [
            binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--save", "",
            "--maxmemory-policy", "noeviction",
        ]
        self.endpoints["valkey"] = f"redis://127.0.0.1:{port}/0"
        return Server("valkey", folder, argv, lambda: _pong(port))


def _pong(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2.0) as link:
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _read(path: Path) -> dict[str, list[int]]:
    try:
        found: dict[str, list[int]] = json.loads(path.read_text())
        return found
    except (OSError, ValueError):
        return {}


def check_names(names: list[str]) -> tuple[str, ...]:
    """The servers asked for, all where none is named, in the order of NAMES. Raises SK102."""
    strange = [name for name in names if name not in NAMES]
    if strange:
        raise SkewlessError("SK102", f'"{strange[0]}" is not a server', hint="Servers: " + ", ".join(NAMES) + ".")
    return tuple(name for name in NAMES if name in names or not names)
