"""The L1 cache: rows of views that say `cache: 2s`, kept in this process for that long. Off for all others.

Concurrent lookups of one key ask Redis once. Staleness is bounded by the view's span, counted from before the read; validity
is still decided on each answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from skewless.lookup import Lookups, Plan
from skewless.serve.hooks import Found, Rows

ENTRIES_MAX = 100_000           # rows of ~0.6 kB
Read = Callable[[Sequence[bytes]], Awaitable[Rows]]
L1, REDIS = "l1", "redis"


class Cache:
    """The hook `reads`. The oldest entries go when there are too many."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self.entries_max = entries_max
        self.entries: dict[bytes, tuple[float, bytes | None]] = {}      # key -> until when (loop time), row
        self.flying: dict[bytes, asyncio.Future[bytes | None]] = {}
        self.counts = {L1: 0, REDIS: 0}

    async def __call__(self, plan: Plan, keys: Sequence[bytes | None], read: Read) -> Found:
        if not self.wanted(plan):
            asked = [key for key in keys if key is not None]
            found = iter(await read(asked) if asked else [])
            return Found([None if key is None else next(found) for key in keys])
        return await self._mixed(self._spans(plan), keys, read)

    def hits(self, plan: Plan, keys: Sequence[bytes | None]) -> Found | None:
        """The rows where all of them are kept, else None."""
        if not all(self._spans(plan)):
            return None
        now, entries = asyncio.get_running_loop().time(), self.entries
        kept = [entries.get(key) for key in keys]       # type: ignore[arg-type]
        for one in kept:
            if one is None or one[0] <= now:
                return None
        self.counts[L1] += len(kept)
        return Found([one[1] for one in kept if one is not None], [L1] * len(kept))

    def wanted(self, plan: Plan) -> bool:
        """Whether a view of the plan says `cache`."""
        return any(self._spans(plan))

    def _spans(self, plan: Plan) -> tuple[float, ...]:
        """How many seconds rows of each view are kept."""
        spans: tuple[float, ...] | None = plan.compiled.get("l1")
        if spans is None:
            spans = plan.compiled["l1"] = tuple((vp.view.cache_us or 0) / 1e6 for vp in plan.views)
        return spans

    async def _mixed(self, spans: Sequence[float], keys: Sequence[bytes | None], read: Read) -> Found:
        loop = asyncio.get_running_loop()
        now, width = loop.time(), len(spans)
        rows: Rows = [None] * len(keys)
        sources = [REDIS] * len(keys)
        asked: list[tuple[int, bytes]] = []
        mine: dict[bytes, asyncio.Future[bytes | None]] = {}
        others: list[tuple[int, asyncio.Future[bytes | None]]] = []
        for i, key in enumerate(keys):
            if key is None:
                continue
            if not spans[i % width]:
                asked.append((i, key))
                continue
            kept, flight = self.entries.get(key), self.flying.get(key)
            if kept is not None and kept[0] > now:
                rows[i], sources[i] = kept[1], L1
            elif flight is not None:
                others.append((i, flight))
            else:
                self.flying[key] = mine[key] = loop.create_future()
                asked.append((i, key))
        if asked:
            for (i, key), row in zip(asked, await self._read(asked, mine, read), strict=True):
                rows[i] = row
                if key in mine:
                    self._keep(key, now + spans[i % width], row)
        for i, flight in others:
            rows[i] = await asyncio.shield(flight)
        for source in sources:
            self.counts[source] += 1
        return Found(rows, sources)

    def forget(self, keys: Sequence[bytes]) -> None:
        """These rows were written just now."""
        for key in keys:
            self.entries.pop(key, None)

    async def _read(self, asked: list[tuple[int, bytes]], mine: dict[bytes, asyncio.Future[bytes | None]], read: Read) -> Rows:
        """The rows; whoever waits for one of `mine` gets the same, or the same error."""
        try:
            found = await read([key for _, key in asked])
        except BaseException as error:
            for key, flight in mine.items():
                self.flying.pop(key, None)
                if isinstance(error, Exception):
                    flight.set_exception(error)
                    flight.exception()          # nobody may be waiting
                else:
                    flight.cancel()
            raise
        for (_, key), row in zip(asked, found, strict=True):
            if key in mine:
                self.flying.pop(key, None)
                if not mine[key].done():
                    mine[key].set_result(row)
        return found

    def _keep(self, key: bytes, until: float, row: bytes | None) -> None:
        self.entries.pop(key, None)
        while len(self.entries) >= self.entries_max:
            del self.entries[next(iter(self.entries))]
        self.entries[key] = (until, row)


def wanted(lookups: Lookups | None) -> bool:
    """Whether a view of the snapshot says `cache`."""
    return lookups is not None and any(view.cache_us for view in lookups.registry.views)
