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
from skewless.serve.resp import unanswered

ENTRIES_MAX = 100_000           # rows of ~0.6 kB
Read = Callable[[Sequence[bytes]], Awaitable[Rows]]
L1, REDIS = "l1", "redis"


class Trip:
    """One lookup's way through the cache: what is kept, and what it asks the store for. It ends by `Cache.came` or `lost`."""

    __slots__ = ("rows", "sources", "asked", "others", "twins", "awaited")

    def __init__(self, size: int) -> None:
        self.rows: Rows = [None] * size
        self.sources = [REDIS] * size
        self.asked: list[tuple[int, bytes, float]] = []     # places, keys to ask for, until when their rows are kept
        self.others: list[tuple[int, asyncio.Future[bytes | None]]] = []    # places whose key another trip is asking for
        self.twins: list[tuple[int, bytes]] = []            # places whose key is asked for already
        self.awaited: dict[bytes, asyncio.Future[bytes | None]] | None = None       # by other trips

    @property
    def keys(self) -> list[bytes]:
        """What to ask for; empty: everything was kept, or is asked for by others."""
        return [key for _, key, _ in self.asked]

    def promise(self, key: bytes) -> asyncio.Future[bytes | None]:
        """The row of a key that it asks for."""
        if self.awaited is None:
            self.awaited = {}
        if key not in self.awaited:
            self.awaited[key] = asyncio.get_running_loop().create_future()
        return self.awaited[key]


class Cache:
    """The hook `reads`. The oldest entries go when there are too many."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self.entries_max = entries_max
        self.entries: OrderedDict[bytes, tuple[float, bytes | None]] = OrderedDict()    # key -> until when (loop time), row
        self.flying: dict[bytes, Trip] = {}
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
        spans, entries, flying = self._spans(plan), self.entries, self.flying
        now, width, trip = asyncio.get_running_loop().time(), len(spans), Trip(len(keys))
        for i, key in enumerate(keys):
            if key is None:
                continue
            span = spans[i % width]
            if not span:
                trip.asked.append((i, key, 0.0))
                continue
            kept = entries.get(key)
            if kept is not None and kept[0] > now:
                trip.rows[i], trip.sources[i] = kept[1], L1
            elif (other := flying.get(key)) is None:
                flying[key] = trip
                trip.asked.append((i, key, now + span))
            elif other is trip:
                trip.twins.append((i, key))
            elif wait:
                trip.others.append((i, other.promise(key)))
            else:
                self._landed(trip)
                return None
        return trip

    def came(self, trip: Trip, rows: Rows) -> Found:
        """Ends a trip with the rows of what it asked for. Rows of `others` are not in the answer: they are to be waited for."""
        self._landed(trip)
        self._forget_old()
        for (i, key, until), row in zip(trip.asked, rows, strict=True):
            trip.rows[i] = row
            if until:
                self._keep(key, until, row)
        if trip.twins or trip.awaited:
            found = {key: row for (_, key, _), row in zip(trip.asked, rows, strict=True)}
            for i, key in trip.twins:
                trip.rows[i] = found[key]
            for key, future in (trip.awaited or {}).items():
                if not future.done():
                    future.set_result(found[key])
        kept = trip.sources.count(L1)
        self.counts[L1] += kept
        self.counts[REDIS] += len(trip.sources) - kept
        return Found(trip.rows, trip.sources)

    def lost(self, trip: Trip, error: BaseException) -> None:
        """Ends a trip without rows: whoever waits for its keys gets the same error, SK453 where it was cancelled."""
        self._landed(trip)
        for future in (trip.awaited or {}).values():
            if not future.done():
                future.set_exception(error if isinstance(error, Exception) else unanswered("The lookup that asked it ended."))
                future.exception()      # nobody may be waiting any more

    def _landed(self, trip: Trip) -> None:
        for _, key, until in trip.asked:
            if until:
                self.flying.pop(key, None)

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

    def _forget_old(self) -> None:
        """What was kept first and is over goes: memory that lies in the processor's cache is what makes a kept row quick."""
        entries, now = self.entries, asyncio.get_running_loop().time()
        while entries and entries[next(iter(entries))][0] <= now:
            entries.popitem(last=False)


def wanted(lookups: Lookups | None) -> bool:
    """Whether a view of the snapshot says `cache`."""
    return lookups is not None and any(view.cache_us for view in lookups.registry.views)
