"""One streamed view on its way from its topic to the stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.messages import EVENT_TIMESTAMP
from skewless.online import OnlineStore, connect
from skewless.registry.model import View
from skewless.sync.feature_topic import FeatureTopic, Refused, Rows, fit
from skewless.sync.streamed_online import StreamedOnline
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.pending import Part

Place = tuple[str, int]                 # topic, partition
Piece = tuple[Place, int, list[Rows]]   # rows of a partition, and the offset after the last message read
Reload = Callable[[View], View | None]


@dataclass
class Counts:
    """What one view's messages became. `online`: keys written; `offline`: rows written; `late`: rows that belong to the batch;
    `repeated`: rows that the history had already; `dead`: messages that are no rows; `lost`: messages that
    the brokers had deleted before they were read."""

    messages: int = 0
    online: int = 0
    offline: int = 0
    late: int = 0
    repeated: int = 0
    dead: int = 0
    lost: int = 0
    newest_event_timestamp_us: int | None = None


class ViewStream:
    """The view's topic, its two writers, its counts. Without `store` nothing goes online, without `offline` nothing to the
    history. A definition that is newer is taken over as soon as a message needs it."""

    def __init__(self, config: Config, view: View, reload: Reload, *, store: OnlineStore | None, offline: bool) -> None:
        self.topic = FeatureTopic(config.namespace, view, lambda: self._newer(reload))
        self.counts = Counts()
        self.offline = offline
        self.online = StreamedOnline(store, LakeTable(config.lake_root, view)) if store is not None and view.online else None
        self.sunset_us, self.ended = view.sunset_at_us, False
        self._config, self._reload = config, reload
        self._topic_id = ""

    @property
    def view(self) -> View:
        return self.topic.view

    def _newer(self, reload: Reload) -> View | None:
        found = reload(self.view)
        if found is not None and self.online is not None:
            self.online.lake = LakeTable(self._config.lake_root, found)
        return found

    def write(self, received: list[Any]) -> tuple[Rows, list[Refused], Callable[[], Rows]]:
        """Reads messages: the rows, what is none, and the action that writes the rows online and gives those that count."""
        rows, refused = self.topic.read(received)
        self.counts.messages += len(received)
        self.counts.dead += len(refused)
        return rows, refused, lambda: self._write(rows)

    def _write(self, rows: Rows) -> Rows:
        kept = rows
        if self.online is not None and len(rows):
            online = self.online
            kept, written = self._reviving(lambda: online.write(rows))
            self.counts.online += written
            self.counts.late += len(rows) - len(kept)
        if len(kept):
            newest = int(kept.instants(EVENT_TIMESTAMP).max())
            self.counts.newest_event_timestamp_us = max(newest, self.counts.newest_event_timestamp_us or newest)
        return kept

    def append(self, pieces: list[Piece], topic_id: Callable[[str], str]) -> Rows | None:
        """Writes to the history; the rows that belong to the batch, or may. Run by the thread of the history.

        `topic_id` tells topics apart that had one name at different times: their offsets are not comparable.
        """
        some = [(place, end, chunks) for place, end, chunks in pieces if chunks]
        if not some:
            return None
        if not self.offline:
            return _joined([chunk for _, _, chunks in some for chunk in chunks], self.view)
        view, made, read = self.view, [], []
        self._topic_id = self._topic_id or topic_id(self.topic.name)
        for (topic, partition), end, chunks in some:
            rows = _joined(chunks, view)
            name = f"kafka:{topic}:{partition}" + (f":{self._topic_id}" if self._topic_id else "")
            made.append(Part(name, rows.table, pa.array(rows.offset), end))
            read.append(rows)
        appended = LakeTable(self._config.lake_root, view).append_parts(made)
        self.counts.offline += appended.rows
        self.counts.repeated += appended.repeated
        masks = [mask.to_numpy(zero_copy_only=False) for mask in appended.late]
        return _joined([rows.where(mask) for rows, mask in zip(read, masks, strict=True)], view)

    def ask_for_sunset(self) -> None:
        """Takes over the sunset that is applied now; a registry that does not answer is asked another time."""
        with suppress(SkewlessError):
            self.sunset_us = (self._reload(self.view) or self.view).sunset_at_us

    def settle(self, doubtful: Rows | None) -> None:
        """After `append`: looks at the ledger, and names the keys of rows that turned out to be the batch's. Raises SK600."""
        late = doubtful
        if self.online is not None:
            online = self.online
            self._reviving(online.look)
            if late is not None and len(late):
                late = late.where(late.instants(EVENT_TIMESTAMP) < online.through_us)
                some = late
                self._reviving(lambda: online.disown(some))
        if late is not None and (self.offline or self.online is not None):
            self.counts.late += len(late)

    def look(self) -> None:
        """Reads from the ledger what belongs to the batch. Raises SK600."""
        if self.online is not None:
            self._reviving(self.online.look)

    def _reviving(self, action: Callable[[], Any]) -> Any:
        """The action; an embedded store that has died is started again for the next try."""
        try:
            return action()
        except SkewlessError as error:
            if error.code == "SK600" and self._config.online_store.strip() == "embedded":
                connect(self._config).close()
            raise


def _joined(chunks: list[Rows], view: View) -> Rows:
    table = pa.concat_tables([fit(chunk.table, view) for chunk in chunks]).combine_chunks()
    return Rows(table, np.concatenate([c.partition for c in chunks]), np.concatenate([c.offset for c in chunks]))
