"""GET /metrics: Prometheus' text format, over all worker processes of the server.

With several workers each one's numbers are in files of a folder that they share (PROMETHEUS_MULTIPROC_DIR, set before the first
import of prometheus_client); whichever worker is asked adds them up. Another worker's numbers are at most a second old.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response

from skewless import __version__
from skewless.serve.direct import SAMPLED
from skewless.serve.live import Live
from skewless.serve.tally import AGES_S, RESULTS, SECONDS, Spread, Tally

log = logging.getLogger("skewless.serve")
FLUSH_S = 1.0
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class BulkHistogram(Histogram):
    """A histogram that takes over whole counts."""

    def take(self, spread: Spread, scale: float = 1.0) -> None:
        """Add a spread of the same bounds (times `scale`), and empty it."""
        self.add(spread, scale)
        spread.clear()

    def add(self, spread: Spread, scale: float = 1.0) -> None:
        """Add a spread of the same bounds (times `scale`)."""
        for bucket, n in zip(self._buckets, spread.counts, strict=True):
            if n:
                bucket.inc(n)
        self._sum.inc(spread.total * scale)


class Metrics:
    """The metrics of this process."""

    def __init__(self, live: Live) -> None:
        self.live, self.tally, self.reads = live, Tally(), Spread(SECONDS)
        self.busy: Callable[[], int] = lambda: 0                # requests that are being answered
        self.extra: list[Callable[[Metrics], None]] = []        # more to take over at each flush
        self.registry = CollectorRegistry()
        self.shared = os.environ.get(FOLDER, "")
        self._snapshot = ""
        self._turn = 0
        self._define()

    def _define(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"skewless_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> BulkHistogram:
            return BulkHistogram(f"skewless_{name}", text, labels, buckets=bounds, registry=self.registry)

        def gauge(name: str, text: str, mode: Any, *labels: str) -> Gauge:
            return Gauge(f"skewless_{name}", text, labels, registry=self.registry, multiprocess_mode=mode)

        self.requests = counter("requests", "Requests by route, HTTP status and code of the refusal.", "route", "status", "code")
        self.seconds = histogram("request_seconds", "Time from a request's head to its reply.", SECONDS, "route")
        self.lookups = histogram("view_lookup_seconds", "Time of answered lookups that asked for the view.", SECONDS, "view")
        self.rows = counter("rows", "Rows that lookups asked for: valid, stale, expired or missing.", "view", "result")
        self.ages = histogram("row_age_seconds", "Now minus event time of rows that were there.", AGES_S, "view")
        self.redis = histogram("redis_read_seconds", f"Time of reads of the online store; one in {SAMPLED}.", SECONDS)
        self.sources = counter("cache_rows", "Rows of views with a cache or cold path, by where they came from.", "source")
        self.cold = counter("cold_lookups", "Looks into the offline store: found, absent, late, refused, failed.", "result")
        self.in_flight = gauge("requests_in_flight", "Requests that are being answered.", "livesum")
        self.waiting = gauge("rows_in_flight", "Rows asked of the online store and not there yet.", "livesum")
        self.snapshots = gauge("snapshot_info", "Worker processes that answer from this snapshot.", "livesum", "snapshot")
        self.snapshot_views = gauge("snapshot_views", "Feature view versions in the snapshot.", "livemax")
        self.build = gauge("build_info", "The version that runs.", "livemax", "version")
        self.build.labels(__version__).set(1)

    def observe_other(self, scope: Any, status: int, seconds: float) -> None:
        """One request that was no lookup."""
        route = scope.get("route")
        self.tally.request(getattr(route, "path", "other"), status, "", seconds)

    def flush(self) -> None:
        """Everything counted so far goes into the metrics."""
        tally = self.tally
        requests, tally.requests = tally.requests, {}
        for (route, status, code), n in requests.items():
            self.requests.labels(route, str(status), code).inc(n)
        for route, spread in tally.seconds.items():
            self.seconds.labels(route).take(spread)
        plans, tally.plans = tally.plans, []
        for plan in plans:
            for view in plan.views:
                self.lookups.labels(view).add(plan.seconds)
            plan.seconds.clear()
            plan.counted = False
        for view, one in tally.views.items():
            for name, n in zip(RESULTS, one.results, strict=True):
                self.rows.labels(view, name).inc(n)
            one.results[:] = [0] * len(RESULTS)       # in place: plans hold it
            self.ages.labels(view).take(one.ages, 1e-6)
        self.redis.take(self.reads)
        for take in self.extra:
            take(self)
        self.in_flight.set(self.busy())
        self.waiting.set(getattr(self.live.store, "keys_waiting", 0))
        self._say_snapshot()

    def _say_snapshot(self) -> None:
        lookups = self.live.lookups
        now = lookups.snapshot_id if lookups is not None else ""
        if now != self._snapshot and self._snapshot:
            self.snapshots.labels(self._snapshot).set(0)
        if now and lookups is not None:
            self.snapshots.labels(now).set(1)
            self.snapshot_views.set(len(lookups.registry.views))
        self._snapshot = now

    async def keep(self) -> None:
        """Flushes until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                self.flush()
            except Exception:
                log.exception("metrics could not be taken over")

    def text(self) -> bytes:
        """The exposition, over all workers."""
        if not self.shared:
            return generate_latest(self.registry)
        merged = CollectorRegistry()
        MultiProcessCollector(merged, self.shared)
        return generate_latest(merged)

    async def reply(self) -> Response:
        """The reply of GET /metrics."""
        self.flush()
        return Response(await asyncio.to_thread(self.text), media_type=CONTENT_TYPE_LATEST)

    def timed(self, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`read` of a store; one call in SAMPLED is timed."""
        add = self.reads.add

        def timed_read(keys: Any) -> Any:
            self._turn += 1
            if self._turn % SAMPLED:
                return read(keys)
            started, future = time.perf_counter(), read(keys)
            future.add_done_callback(lambda _: add(time.perf_counter() - started))
            return future

        return timed_read


def worker_ended(pid: int) -> None:
    """Takes the gauges of a worker that is gone out of the shared folder. Its counts stay."""
    if os.environ.get(FOLDER):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)

