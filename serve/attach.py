"""What runs beside the lookups while the application does: tokens, the front of the other routes, the log of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.datastructures import State

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.serve.auth import gate_of
from skewless.serve.front import App, Front
from skewless.serve.live import Live


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
    live.store.read = metrics.timed(live.store.read)        # type: ignore[assignment]
    watches.append(metrics.keep())
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield Front(others, gate, metrics.observe_other)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
