"""An input table of a conformance run: typed rows, in the order in which they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skewless.types import Type

# Flink takes a second row of the same instant for a late one when the watermark does not stay a millisecond behind; and a session
# ends before a row that follows at exactly the gap when it does not stay two behind.
WATERMARK_DELAY = "INTERVAL '0.002' SECOND"


@dataclass(frozen=True, eq=False)
class Table:
    """`rows` hold plain Python values in the order of `columns`: bool, int, float, Decimal, str, bytes, date, naive datetime in
    UTC, list, None. The same object given again is not loaded again, so it must not be changed.

    `event_time` names the rowtime column of a stream: TIMESTAMP(3) in Flink, never NULL. `watermark` is a Flink expression;
    by default the event time less 2 ms, which is right for rows in the order of their event times. `flink_types` gives
    single columns another type in Flink, for example {"arrived_at": "TIMESTAMP(3)"} for one that the watermark reads.
    """

    columns: Mapping[str, Type]
    rows: Sequence[tuple[Any, ...]]
    event_time: str | None = None
    watermark: str | None = None
    flink_types: Mapping[str, str] = field(default_factory=dict)

    def watermark_expression(self) -> str | None:
        """The watermark in Flink's SQL; None for a table without event time."""
        return self.watermark or (f"`{self.event_time}` - {WATERMARK_DELAY}" if self.event_time else None)
