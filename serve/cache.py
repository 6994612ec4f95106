"""The L1 cache: rows of views that say `cache: 2s`, kept in this process for that long. Off for all others.

Concurrent lookups of one key ask Redis once. Staleness is bounded by the view's span, counted from before the read; validity
is still decided on each answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from skewless.lookup import Lookups, Plan
from skewless.serve.hooks import Found, Rows
from skewless.serve.resp import unanswered

ENTRIES_MAX = 100_000           # rows of ~0.6 kB
Read = Callable[[Sequence[bytes]], Awaitable[Rows]]
L1, REDIS = "l1", "redis"
NOTHING = object()


class Trip:
    """One lookup's way through the cache: what is kept, and what it asks the store for. It ends by `Cache.came` or `lost`."""

    __slots__ = ("at", "rows", "sources", "asked", "others", "twins", "awaited")

    def __init__(self, size: int) -> None:
        self.at = time.monotonic()
        self.rows: Rows = [None] * size
        self.sources = [REDIS] * size
        self.asked: list[tuple[int, bytes, Shelf | None]] = []      # places, keys to ask for, where their rows are kept
        self.others: list[tuple[int, asyncio.Future[bytes | None]]] = []    # places whose key another trip is asking for
        self.twins: list[tuple[int, bytes]] = []                    # places whose key is asked for already
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


class Shelf:
    """Rows that are kept for one span, in two halves by when they were asked for; a half goes as a whole. So a row is kept for
    half of the span at least, and never longer than it.

    Were rows to go one by one, what is made next would lie where they lay, all over memory: that takes a server twice the time
    for everything that it does.
    """

    __slots__ = ("half_s", "turn", "young", "old")

    def __init__(self, span_s: float) -> None:
        self.half_s, self.turn = span_s / 2, 0
        self.young: dict[bytes, bytes | None] = {}
        self.old: dict[bytes, bytes | None] = {}

    def look(self, now: float, size_max: int) -> None:
        """Lets go what is over at `now`; and the older half where the younger one has so many rows."""
        turn = int(now / self.half_s)
        if turn != self.turn or len(self.young) >= size_max:
            self.old = self.young if turn <= self.turn + 1 else {}
            self.young, self.turn = {}, turn

    def put(self, key: bytes, row: bytes | None, asked_at: float) -> None:
        """Keeps a row, unless it comes too late for that."""
        turn = int(asked_at / self.half_s)
        if turn == self.turn:
            self.young[key] = row
        elif turn == self.turn - 1:
            self.old[key] = row


class Cache:
    """The hook `reads`. The oldest entries go when there are too many."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self.entries_max = entries_max
        self.shelves: dict[int, Shelf] = {}      # by their span, microseconds
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
        trip, flying = Trip(len(keys)), self.flying
        shelves = self._looked(plan, trip.at)
        width = len(shelves)
        for i, key in enumerate(keys):
            if key is None:
                continue
            shelf = shelves[i % width]
            if shelf is None:
                trip.asked.append((i, key, None))
                continue
            row = shelf.young.get(key, NOTHING)
            if row is NOTHING:
                row = shelf.old.get(key, NOTHING)
            if row is not NOTHING:
                trip.rows[i], trip.sources[i] = row, L1     # type: ignore[call-overload]
            elif (other := flying.get(key)) is None:
                flying[key] = trip
                trip.asked.append((i, key, shelf))
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
        for (i, key, shelf), row in zip(trip.asked, rows, strict=True):
            trip.rows[i] = row
            if shelf is not None:
                shelf.put(key, row, trip.at)
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
        for _, key, shelf in trip.asked:
            if shelf is not None:
                self.flying.pop(key, None)

    def wanted(self, plan: Plan) -> bool:
        """Whether a view of the plan says `cache`."""
        return any(vp.view.cache_us for vp in plan.views)

    def forget_all(self) -> None:
        """Another snapshot is in force: its plans keep their rows anew, and those of other spans would never go."""
        self.shelves = {}

    def forget(self, keys: Sequence[bytes]) -> None:
        """These rows were written just now."""
        for shelf in self.shelves.values():
            for key in keys:
                shelf.young.pop(key, None)
                shelf.old.pop(key, None)

    def _looked(self, plan: Plan, now: float) -> list[Shelf | None]:
        """Where rows of each view are kept, as it is now."""
        shelves: list[Shelf | None] | None = plan.compiled.get("l1")
        if shelves is None:
            shelves = plan.compiled["l1"] = [self._shelf(vp.view.cache_us) for vp in plan.views]
        for shelf in shelves:
            if shelf is not None:
                shelf.look(now, self.entries_max // (2 * len(self.shelves)))
        return shelves

    def _shelf(self, span_us: int | None) -> Shelf | None:
        return self.shelves.setdefault(span_us, Shelf(span_us / 1e6)) if span_us else None


def wanted(lookups: Lookups | None) -> bool:
    """Whether a view of the snapshot says `cache`."""
    return lookups is not None and any(view.cache_us for view in lookups.registry.views)
