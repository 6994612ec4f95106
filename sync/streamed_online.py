"""A stream's rows -> the online store: of each entity the newest row of a batch, by the one script (laws 2 and 8)."""

from __future__ import annotations

import struct
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless import rows
from skewless.clock import BEGIN_OF_TIME_US
from skewless.messages import EVENT_TIMESTAMP
from skewless.online import OnlineStore, SyncRecords
from skewless.registry.model import View
from skewless.rows import HEADER_SIZE
from skewless.sync.feature_topic import INGESTED_AT, Rows
from skewless.warehouse.lake import LakeTable

_VERSION = slice(10, 26)        # event_timestamp and ingested_at in a header
_STAMP_AT = 26
_END = 2**31                    # beyond the end of every row
_SYNC_SECONDS = 0.05            # between two looks at a key that a sync is writing


class StreamedOnline:
    """Writes the rows of one view. What belongs to the batch is known from the view's ledger as of the last `look`."""

    def __init__(self, store: OnlineStore, lake: LakeTable) -> None:
        self.store, self.lake = store, lake
        self.through_us, self._stamp_us, self._offset_us = BEGIN_OF_TIME_US, 0, 0

    @property
    def view(self) -> View:
        return self.lake.view

    def look(self) -> None:
        """Reads from the ledger which rows belong to the batch. Raises SK600, SK513."""
        if not self.lake.exists():
            return
        snapshot = self.lake.snapshot()
        record = SyncRecords(self.store.client, self.store.namespace).read(self.view)
        self._offset_us = record.offset_us if record else 0
        self._stamp_us, self.through_us = snapshot.position.r_us, snapshot.streams_count_from_us()

    def write(self, batch: Rows) -> tuple[Rows, int]:
        """Writes the newest row of each entity; the rows that count, and how many keys were written. Raises SK600, SK604.

        Where the newest slot had other values before, those go first: a row with the values that the store has already is a
        version of its own when another one came between.

        A row before complete_through is none of a stream's: it is left out, and its key named to the next sync where an earlier
        life of this writer may have written it.
        """
        late = batch.instants(EVENT_TIMESTAMP) < self.through_us
        if late.any():
            self.disown(batch.where(late))
            batch = batch.where(~late)
        if not len(batch):
            return batch, 0
        applied = 0
        for keys, values in newest(self.store.namespace, self.view, batch, self._stamp_us + self._offset_us):
            written = self.store.write_stream_rows(self.view, keys, values)
            some = written.refresh
            applied = written.applied + self._after_a_sync([keys[i].as_py() for i in some], [values[i].as_py() for i in some])
        return batch, applied

    def disown(self, late: Rows) -> None:
        """The next sync repairs the keys whose stored row may be one of these. Raises SK600."""
        if not len(late):
            return
        versions: dict[bytes, set[bytes]] = {}
        names = rows.encode_keys(self.store.namespace, self.view, late.table).to_pylist()
        instants = zip(late.instants(EVENT_TIMESTAMP).tolist(), late.instants(INGESTED_AT).tolist(), strict=True)
        for name, pair in zip(names, instants, strict=True):
            versions.setdefault(name, set()).add(struct.pack(">qq", *pair))
        found = zip(versions, self.store.headers(list(versions)), strict=True)
        self.store.suspect(self.view, [key for key, header in found if header and header[_VERSION] in versions[key]])

    def _after_a_sync(self, keys: list[bytes], values: list[bytes]) -> int:
        """Rows whose keys a batch has touched since the last look: those that still count are written as known after it."""
        applied = 0
        while keys:
            headers = self.store.headers(keys)
            self.look()                 # after the headers, so it knows what every sync knew that has written them
            own = struct.pack(">q", self._stamp_us + self._offset_us)
            counts = [struct.unpack_from(">q", value, 10)[0] >= self.through_us for value in values]
            stamps = [own if header is None else max(own, header[_STAMP_AT:HEADER_SIZE]) for header in headers]
            values = [v[:_STAMP_AT] + stamp + v[HEADER_SIZE:] for v, stamp in zip(values, stamps, strict=True)]
            keys = [key for key, there in zip(keys, counts, strict=True) if there]
            values = [value for value, there in zip(values, counts, strict=True) if there]
            written = self.store.write_stream(self.view, keys, values)
            applied += written.applied
            keys, values = [keys[i] for i in written.refresh], [values[i] for i in written.refresh]
            if keys:
                time.sleep(_SYNC_SECONDS)
        return applied


def newest(namespace: str, view: View, batch: Rows, stamp_us: int) -> list[tuple[pa.Array, pa.Array]]:
    """Keys and rows to write, one after the other, no key twice in one. The last holds each entity's newest row: the greatest
    (event_timestamp, ingested_at), and of a run of equal values in that slot the earliest ingested_at, as law 2 has it. One
    before it holds what those slots held before, where they did. Of rows that came in one instant the last one counts."""
    names = rows.encode_keys(namespace, view, batch.table)
    codes = np.asarray(names.dictionary_encode().indices)
    event, ingested = batch.instants(EVENT_TIMESTAMP), batch.instants(INGESTED_AT)
    latest = np.full(int(codes.max()) + 1, np.iinfo(np.int64).min)
    np.maximum.at(latest, codes, event)
    slot = np.flatnonzero(event == latest[codes])               # the rows of each entity's newest slot
    slot = slot[np.lexsort((ingested[slot], codes[slot]))]
    again = (np.diff(codes[slot]) == 0) & (np.diff(ingested[slot]) == 0)
    slot = slot[~np.append(again, False)]                       # of one instant the last message is the row
    values = rows.encode_rows(view, batch.table.take(pa.array(slot)), stamp_us)
    if len(slot) == len(latest):
        return [(names.take(pa.array(slot)), values)]
    body = pc.binary_slice(values, HEADER_SIZE, _END)            # without an end Arrow multiplies beyond 64 bits
    entity = codes[slot]
    same = np.concatenate([[False], np.asarray(pc.equal(body[1:], body[:-1])) & (entity[1:] == entity[:-1])])
    runs = np.flatnonzero(~same)                                # where the values of a slot change
    last = np.append(entity[runs][1:] != entity[runs][:-1], True)
    before = np.append(last[1:] & ~last[:-1], False)
    passes = [runs[before], runs[last]] if before.any() else [runs[last]]
    return [(names.take(pa.array(slot[some])), values.take(pa.array(some))) for some in passes]
