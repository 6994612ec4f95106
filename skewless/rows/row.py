"""One row in Redis: a 34-byte header and the values.

| bytes | what |
|---|---|
| 0 | `S` |
| 1 | codec: `j` JSON array, `m` msgpack array |
| 2-9 | fingerprint of the schema it was written with |
| 10-17 | event_timestamp, microseconds, big-endian signed |
| 18-25 | ingested_at, the same |
| 26-33 | batch stamp, the same: the commit up to which the writing sync had read; 0 when no batch has touched the key |
| 34- | values in declared order; nothing = a tombstone |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from skewless.errors import SkewlessError
from skewless.registry.model import Schema, View
from skewless.rows.transcode import Transcoder
from skewless.rows.values import array_head, decoder, json_encoder, msgpack_encoder

LAYOUT = struct.Struct(">2s8sqqq")
HEADER_SIZE = LAYOUT.size
STAMP_AT = 26
CODECS = {"json": b"Sj", "msgpack": b"Sm"}
Plan = Callable[[bytes], list[Any]]
_json_texts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_unpack_msgpack = msgspec.msgpack.Decoder().decode


class Header(NamedTuple):
    """The first 34 bytes. `codec` is `j` or `m`, `fingerprint` 16 hex digits; instants in microseconds."""

    codec: str
    fingerprint: str
    event_timestamp_us: int
    ingested_at_us: int
    stamp_us: int
    tombstone: bool


class Row(NamedTuple):
    """A decoded row: values in the order of `view.features`, None for NULL and for a feature the row does not have."""

    header: Header
    values: list[Any]


def read_header(raw: bytes) -> Header:
    """The header of a stored row. Raises SK304 when the bytes are not a row of format 1."""
    if len(raw) < HEADER_SIZE or raw[:2] not in (b"Sj", b"Sm"):
        raise SkewlessError("SK304", "these bytes are not a row of format 1", detail=f"{len(raw)} bytes: {raw[:34].hex()}.")
    magic, print_, event_us, ingested_us, stamp_us = LAYOUT.unpack_from(raw)
    return Header(chr(magic[1]), print_.hex(), event_us, ingested_us, stamp_us, len(raw) == HEADER_SIZE)


def header_bytes(view: View, event_timestamp_us: int, ingested_at_us: int, stamp_us: int) -> bytes:
    """The 34 bytes in front of the values."""
    print_ = bytes.fromhex(view.schema.fingerprint)
    return LAYOUT.pack(CODECS[view.codec], print_, event_timestamp_us, ingested_at_us, stamp_us)


def tombstone(view: View, event_timestamp_us: int, ingested_at_us: int, stamp_us: int) -> bytes:
    """A header without values: the entity has no row, as of the stamp."""
    return header_bytes(view, event_timestamp_us, ingested_at_us, stamp_us)


def encode_row(
    view: View, event_timestamp_us: int, ingested_at_us: int, values: Sequence[Any], stamp_us: int
) -> bytes:
    """Header and values of one row, values in the order of `view.features`. Raises SK302 for a value of another type."""
    return header_bytes(view, event_timestamp_us, ingested_at_us, stamp_us) + encode_values(view, values)


def encode_values(view: View, values: Sequence[Any]) -> bytes:
    """The bytes after the header. Raises SK302."""
    types = [f.type for f in view.features]
    if view.codec == "json":
        return b"[" + b",".join([json_encoder(t)(v) for t, v in zip(types, values, strict=True)]) + b"]"
    return array_head(len(types)) + b"".join([msgpack_encoder(t)(v) for t, v in zip(types, values, strict=True)])


class Reader:
    """Reads rows of one view; plans per fingerprint and codec are made once. What a server keeps for each view."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.fingerprint = view.schema.fingerprint
        self.identity = b"Sj" + bytes.fromhex(self.fingerprint)     # rows that start so hold the reply's very bytes
        self.packed = b"Sm" + self.identity[2:]
        self.transcode = Transcoder(view).json
        self._plans: dict[bytes, Plan] = {}
        self._encoders = [json_encoder(f.type) for f in view.features]
        self._nulls = b"[" + b",".join([b"null"] * len(view.features)) + b"]"

    def decode(self, raw: bytes) -> Row:
        """The row that `raw` holds. Raises SK304 for other bytes, SK305 for a schema that the view has never had."""
        header = read_header(raw)
        return Row(header, [None] * len(self.view.features) if header.tombstone else self._values(raw))

    def values_json(self, raw: bytes) -> bytes:
        """The values as JSON array text: the stored bytes where nothing has to change. Raises SK304, SK305."""
        if raw[:10] == self.identity and len(raw) > HEADER_SIZE:
            return raw[HEADER_SIZE:]
        if read_header(raw).tombstone:
            return self._nulls
        if raw[:10] == self.packed:
            try:
                return self.transcode(raw[HEADER_SIZE:])
            except ValueError as error:
                raise SkewlessError("SK304", f"the row's values do not read: {error}") from None
        return b"[" + b",".join([encode(v) for encode, v in zip(self._encoders, self._values(raw), strict=True)]) + b"]"

    def inner(self, raw: bytes) -> bytes | None:
        """What stands between the brackets of the row's JSON array, where every comma in it separates two values; else None.

        An array of n values holds n - 1 commas that separate, and more only inside of texts and arrays. Raises SK304, SK305.
        """
        body = self.values_json(raw)
        inner = body[1:-1]
        return inner if inner.count(b",") == len(self._encoders) - 1 and body[:1] == b"[" and body[-1:] == b"]" else None

    def texts(self, raw: bytes) -> list[bytes]:
        """The values as JSON texts, in the order of `view.features`: slices of the stored bytes where nothing has to change.

        Raises SK304, SK305, and ValueError for a JSON row that is none.
        """
        inner = self.inner(raw)
        if inner is not None:
            return inner.split(b",")
        texts = [bytes(text) for text in _json_texts(self.values_json(raw))]
        if len(texts) != len(self._encoders):
            raise SkewlessError("SK304", f"the row holds {len(texts)} values and its schema {len(self._encoders)}")
        return texts

    def _values(self, raw: bytes) -> list[Any]:
        plan = self._plans.get(raw[1:10])
        if plan is None:
            plan = self._plans[raw[1:10]] = make_plan(self.view, raw[2:10].hex(), chr(raw[1]))
        return plan(raw)


_readers: dict[int, Reader] = {}


def reader(view: View) -> Reader:
    """The reader of this very view object; made once, kept while it is among the last few hundred used."""
    found = _readers.get(id(view))
    if found is None:
        if len(_readers) >= 512:
            _readers.clear()
        found = _readers[id(view)] = Reader(view)     # holds the view, so its id is not reused
    return found


def decode_row(view: View, raw: bytes) -> Row:
    """`Reader.decode` with the view's kept reader. Raises SK304, SK305."""
    return reader(view).decode(raw)


def values_json(view: View, raw: bytes) -> bytes:
    """`Reader.values_json` with the view's kept reader. Raises SK304, SK305."""
    return reader(view).values_json(raw)


def reencode(view: View, raw: bytes) -> bytes:
    """The row in the view's present schema and codec: what a sync would write for the same values now."""
    row = decode_row(view, raw)
    head = header_bytes(view, row.header.event_timestamp_us, row.header.ingested_at_us, row.header.stamp_us)
    return head if row.header.tombstone else head + encode_values(view, row.values)


def known_schema(view: View, fingerprint: str) -> Schema:
    """The present or past schema of that fingerprint. Raises SK305."""
    for schema in (view.schema, *view.past_schemas):
        if schema.fingerprint == fingerprint:
            return schema
    raise SkewlessError(
        "SK305", f'a row of "{view.ref}" has the unknown schema {fingerprint}',
        hint="Reload the applied definitions; if that does not help, rewrite the rows with: skewless sync --full",
    )


def make_plan(view: View, fingerprint: str, codec: str) -> Plan:
    """What turns raw bytes of that schema and codec into values in the view's present order. Raises SK305."""
    schema = known_schema(view, fingerprint)
    parse = orjson.loads if codec == "j" else _unpack_msgpack
    at = {name: i for i, name in enumerate(schema.names)}
    steps = []
    for feature in view.features:
        i = at.get(feature.name, -1)
        fits = i >= 0 and schema.types[i] == feature.type
        steps.append((i if fits else -1, decoder(feature.type, codec) if fits else None))

    def decode(raw: bytes) -> list[Any]:
        items = parse(memoryview(raw)[HEADER_SIZE:])
        return [None if i < 0 else items[i] if convert is None else convert(items[i]) for i, convert in steps]

    return decode
