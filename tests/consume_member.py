"""The command `skewless stream consume` as one member of a group, and what it says of itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.feature_messages import Topic
from tests.test_consume_command import argv

_TOLD = re.compile(r"\b(reads|gives away|lost) \S+ ([\d,]+)$")


class Member:
    """A process of its own. `moves`: what it said of its partitions, in order; `flushes`: a document for each flush."""

    def __init__(self, t: Topic, *more: str, flush_seconds: float = 0.2) -> None:
        self.moves: list[tuple[str, frozenset[int]]] = []
        self.said: list[str] = []
        self.flushes: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            argv(t, "--json", "--flush-seconds", str(flush_seconds), *more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        assert self.process.stderr is not None and self.process.stdout is not None
        hears = ((self.process.stderr, self._hear), (self.process.stdout, self._count))
        self._threads = [threading.Thread(target=_each, args=pair, daemon=True) for pair in hears]
        for thread in self._threads:
            thread.start()

    def _hear(self, line: str) -> None:
        self.said.append(line)
        if found := _TOLD.search(line):
            self.moves.append((found[1], frozenset(map(int, found[2].split(",")))))

    def _count(self, line: str) -> None:
        self.flushes.append(json.loads(line))

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that it reads."""
        out: frozenset[int] = frozenset()
        for verb, places in self.moves:
            out = out | places if verb == "reads" else out - places
        return out

    @property
    def messages(self) -> int:
        """How many messages it had read at its last flush."""
        return sum(counts["messages"] for counts in self.flushes[-1]["views"].values()) if self.flushes else 0

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found, self.said
        return int(found[1]) * 1024

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit code, after everything that it said was heard."""
        self.process.send_signal(number)
        for thread in self._threads:
            thread.join(60)
        return self.process.wait(60)


def _each(pipe: IO[str], hear: Callable[[str], None]) -> None:
    for line in pipe:
        hear(line.rstrip())
