"""Claim: an event is served within its lateness and 0.8 s, with an OVER over the last hour, at 2 000 events a second.

Broker, Flink, consumer, Valkey, server, producer and whoever asks share this machine. Marked events, ten a second, each
of an entity of its own, are asked for over HTTP every few milliseconds until they are there. Afterwards the same features by
hand run beside them over the same events: when the rows of each job are in its topic. Also the memory of every process.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench import events, report
from bench.measure import cpu_s, memory_mb, p50_p99, sample
from bench.probes import VIEW, Probes, keep_going, producer, send
from bench.served import Served, served
from bench.stream import head_waits

RATES, SECONDS, WARM_SECONDS = (500, 2_000), 30.0, 10.0
PROBES_PER_SECOND = 10


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-freshness-") as folder, served(Path(folder)) as it:
        _measure(it)


def _measure(it: Served) -> None:
    bench, rows = it.bench, []
    ours = {"consumer": it.start("stream", "consume", VIEW).pid, "stream run": it.start("stream", "run").pid,
            "server": it.serve().pid}
    pids = {**bench.pids(), **ours}
    for rate in RATES:
        before = cpu_s(pids)
        with sample(f"{rate} events/s", pids=tuple(pids.values())) as s:
            waits = _load(it, rate)
        spent = {n: (s_ - before[n]) / s.wall_s for n, s_ in cpu_s(pids).items()}
        rows.append(_row(s, waits) | {f"{n} cores": cores for n, cores in spent.items() if n not in ("gateway", "stream run")})
    report.table("stream-freshness", rows)
    memory = {name: memory_mb(pid) for name, pid in pids.items()}
    report.table("stream-memory", [{"what": n, "MB": now, "MB at most": most} for n, (now, most) in memory.items()])
    _beside(it, pids)


def _beside(it: Served, pids: dict[str, int]) -> None:
    """The job by hand, and ours, over the same events at the highest rate: when their rows are in their topics."""
    statements, by_hand = it.bench.by_hand(VIEW)
    job, rate, to = it.bench.start_job(statements), RATES[-1], producer(it.bench.brokers)
    with sample("generated beside by hand", pids=tuple(pids.values())) as s:
        for number in events.paced(rate, 2 * WARM_SECONDS):
            send(to, number)
        since = time.time() * 1000
        for number in events.paced(rate, SECONDS):
            send(to, number)
        to.flush(30)
    time.sleep(2 + events.LATENESS_MS / 1000)
    topics = {"generated": f"bench.dev.{VIEW}.v1", "by hand": by_hand}
    found = {kind: sorted(w for at, w in head_waits(it.bench, topic) if at > since) for kind, topic in topics.items()}
    it.bench.cancel(job)
    report.table("stream-freshness-by-hand", [
        {"what": kind, "events/s": rate, "rows": len(waits), **p50_p99(waits),
         "foreign cores": s.foreign_cores} for kind, waits in found.items()
    ])


def _row(s: Any, waits: list[float]) -> dict[str, Any]:
    return {
        "what": s.name, "probes": len(waits), **p50_p99(waits),
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
