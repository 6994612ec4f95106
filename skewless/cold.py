"""The cold path: a row that is not online is looked up in the history, and put online for a while through the one script.

It goes in as a stream's row does: it never takes the place of a row that is as new, and a newer batch always takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from skewless import rows
from skewless.clock import now_us
from skewless.config import Config
from skewless.newest import newest_rows
from skewless.online import OnlineStore, connect
from skewless.registry.model import View
from skewless.warehouse.lake import LakeTable

LIFE_US = 600_000_000           # online for so long: a correction of an entity that no batch pushes is seen then


class ColdPath:
    """One per process; its methods are called from a few threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._store: OnlineStore | None = None
        self._tables: dict[str, LakeTable] = {}

    def look(self, view: View, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows to answer with: the newest of each entity that is valid now (law 3), None where there is none.

        What is found is put online. Raises SK600, and what reading a history raises.
        """
        table = self._tables.setdefault(view.ref, LakeTable(self.config.lake_root, view))
        if not table.exists():
            return [None] * len(keys)
        now, position = now_us(), table.position()
        lo = None if view.ttl_us is None else now - view.ttl_us
        found = newest_rows(table, view, keys, lo_us=lo, hi_us=now)
        if not found.num_rows:
            return [None] * len(keys)
        store = self._online()
        last = store.last_sync(view)
        stamp = position.r_us + (last.offset_us if last else 0)
        names = rows.encode_keys(self.config.namespace, view, found).to_pylist()
        by_key = dict(zip(names, rows.encode_rows(view, found, stamp).to_pylist(), strict=True))
        for key, raw in by_key.items():
            store.backfill(view, key, raw, life_us=LIFE_US)
        return [by_key.get(key) for key in keys]

    def _online(self) -> OnlineStore:
        if self._store is None:
            self._store = OnlineStore(connect(self.config), self.config.namespace)
        return self._store
