"""What the server knows while it runs: the Redis connection and the plans of the snapshot in force.

A request takes `live.lookups` once and keeps it, so every answer comes from one snapshot, also while a new one is swapped in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.lookup import Lookups
from skewless.registry import snapshot

log = logging.getLogger("skewless.serve")
WATCH_INTERVAL_S = 1.0
REDIS_DEADLINE_S = 1.0
REDIS_CALLS_MAX = 64      # below the connection pool's limit, so that a burst waits instead of failing
MGET_KEYS_MAX = 300
Rows = list[bytes | None]
T = TypeVar("T")


class Live:
    """One per process. `lookups` is None until a snapshot has been read."""

    def __init__(self, config: Config, client: Any) -> None:
        self.config, self.client = config, client
        self.lookups: Lookups | None = None
        self._turns = asyncio.Semaphore(REDIS_CALLS_MAX)

    def current(self) -> Lookups:
        """The snapshot in force. Raises SK251 when none has been published yet."""
        if self.lookups is None:
            snapshot.parse(None, None, self.config.namespace)
        assert self.lookups is not None
        return self.lookups

    async def read(self, keys: Sequence[bytes | None]) -> Rows:
        """The stored bytes of each key, in order; None for None. One MGET up to MGET_KEYS_MAX keys. Raises SK453."""
        asked = [key for key in keys if key is not None]
        found: Rows = []
        for start in range(0, len(asked), MGET_KEYS_MAX):
            part = asked[start : start + MGET_KEYS_MAX]
            found += await self.guard(lambda part=part: self.client.mget(part))   # type: ignore[misc]
        answers = iter(found)
        return [None if key is None else next(answers) for key in keys]

    async def guard(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call to Redis; waiting for a turn and the answer share one deadline. Every failure there becomes SK453."""
        try:
            async with asyncio.timeout(REDIS_DEADLINE_S), self._turns:
                return await call()
        except (RedisError, OSError) as error:   # TimeoutError is an OSError
            raise SkewlessError(
                "SK453", "the online store does not answer", detail=type(error).__name__ + ".", hint="Ask again in a moment."
            ) from None

    async def refresh(self) -> bool:
        """Loads the published snapshot when it is another one than that in force. Raises SK250, SK251, SK453."""
        key = f"{self.config.namespace}:snapshot"
        raw = await self.guard(lambda: self.client.get(key))
        current_id = raw.decode() if raw else None
        if self.lookups is not None and current_id == self.lookups.snapshot_id:
            return False
        data = await self.guard(lambda: self.client.get(f"{key}:{current_id}")) if current_id else None
        registry = snapshot.parse(current_id, data, self.config.namespace)
        self.lookups = Lookups(registry, self.config.namespace, current_id or "")
        log.info("snapshot %s: %d views", current_id, len(registry.views))
        return True

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
