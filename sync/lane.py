"""One view's way through the consumer: its flush, and what it waits for while the other views go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skewless.sync.feature_topic import Rows
from skewless.sync.patience import FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX, Patience, sentence
from skewless.sync.view_stream import Place, ViewStream


@dataclass
class Partition:
    """What this consumer holds of one partition. Offsets are those after the last message: read, written to both stores,
    committed; None before the first. `gaps`: offsets that were deleted before this consumer read them; `lost_before`: how many
    there were before it had the partition, None while that is not known."""

    chunks: list[Rows] = field(default_factory=list)
    read: int | None = None
    written: int | None = None
    committed: int | None = None
    gaps: list[range] = field(default_factory=list)
    lost_before: int | None = None

    def lost(self, offset: int) -> int:
        """How many messages before this offset were ever deleted unread."""
        return (self.lost_before or 0) + sum(len(gap) for gap in self.gaps if gap.stop <= offset)

    @property
    def is_ready(self) -> bool:
        """Whether something was read that no flush has taken to its end."""
        return self.read is not None and self.read != self.written


@dataclass(frozen=True)
class Flight:
    """A flush on its way: which partitions it holds, up to which offset, and the doubtful rows at its end."""

    ends: dict[Place, tuple[Partition, int]]
    result: Future[Rows | None]


@dataclass(frozen=True)
class Errand:
    """What has to succeed before the view's next messages are written. `done` gets the action's result. `messages`: how many it
    is about."""

    action: Callable[[], Any]
    done: Callable[[Any], None]
    messages: int


class Lane:
    """`patience` waits in the thread of the view's flushes. `errand` and the end of a flight are tried again by the thread that
    reads, when `is_due`; meanwhile messages wait in `backlog`, each with the partition that it was read for."""

    def __init__(self, stream: ViewStream, say: Callable[[str], None], abandon: threading.Event) -> None:
        self.stream, self.patience = stream, Patience(say, abandon)
        self.flight: Flight | None = None
        self.errand: Errand | None = None
        self.backlog: list[tuple[Any, Partition | None]] = []
        self._say, self._retry_at, self._wait = say, 0.0, FIRST_WAIT_SECONDS

    @property
    def what(self) -> str:
        """Its name for what is said."""
        return f"the history of {self.stream.view.ref}"

    @property
    def is_due(self) -> bool:
        """Whether to try again now."""
        return time.monotonic() >= self._retry_at

    @property
    def is_held_up(self) -> bool:
        """Whether it waits for something that only this view waits for."""
        return self._retry_at > 0 or self.patience.is_waiting

    def put_off(self, error: Exception) -> None:
        """It failed: later."""
        self._say(f"{self.what}: {sentence(error)}; waiting, nothing is lost")
        self._retry_at, self._wait = time.monotonic() + self._wait, min(2 * self._wait, WAIT_SECONDS_MAX)

    def succeeded(self) -> None:
        """It is done."""
        if self._retry_at:
            self._say(f"{self.what}: done")
        self._retry_at, self._wait = 0.0, FIRST_WAIT_SECONDS

    @property
    def holds_messages(self) -> bool:
        """Whether messages are in its hands that are not among the rows to flush yet."""
        return bool(self.backlog) or self.errand is not None and self.errand.messages > 0


def share(partitions: dict[Place, Partition], topic: str, rows: Rows, owners: dict[Place, Partition]) -> None:
    """Gives each partition its rows, where it is still the one that they were read for."""
    for partition in np.unique(rows.partition).tolist():
        place = (topic, partition)
        if partitions.get(place) is owners[place]:
            owners[place].chunks.append(rows.where(rows.partition == partition))
