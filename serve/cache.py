"""The L1 cache: rows of views that say `cache: 2s`, kept in this process for that long. Off for all others.

Concurrent lookups of one key ask Redis once. Staleness is bounded by the view's span, counted from before the read; validity
is still decided on each answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from skewless.lookup import Lookups, Plan
from skewless.serve.hooks import Found, Rows

ENTRIES_MAX = 100_000           # rows of ~0.6 kB
Read = Callable[[Sequence[bytes]], Awaitable[Rows]]
L1, REDIS = "l1", "redis"


class Trip:
    """One lookup's way through the cache: what is kept, and what it asks the store for. It ends by `Cache.came` or `lost`."""

    __slots__ = ("rows", "sources", "asked", "mine", "others", "twins")

    def __init__(self, size: int) -> None:
        self.rows: Rows = [None] * size
        self.sources = [REDIS] * size
        self.asked: list[tuple[int, bytes]] = []                            # places, and the keys to ask for
        self.mine: dict[bytes, tuple[float, asyncio.Future[bytes | None]]] = {}     # which of these to keep, until when
        self.others: list[tuple[int, asyncio.Future[bytes | None]]] = []    # places whose key another trip is asking for
        self.twins: list[tuple[int, bytes]] = []                            # places whose key is asked for already

    @property
    def keys(self) -> list[bytes]:
        """What to ask for; empty: everything was kept, or is asked for by others."""
        return [key for _, key in self.asked]


class Cache:
    """The hook `reads`. The oldest entries go when there are too many."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self.entries_max = entries_max
        self.entries: OrderedDict[bytes, tuple[float, bytes | None]] = OrderedDict()    # key -> until when (loop time), row
        self.flying: dict[bytes, asyncio.Future[bytes | None]] = {}
        self.counts = {L1: 0, REDIS: 0}

    async def __call__(self, plan: Plan, keys: Sequence[bytes | None], read: Read) -> Found:
        if not self.wanted(plan):
            asked = [key for key in keys if key is not None]
            found = iter(await read(asked) if asked else [])
            return Found([None if key is None else next(found) for key in keys])
        trip = self.trip(plan, keys)
        assert trip is not None
        rows: Rows = []
        if trip.asked:
            try:
                rows = await read(trip.keys)
            except BaseException as error:
                self.lost(trip, error)
                raise
        out = self.came(trip, rows)
        for i, flight in trip.others:
            out.rows[i] = await asyncio.shield(flight)
        return out

    def trip(self, plan: Plan, keys: Sequence[bytes | None], *, wait: bool = True) -> Trip | None:
        """Begins one: looks at what is kept, and says by `flying` what it is going to ask for. None, and nothing begun, where
        that has to `wait` for another trip and must not."""
        spans = self._spans(plan)
        loop, entries, width = asyncio.get_running_loop(), self.entries, len(spans)
        now, trip = loop.time(), Trip(len(keys))
        for i, key in enumerate(keys):
            if key is None:
                continue
            span = spans[i % width]
            kept = entries.get(key) if span else None
            if kept is not None and kept[0] > now:
                trip.rows[i], trip.sources[i] = kept[1], L1
            elif not span:
                trip.asked.append((i, key))
            elif key in trip.mine:
                trip.twins.append((i, key))
            elif (flight := self.flying.get(key)) is not None:
                if not wait:
                    for begun in trip.mine:
                        del self.flying[begun]
                    return None
                trip.others.append((i, flight))
            else:
                flight = self.flying[key] = loop.create_future()
                trip.mine[key] = (now + span, flight)
                trip.asked.append((i, key))
        return trip

    def came(self, trip: Trip, rows: Rows) -> Found:
        """Ends a trip with the rows of what it asked for. Rows of `others` are not in the answer: they are to be waited for."""
        for (i, key), row in zip(trip.asked, rows, strict=True):
            trip.rows[i] = row
            if key in trip.mine:
                until, flight = trip.mine[key]
                self.flying.pop(key, None)
                if not flight.done():
                    flight.set_result(row)
                self._keep(key, until, row)
        for i, key in trip.twins:
            trip.rows[i] = trip.mine[key][1].result()
        kept = trip.sources.count(L1)
        self.counts[L1] += kept
        self.counts[REDIS] += len(trip.sources) - kept
        return Found(trip.rows, trip.sources)

    def lost(self, trip: Trip, error: BaseException) -> None:
        """Ends a trip without rows: whoever waits for its keys gets the same error."""
        for key, (_, flight) in trip.mine.items():
            self.flying.pop(key, None)
            if isinstance(error, Exception):
                flight.set_exception(error)
                flight.exception()          # nobody may be waiting
            else:
                flight.cancel()

    def wanted(self, plan: Plan) -> bool:
        """Whether a view of the plan says `cache`."""
        return any(self._spans(plan))

    def _spans(self, plan: Plan) -> tuple[float, ...]:
        """How many seconds rows of each view are kept."""
        spans: tuple[float, ...] | None = plan.compiled.get("l1")
        if spans is None:
            spans = plan.compiled["l1"] = tuple((vp.view.cache_us or 0) / 1e6 for vp in plan.views)
        return spans

    def forget(self, keys: Sequence[bytes]) -> None:
        """These rows were written just now."""
        for key in keys:
            self.entries.pop(key, None)

    def _keep(self, key: bytes, until: float, row: bytes | None) -> None:
        self.entries.pop(key, None)
        while len(self.entries) >= self.entries_max:
            self.entries.popitem(last=False)        # of a plain dict, to find the first gets slower with each that went before
        self.entries[key] = (until, row)


def wanted(lookups: Lookups | None) -> bool:
    """Whether a view of the snapshot says `cache`."""
    return lookups is not None and any(view.cache_us for view in lookups.registry.views)
