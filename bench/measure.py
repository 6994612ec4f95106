"""Wall and CPU seconds, peak memory, and what the rest of the machine did meanwhile."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """One timed piece of work. `cpu_s` is this process and its ended children; `foreign_cores` everybody else's load."""

    name: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    rss_mb_max: float = 0.0
    foreign_cores: float = 0.0


def busy_s() -> float:
    """CPU seconds that the whole machine has spent since boot; steal counts."""
    with open("/proc/stat") as file:
        fields = [int(x) for x in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / CLOCK_TICKS


def own_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def sample(name: str, *, pids: tuple[int, ...] = ()) -> Iterator[Sample]:
    """Measure the block. `pids`: other processes of ours (a server), whose load, with all below them, is then not foreign."""
    result = Sample(name)
    started, own, busy, others = time.monotonic(), own_s(), busy_s(), _trees_s(pids)
    yield result
    result.wall_s = time.monotonic() - started
    result.cpu_s = own_s() - own
    ours = result.cpu_s + _trees_s(pids) - others
    result.foreign_cores = max(0.0, (busy_s() - busy - ours) / max(result.wall_s, 1e-9))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result.rss_mb_max = peak / 1024


def process_s(pid: int) -> float:
    """CPU seconds of one running process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(grand for child in below for grand in tree(int(child)))]


def cpu_s(pids: dict[str, int]) -> dict[str, float]:
    """CPU seconds of each named process tree so far."""
    return {name: _trees_s([pid]) for name, pid in pids.items()}


def _trees_s(pids: Iterable[int]) -> float:
    return sum(process_s(one) for pid in pids for one in tree(pid))


def p50_p99(waits: Sequence[float]) -> dict[str, float]:
    """Of sorted milliseconds, as columns of a table."""
    return {"p50 ms": waits[len(waits) // 2], "p99 ms": waits[len(waits) * 99 // 100]}


def memory_mb(pid: int) -> tuple[float, float]:
    """Of a process tree: now, with shared pages counted once, and the sum of each one's most so far."""
    now = most = 0.0
    for one in tree(pid):
        now += psutil.Process(one).memory_full_info().pss / 2**20
        lines = Path(f"/proc/{one}/status").read_text().splitlines()
        most += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    return now, most
