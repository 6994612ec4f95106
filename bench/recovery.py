"""Seconds from a kill -9 of each part of a stream until an event that was sent after it is served.

Everything is started again as users have it: the servers by the look of `skewless dev up`, the job by `skewless stream run`, the
consumer by whoever runs it, at once. What waits in the producer for a broker arrives too late to count, so the event is sent
again and again until it is served.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from bench import report
from bench.probes import VIEW, Probes, keep_going, producer
from bench.served import Served, served
from skewless.dev.supervisor import WATCH_SECONDS

ROUNDS, CALM_SECONDS, SECONDS_MAX = 3, 12.0, 180.0      # two checkpoints lie within the calm
_KILLS = {
    "broker": ("kafka",), "Valkey": ("valkey",), "TaskManager": ("taskmanager",),
    "whole Flink cluster": ("jobmanager", "taskmanager", "gateway"),
}


def run(sizes: tuple[int, ...] = (ROUNDS,)) -> None:
    """`sizes`: how many times each is killed."""
    with tempfile.TemporaryDirectory(prefix="bench-recovery-") as folder, served(Path(folder)) as it:
        over = threading.Event()
        threading.Thread(target=_watch, args=(it, over), daemon=True).start()
        try:
            report.table("stream-recovery", Recovery(it).rows(sizes[0]))
        finally:
            over.set()


class Recovery:
    """The kills, one after the other, of a stream that runs."""

    def __init__(self, it: Served) -> None:
        self.it, self.producer, self._count = it, producer(it.bench.brokers), 0
        it.start("stream", "run")
        it.serve()
        self.consumer = self._consume()
        self._until_served(lambda: None)

    def rows(self, rounds: int) -> list[dict[str, object]]:
        """One row for each that is killed."""
        named = partial(self._restart, "one")
        out = [self._row("consumer", rounds, self._restart)]
        self._until_served(named)
        out.append(self._row("consumer with --member", rounds, named))
        return out + [self._row(name, rounds, partial(self._kill, names)) for name, names in _KILLS.items()]

    def _row(self, what: str, rounds: int, act: Callable[[], None]) -> dict[str, object]:
        found = []
        for _ in range(rounds):
            time.sleep(CALM_SECONDS)
            found.append(self._until_served(act))
        middle = sorted(found)[rounds // 2]
        return {"what": f"kill -9: {what}", "times": rounds, "s until an event after it is served": middle, "longest": max(found)}

    def _until_served(self, act: Callable[[], None]) -> float:
        """Seconds from the act until an event of after it is served."""
        self._count += 1
        user, began, probes = f"after-{self._count}", time.time(), Probes(self.it.port)
        act()
        probes.sent[user] = began
        threading.Thread(target=keep_going, args=(self.producer, probes, user), daemon=True).start()
        probes.end(SECONDS_MAX)
        return time.time() - began

    def _kill(self, names: tuple[str, ...]) -> None:
        pids = self.it.bench.pids()
        dying = [psutil.Process(pids[name]) for name in names]
        for process in dying:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(dying, timeout=10)

    def _restart(self, member: str = "") -> None:
        self.consumer.kill()
        self.consumer.wait()
        self.consumer = self._consume(member)

    def _consume(self, member: str = "") -> subprocess.Popen[bytes]:
        return self.it.start("stream", "consume", VIEW, *(("--member", member) if member else ()))


def _watch(it: Served, over: threading.Event) -> None:
    while not over.wait(WATCH_SECONDS):
        it.bench.stack.watch()
