"""Claim: an event is served within its lateness and 0.8 s, with an OVER over the last hour, at 2 000 events a second.

Broker, Flink, consumer, Valkey, server, producer and whoever asks share this machine. Marked events, ten a second, each
of an entity of its own, are asked for over HTTP every few milliseconds until they are there.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from bench import events, report
from bench.measure import process_s, sample
from bench.probes import VIEW, Probes, keep_going, producer, send
from bench.served import Served, served

RATES, SECONDS, WARM_SECONDS = (500, 2_000), 30.0, 10.0
PROBES_PER_SECOND = 10


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-freshness-") as folder, served(Path(folder)) as it:
        _measure(it)


def _measure(it: Served) -> None:
    bench, rows = it.bench, []
    ours = {"consumer": it.start("stream", "consume", VIEW).pid, "server": it.serve().pid}
    for rate in RATES:
        pids = {**bench.pids(), **ours}
        before = {name: process_s(pid) for name, pid in pids.items()}
        with sample(f"{rate} events/s", pids=tuple(pids.values())) as s:
            waits = _load(it, rate)
        rows.append(_row(s, waits) | {
            f"{n} cores": (process_s(pid) - before[n]) / s.wall_s for n, pid in pids.items() if n != "gateway"
        })
    memory = {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in {**bench.pids(), **ours}.items()}
    report.table("stream-freshness", rows)
    report.table("stream-memory", [{"what": name, "MB": value} for name, value in memory.items()])


def _row(s: Any, waits: list[float]) -> dict[str, Any]:
    return {
        "what": s.name, "probes": len(waits), "p50 ms": waits[len(waits) // 2], "p99 ms": waits[len(waits) * 99 // 100],
        "max ms": waits[-1], "foreign cores": s.foreign_cores,
    }


def _load(it: Served, rate: int) -> list[float]:
    """Milliseconds from a marked event until it is served, beyond the lateness; those of the first seconds do not count."""
    to, probes, started, marked = producer(it.bench.brokers), Probes(it.port), time.monotonic(), 0
    for number in events.paced(rate, WARM_SECONDS + SECONDS):
        at = time.time()
        user = ""
        if time.monotonic() - started > WARM_SECONDS + marked / PROBES_PER_SECOND:
            marked += 1
            user = f"probe-{rate}-{marked}"
            probes.sent[user] = at
        send(to, number, user, at)
    threading.Thread(target=keep_going, args=(to, probes), daemon=True).start()
    return probes.end()
