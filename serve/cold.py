"""The hook `misses`: lookups of views with `cold_path: true` whose row is not online ask the history, within bounds.

A few threads, a queue that is never long, a deadline after which the answer is `missing`, and a memory of what is nowhere. The
history (DuckDB, Delta) is imported when the first such view is in force, in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from skewless.config import Config
from skewless.lookup import Lookups, Plan
from skewless.registry.model import View
from skewless.rows import HEADER_SIZE
from skewless.serve.hooks import Found

log = logging.getLogger("skewless.serve")
THREADS = 2
WAITING_MAX = 64                # keys
DEADLINE_S = 0.5
ABSENT_S = 10.0
ABSENT_MAX = 100_000
OFFLINE, REDIS = "offline", "redis"
Flight = asyncio.Future[bytes | None]


class Cold:
    """One per process."""

    def __init__(
        self, config: Config, forget: Callable[[Sequence[bytes]], None] = lambda keys: None, *,
        deadline_s: float = DEADLINE_S, absent_s: float = ABSENT_S,
    ) -> None:
        self.config, self.deadline_s, self.absent_s = config, deadline_s, absent_s
        self.results = dict.fromkeys(("found", "absent", "late", "refused", "failed"), 0)
        self._forget = forget           # what caches of online rows drop for rows that were put online
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cold")
        self._absent: OrderedDict[bytes, float] = OrderedDict()
        self._flying: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._path: Any = None
        self._said = ""

    def wanted(self, plan: Plan) -> bool:
        return any(vp.view.cold_path for vp in plan.views)

    async def fill(self, plan: Plan, entities: Sequence[Mapping[str, Any]], keys: Sequence[bytes | None], found: Found) -> Found:
        width, rows = len(plan.views), list(found.rows)
        sources = list(found.sources) if found.sources is not None else [REDIS] * len(rows)
        gone = [
            (i, key) for i, key in enumerate(keys)
            if key is not None and ((row := rows[i]) is None or len(row) <= HEADER_SIZE) and plan.views[i % width].view.cold_path
        ]
        flights = self._flights([(plan.views[i % width].view, key) for i, key in gone])
        if flights:
            await asyncio.wait(set(flights.values()), timeout=self.deadline_s)
        for i, key in gone:
            flight = flights.get(key)
            if flight is not None and flight.done():
                row = None if flight.cancelled() else flight.result()
                rows[i], sources[i] = (row, OFFLINE) if row is not None else (rows[i], sources[i])
            elif flight is not None:
                self.results["late"] += 1
        return Found(rows, sources)

    def _flights(self, wanted: Sequence[tuple[View, bytes]]) -> dict[bytes, Flight]:
        """What is on its way for these keys; looks begin for those that are not, one for each view."""
        loop = asyncio.get_running_loop()
        now, out, fresh = loop.time(), dict[bytes, Flight](), dict[str, tuple[View, list[bytes]]]()
        for view, key in dict.fromkeys(wanted):
            if self._absent.get(key, 0.0) > now:
                continue
            if key in self._flying:
                out[key] = self._flying[key]
            elif len(self._flying) >= WAITING_MAX:
                self.results["refused"] += 1
            else:
                out[key] = self._flying[key] = loop.create_future()
                fresh.setdefault(view.ref, (view, []))[1].append(key)
        for view, keys in fresh.values():
            task = asyncio.create_task(self._look(view, keys))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return out

    async def _look(self, view: View, keys: list[bytes]) -> None:
        """Also after the deadline: the row is online for the next one who asks."""
        loop = asyncio.get_running_loop()
        rows: list[bytes | None] = [None] * len(keys)
        try:
            rows = await loop.run_in_executor(self._pool, self._look_now, view, keys)
            self.results["found"] += sum(row is not None for row in rows)
            self._forget([key for key, row in zip(keys, rows, strict=True) if row is not None])
            for key, row in zip(keys, rows, strict=True):
                if row is None:
                    self._remember(key, loop.time() + self.absent_s)
        except Exception as error:
            self.results["failed"] += 1
            if str(error) != self._said:
                log.warning("cold path: %s", error)
            self._said = str(error)
        finally:
            for key, row in zip(keys, rows, strict=True):
                flight = self._flying.pop(key)
                if not flight.done():
                    flight.set_result(row)

    def _look_now(self, view: View, keys: list[bytes]) -> list[bytes | None]:
        rows: list[bytes | None] = self._opened().look(view, keys)
        return rows

    def _opened(self) -> Any:
        if self._path is None:
            from skewless.cold import ColdPath

            self._path = ColdPath(self.config)
        return self._path

    def _remember(self, key: bytes, until: float) -> None:
        self.results["absent"] += 1
        self._absent.pop(key, None)
        while len(self._absent) >= ABSENT_MAX:
            self._absent.popitem(last=False)
        self._absent[key] = until

    def warm(self) -> None:
        """Imports what the history needs, in a thread."""
        self._pool.submit(self._opened)

    def close(self) -> None:
        """Nothing new begins."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def in_use(lookups: Lookups | None) -> bool:
    """Whether a view of the snapshot has a cold path."""
    return lookups is not None and any(view.cold_path for view in lookups.registry.views)
