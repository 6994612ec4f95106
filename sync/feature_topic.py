"""The topic of one view's rows: messages -> rows in the view's columns, and those that cannot be used, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skewless import messages
from skewless.registry.model import Schema, View
from skewless.rows.values import INSTANT_MAX_US
from skewless.sync.avro import Decoder
from skewless.types import parse_type

INGESTED_AT = "ingested_at"
_APPENDED = 2       # the type of a timestamp that the broker has set
_MILLISECONDS_MAX = INSTANT_MAX_US // 1000
Reload = Callable[[], View | None]


@dataclass(frozen=True)
class Rows:
    """Keys, event_timestamp, features and ingested_at of messages, and where each message stands."""

    table: pa.Table
    partition: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def where(self, mask: np.ndarray) -> Rows:
        """The rows at which `mask` is true."""
        if mask.all():
            return self
        return Rows(self.table.filter(pa.array(mask)), self.partition[mask], self.offset[mask])

    def instants(self, name: str) -> np.ndarray:
        """A timestamp column without NULL as microseconds."""
        return self.table.column(name).combine_chunks().view(pa.int64()).to_numpy()


class Refused(NamedTuple):
    """A message that is no row of the view."""

    message: Any
    reason: str


class FeatureTopic:
    """Reads the messages of one view's topic. `view` is the definition in force; `reload` is asked for a newer one when a
    message carries a schema that is not known."""

    def __init__(self, namespace: str, view: View, reload: Reload = lambda: None) -> None:
        self.name = messages.topic(namespace, view)
        self.dead_letters = messages.dead_letter_topic(namespace, view)
        self._reload = reload
        self.view = view
        self._decoders: dict[bytes, Decoder] = {}
        self.adopt(view)

    def adopt(self, view: View) -> None:
        """From now on rows have the columns of this definition."""
        self.view = view
        for header, schema in messages.schemas(view).items():
            self._decoders.setdefault(header, Decoder(view, schema))

    def read(self, received: Sequence[Any]) -> tuple[Rows, list[Refused]]:
        """The rows of these messages, in their order, and the messages that are none."""
        by_header, refused = self._sort(received)
        if any(header not in self._decoders for header in by_header):
            newer = self._reload()
            if newer is not None:
                self.adopt(newer)
        tables, places = [], []
        for header, which in by_header.items():
            decoder = self._decoders.get(header)
            if decoder is None:
                fact = f"its schema {header.hex()} is not one of {self.view.ref}" if header else f"no header {messages.HEADER}"
                refused += [Refused(received[at], fact) for at in which]
                continue
            found = decoder.decode([received[at].value() for at in which])
            refused += [Refused(received[which[at]], reason) for at, reason in sorted(found.faults.items())]
            tables.append(fit(found.rows, self.view))
            places.append(np.array(which, np.int64)[found.places])
        return self._rows(received, tables, places), sorted(refused, key=lambda r: (r.message.partition(), r.message.offset()))

    def _sort(self, received: Sequence[Any]) -> tuple[dict[bytes, list[int]], list[Refused]]:
        by_header: dict[bytes, list[int]] = {}
        refused = []
        for at, message in enumerate(received):
            kind, milliseconds = message.timestamp()
            if message.value() is None:
                refused.append(Refused(message, "tombstone"))
            elif message.key() is None:
                refused.append(Refused(message, "it has no key"))
            elif kind != _APPENDED or not 0 <= milliseconds <= _MILLISECONDS_MAX:
                refused.append(Refused(message, "its timestamp is not the broker's (message.timestamp.type=LogAppendTime)"))
            else:
                header = next((value for name, value in message.headers() or () if name == messages.HEADER), None) or b""
                by_header.setdefault(bytes(header), []).append(at)
        return by_header, refused

    def _rows(self, received: Sequence[Any], tables: list[pa.Table], places: list[np.ndarray]) -> Rows:
        if not tables:
            tables, places = [fit(empty(self.view), self.view)], [np.array([], np.int64)]
        table, at = pa.concat_tables(tables), np.concatenate(places)
        if len(tables) > 1:
            order = np.argsort(at)
            table, at = table.take(pa.array(order)), at[order]
        chosen = [received[i] for i in at.tolist()]
        stamps = np.array([m.timestamp()[1] for m in chosen], np.int64) * 1000
        table = table.append_column(INGESTED_AT, pa.array(stamps).view(pa.timestamp("us")))
        return Rows(
            table.combine_chunks(), np.array([m.partition() for m in chosen], np.int32),
            np.array([m.offset() for m in chosen], np.int64),
        )


def fit(table: pa.Table, view: View) -> pa.Table:
    """The columns of the view as it is now: a feature that the table lacks, or has with another type, is NULL."""
    out: dict[str, Any] = {name: table.column(name) for name in (*view.key_names, messages.EVENT_TIMESTAMP)}
    for feature in view.features:
        type_ = parse_type(feature.type).arrow()
        there = feature.name in table.column_names and table.schema.field(feature.name).type == type_
        out[feature.name] = table.column(feature.name) if there else pa.nulls(table.num_rows, type_)
    if INGESTED_AT in table.column_names:
        out[INGESTED_AT] = table.column(INGESTED_AT)
    return pa.table(out)


def empty(view: View) -> pa.Table:
    """No rows, without ingested_at."""
    return Decoder(view, Schema(fingerprint="", names=(), types=())).decode([]).rows
