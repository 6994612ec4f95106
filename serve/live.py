"""What the server knows while it runs: the online store and the plans of the snapshot in force.

A request takes `live.lookups` once and keeps it, so every answer comes from one snapshot, also while another one is swapped in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.lookup import Lookups
from skewless.online import newest
from skewless.registry import snapshot
from skewless.registry.model import Registry
from skewless.serve.store import Store

log = logging.getLogger("skewless.serve")
WATCH_INTERVAL_S = 1.0


class Live:
    """One per process. `lookups` is None until a snapshot has been read."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config, self.store = config, store
        self.lookups: Lookups | None = None
        self.newest: dict[str, int] = {}                # newest event time by view, where answers depend on it
        self._refreshing = asyncio.Lock()
        self.on_swap: list[Callable[[], None]] = []     # called after another snapshot came into force

    def current(self) -> Lookups:
        """The snapshot in force. Raises SK251 when none has been published yet."""
        if self.lookups is None:
            snapshot.parse(None, None, self.config.namespace)
        assert self.lookups is not None
        return self.lookups

    async def refresh(self) -> bool:
        """Loads the published snapshot when it is another one than that in force, and how fresh its views are; true for another.

        Raises SK250, SK251, SK453.
        """
        async with self._refreshing:
            key = f"{self.config.namespace}:snapshot"
            raw = await self.store.call("GET", key)
            current_id = raw.decode() if raw else None
            if self.lookups is not None and current_id == self.lookups.snapshot_id:
                await self._look(self.lookups.registry)
                return False
            data = await self.store.call("GET", f"{key}:{current_id}") if current_id else None
            registry = snapshot.parse(current_id, data, self.config.namespace)
            await self._look(registry)
            self.lookups = Lookups(registry, self.config.namespace, current_id or "", self.newest)
            for call in self.on_swap:
                call()
        log.info("snapshot %s: %d views", current_id, len(registry.views))
        return True

    async def _look(self, registry: Registry) -> None:
        """How fresh the views are. Raises SK453."""
        views = newest.watched(registry.views)
        if views:
            keys = [newest.newest_key(self.config.namespace, view).encode() for view in views]
            found = newest.parse(views, await self.store.read(keys))
            self.newest.clear()
            self.newest.update(found)

    async def overtaken(self, lookups: Lookups) -> bool:
        """Whether another snapshot than this one is in force, after a look for one."""
        try:
            await self.refresh()
        except SkewlessError:
            return False
        return self.lookups is not lookups

    async def watch(self) -> None:
        """Follows the published snapshot until cancelled. A snapshot once loaded stays in force while Redis is away."""
        said = ""
        while True:
            try:
                await self.refresh()
                said = ""
            except SkewlessError as error:
                if error.code != said:
                    log.warning("%s", error)
                said = error.code
            await asyncio.sleep(WATCH_INTERVAL_S)
