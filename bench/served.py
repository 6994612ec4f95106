"""A streamed view as users run it: servers, its job, one consumer and one server, all on this machine."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import events, project
from bench.online import free_port, wait_for
from bench.probes import VIEW
from bench.stream import Bench


class Served:
    """`bench` holds the servers, `port` is the server's. Processes that are started end with the context."""

    def __init__(self, bench: Bench, processes: ExitStack) -> None:
        self.bench, self.root, self.port, self._processes = bench, bench.root / "p", free_port(), processes

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A command of skewless that runs until the end."""
        command = [sys.executable, "-m", "skewless.cli", *args]
        process = subprocess.Popen(command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._processes.callback(_end, process)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        """Starts the server and waits until it answers."""
        process = self.start("serve", "--port", str(self.port))
        wait_for(lambda: _answers(self.port))
        return process


@contextmanager
def served(root: Path) -> Iterator[Served]:
    """With the job of `VIEW` submitted; nobody consumes or serves yet."""
    bench = Bench(root, ("kafka", "flink", "valkey"))
    try:
        os.environ.pop("SKEWLESS_CLOCK", None)
        project.CLOCK = ""
        project.register(bench.root / "p")
        bench.topic(events.TOPIC)
        project.skewless(bench.root / "p", "stream", "submit", VIEW)
        with ExitStack() as processes:
            yield Served(bench, processes)
    finally:
        bench.stack.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
