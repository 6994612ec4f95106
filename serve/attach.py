"""What runs beside the lookups while the application does: tokens, the front of the other routes, the log of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve.auth import gate_of
from skewless.serve.cache import Cache
from skewless.serve.cache import wanted as cached
from skewless.serve.cold import Cold, in_use
from skewless.serve.front import App, Front
from skewless.serve.live import Live

if TYPE_CHECKING:
    from skewless.serve.metrics import Metrics


@asynccontextmanager
async def attached(config: Config, live: Live, state: State, others: App) -> AsyncIterator[Front]:
    """Fills the hooks in `state` that are empty, and gives what stands before `others`, the routes that are not lookups."""
    from skewless.serve.metrics import Metrics  # a worker imports it, not the parent: metrics_folder in server.py says why

    gate, hooks = gate_of(config), state.hooks
    state.gate = gate
    watches: list[Coroutine[Any, Any, None]] = []
    if gate.required:
        hooks.authorise = hooks.authorise or gate.authorise
    if gate.required or gate.registers:
        with suppress(SkewlessError):       # the watch says it, and keeps trying
            await gate.refresh(live.store, config.namespace)
        watches.append(gate.watch(live.store, config.namespace))
    metrics = state.metrics = Metrics(live)
    hooks.observe = hooks.observe or metrics.tally.observe
    hooks.timed = hooks.timed or metrics.reads.add
    live.store.read = metrics.timed(live.store.read)        # type: ignore[assignment]
    watches.append(metrics.keep())
    cache = state.cache = Cache()
    cold = state.cold = Cold(config, cache.forget)

    def fit() -> None:
        """The hooks that only some snapshots need."""
        cache.forget_all()
        if hooks.reads in (None, cache):
            hooks.reads = cache if cached(live.lookups) else None
        if hooks.misses in (None, cold) and in_use(live.lookups) != (hooks.misses is cold):
            hooks.misses = cold if in_use(live.lookups) else None
            cold.warm()

    fit()
    live.on_swap.append(fit)
    metrics.extra.append(partial(take_sources, cache, cold))
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield Front(others, gate, metrics.observe_other)
    finally:
        live.on_swap.remove(fit)
        cold.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def take_sources(cache: Cache, cold: Cold, metrics: Metrics) -> None:
    """The counts of the cache and of the cold path go into the metrics."""
    for source, n in [*cache.counts.items(), ("offline", cold.results["found"])]:
        if n:
            metrics.sources.labels(source).inc(n)
    cache.counts = dict.fromkeys(cache.counts, 0)
    for result, n in cold.results.items():
        if n:
            metrics.cold.labels(result).inc(n)
    cold.results = dict.fromkeys(cold.results, 0)
