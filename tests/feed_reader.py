"""A store that nothing but the feed of a history's changes writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from skewless.clock import EPOCH
from skewless.warehouse.lake import LakeTable

Row = tuple[int, int, Any]
"""Event time and ingested_at in microseconds, and values."""


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


class FeedReader:
    """`held`: each key's newest row. `values_of` gives values a form that can be compared."""

    def __init__(self, values_of: Callable[[int | None, float | None], Any]) -> None:
        self.held: dict[str, Row] = {}
        self._values_of, self._position = values_of, None

    def hear(self, key: str, row: Row) -> None:
        """The order of readers: newer wins, equal values keep the earlier ingested_at."""
        held = self.held.get(key)
        same = held is not None and (held[0], held[2]) == (row[0], row[2])
        if held is not None and same:
            row = (row[0], min(held[1], row[1]), row[2])
        if held is None or same or row[:2] >= held[:2]:
            self.held[key] = row

    def follow(self, table: LakeTable) -> None:
        """Takes what has changed since the last time."""
        changes: Any = table.changes(self._position)
        assert changes.full == (self._position is None)
        if changes.full:
            self.held = {}
        for row in changes.rows.to_pylist():
            self.hear(row["k"], self._row(row))
        for row in changes.retracted.to_pylist():
            held = self.held.get(row["k"])
            if held and held[:2] == (microseconds(row["event_timestamp"]), microseconds(row["ingested_at"])):
                del self.held[row["k"]]
                if row["new_event_timestamp"] is not None:
                    self.held[row["k"]] = self._row(row, "new_")
        self._position = changes.position

    def _row(self, row: dict[str, Any], prefix: str = "") -> Row:
        values = self._values_of(row[f"{prefix}a"], row[f"{prefix}x"])
        return microseconds(row[f"{prefix}event_timestamp"]), microseconds(row[f"{prefix}ingested_at"]), values
