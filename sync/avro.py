"""Avro bodies of feature messages -> Arrow columns, a column of all bodies at a time.

One body of many would cost half a microsecond a value by a reader of records. What the columns cannot take (arrays, unusual
encodings, anything broken) is read once more by fastavro, whose verdict counts.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.errors import SkewlessError
from skewless.messages import EVENT_TIMESTAMP
from skewless.registry.model import Schema, View
from skewless.rows.bounds import check_days, check_instants
from skewless.types import Type, parse_type

DECIMAL_BYTES_MAX = 16
_LONG_BYTES_MAX = 10
_MILLISECONDS = Type("milliseconds")        # event_timestamp: a long
_PLAIN = {
    "bool": "boolean", "int32": "int", "int64": "long", "float32": "float", "float64": "double", "date": "int",
    "milliseconds": "long",
}
_RAW = {
    "bool": pa.bool_(), "int32": pa.int64(), "int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(),
    "date": pa.int64(), "milliseconds": pa.int64(),
}


class Decoded(NamedTuple):
    """The rows that decoded, which body each came from (ascending), and why the others did not."""

    rows: pa.Table
    places: np.ndarray
    faults: dict[int, str]


class Field(NamedTuple):
    """One field of the record, in wire order."""

    name: str
    type: Type
    nullable: bool


class Decoder:
    """Reads the bodies that were written with one schema of a view."""

    def __init__(self, view: View, schema: Schema) -> None:
        self.fields = [Field(k.name, parse_type(k.type), False) for k in view.join_keys]
        self.fields.append(Field(EVENT_TIMESTAMP, _MILLISECONDS, False))
        self.fields += [Field(n, parse_type(t), True) for n, t in zip(schema.names, schema.types, strict=True)]
        self._record = _record(self.fields)
        self._by_column = not any(field.type.array for field in self.fields)

    def decode(self, bodies: Sequence[bytes]) -> Decoded:
        """Join keys, event_timestamp and the schema's features, in their declared Arrow types."""
        faults: dict[int, str] = {}
        if not self._by_column:
            raw, index = self._by_record(bodies, range(len(bodies)), faults)
        else:
            raw, bad = self._columns(bodies)
            index = np.arange(len(bodies))
            if bad.any():
                raw, index = self._mend(bodies, raw, bad, faults)
        rows, fits = self._convert(raw, index, faults)
        return Decoded(rows, index[fits] if fits is not None else index, faults)

    def _mend(
        self, bodies: Sequence[bytes], raw: list[pa.Array], bad: np.ndarray, faults: dict[int, str]
    ) -> tuple[list[pa.Array], np.ndarray]:
        """The columns of the good rows, and of those bad ones that fastavro can read, in the order of the bodies."""
        good, mended = np.flatnonzero(~bad), np.flatnonzero(bad).tolist()
        more, which = self._by_record(bodies, mended, faults)
        index = np.concatenate([good, which])
        order, taken = pa.array(np.argsort(index, kind="stable")), pa.array(good)
        both = [pa.concat_arrays([a.take(taken), b]).take(order) for a, b in zip(raw, more, strict=True)]
        return both, np.sort(index)

    def _by_record(
        self, bodies: Sequence[bytes], which: Sequence[int], faults: dict[int, str]
    ) -> tuple[list[pa.Array], np.ndarray]:
        from fastavro import schemaless_reader

        found, kept = [], []
        for at in which:
            stream = io.BytesIO(bodies[at])
            try:
                record: Any = schemaless_reader(stream, self._record)
                row = [pa.scalar(record[f"f{i}"], _raw_type(f.type)) for i, f in enumerate(self.fields)]
            except Exception as error:  # whatever broken bytes make fastavro or Arrow raise
                faults[at] = f"not a record of its schema ({type(error).__name__})"
                continue
            left = len(bodies[at]) - stream.tell()
            if left:
                faults[at] = f"{left} bytes follow the record"
                continue
            found.append([value.as_py() for value in row])
            kept.append(at)
        columns = [pa.array([row[i] for row in found], _raw_type(f.type)) for i, f in enumerate(self.fields)]
        return columns, np.array(kept, np.int64)

    def _columns(self, bodies: Sequence[bytes]) -> tuple[list[pa.Array], np.ndarray]:
        cursor = _Cursor(bodies)
        return [cursor.column(field) for field in self.fields], cursor.finish()

    def _convert(
        self, raw: list[pa.Array], index: np.ndarray, faults: dict[int, str]
    ) -> tuple[pa.Table, np.ndarray | None]:
        """The table, and which rows of `raw` it holds; None: all of them."""
        out, bad = [], np.zeros(len(index), bool)
        for field, column in zip(self.fields, raw, strict=True):
            try:
                out.append(_typed(field, column))
            except (pa.ArrowInvalid, SkewlessError, ValueError):
                for at in range(len(column)):
                    try:
                        _typed(field, column.slice(at, 1))
                    except (pa.ArrowInvalid, SkewlessError, ValueError):
                        bad[at] = True
                        shown = "timestamp" if field.type is _MILLISECONDS else str(field.type)
                        faults.setdefault(int(index[at]), f"{field.name} is not a value of type {shown}")
        if not bad.any():
            return pa.table(dict(zip([f.name for f in self.fields], out, strict=True))), None
        kept = np.flatnonzero(~bad)
        rows, _ = self._convert([column.take(pa.array(kept)) for column in raw], index[kept], faults)
        return rows, kept


class _Cursor:
    """A position in each body. `finish` tells which bodies are not what was read from them."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.data = np.frombuffer(b"".join([*bodies, bytes(16)]), np.uint8)
        self.ends = np.cumsum(np.fromiter(map(len, bodies), np.int64, len(bodies)))
        self.at = np.concatenate([[0], self.ends[:-1]]).astype(np.int64)[: len(bodies)]
        self.bad = np.zeros(len(bodies), bool)

    def finish(self) -> np.ndarray:
        return self.bad | (self.at != self.ends)

    def column(self, field: Field) -> pa.Array:
        read = _READERS[field.type.name]
        if not field.nullable:
            return read(self, field.type, None)
        branch = self.data[self.at]
        self._move(None, self.at + 1)
        self.bad |= (branch != 0) & (branch != 2)
        if (branch == 2).all():
            return read(self, field.type, None)
        return read(self, field.type, np.flatnonzero(branch == 2))

    def _move(self, rows: np.ndarray | None, to: np.ndarray) -> None:
        ends = self.ends if rows is None else self.ends[rows]
        over = to > ends
        if over.any():
            to = np.minimum(to, ends)
            self.bad[np.flatnonzero(over) if rows is None else rows[over]] = True
        if rows is None:
            self.at = to
        else:
            self.at[rows] = to

    def _here(self, rows: np.ndarray | None) -> np.ndarray:
        return self.at.copy() if rows is None else self.at[rows]

    def longs(self, rows: np.ndarray | None) -> np.ndarray:
        """Zigzag varints of these rows."""
        at = self._here(rows)
        byte = self.data[at]
        value = (byte & 0x7F).astype(np.uint64)
        at += 1
        more = np.flatnonzero(byte >= 0x80)
        for number in range(1, _LONG_BYTES_MAX + 1):
            if not len(more):
                break
            byte = self.data[np.minimum(at[more], len(self.data) - 1)]
            if number == _LONG_BYTES_MAX or (number == _LONG_BYTES_MAX - 1 and (byte > 1).any()):
                self.bad[more if rows is None else rows[more]] = True
                break
            value[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * number)
            at[more] += 1
            more = more[byte >= 0x80]
        self._move(rows, at)
        return (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64)

    def fixed(self, rows: np.ndarray | None, size: int) -> np.ndarray:
        """`size` bytes of these rows, as a matrix."""
        at = self._here(rows)
        inside = np.minimum(at, len(self.data) - size)
        out = np.lib.stride_tricks.sliding_window_view(self.data, size)[inside]
        self._move(rows, at + size)
        return out

    def slices(self, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Where a text or binary of each of these rows starts, and its length; 0 where it would leave the body."""
        length = self.longs(rows)
        at = self._here(rows)
        ends = self.ends if rows is None else self.ends[rows]
        wrong = (length < 0) | (length > ends - at)
        if wrong.any():
            length = np.where(wrong, 0, length)
            self.bad[np.flatnonzero(wrong) if rows is None else rows[wrong]] = True
        self._move(rows, at + length)
        return at, length

    # -- readers: the column of a type, for all rows or those that are not NULL --------------------------------------------

    def read_bool(self, type_: Type, rows: np.ndarray | None) -> pa.Array:
        byte = self.fixed(rows, 1)[:, 0]
        odd = byte > 1
        if odd.any():
            self.bad[np.flatnonzero(odd) if rows is None else rows[odd]] = True
        return self._spread(byte == 1, rows)

    def read_long(self, type_: Type, rows: np.ndarray | None) -> pa.Array:
        return self._spread(self.longs(rows), rows)

    def read_float(self, type_: Type, rows: np.ndarray | None) -> pa.Array:
        size, dtype = (4, "<f4") if type_.name == "float32" else (8, "<f8")
        return self._spread(np.ascontiguousarray(self.fixed(rows, size)).view(dtype)[:, 0], rows)

    def read_bytes(self, type_: Type, rows: np.ndarray | None) -> pa.Array:
        start, length = self.slices(rows)
        n = len(self.ends)
        lengths, valid = length, None
        if rows is not None:
            lengths = np.zeros(n, np.int64)
            lengths[rows] = length
            valid = pa.py_buffer(np.packbits(_mask(n, rows), bitorder="little"))
        offsets = np.zeros(n + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        before = np.cumsum(length) - length
        places = np.repeat(start - before, length) + np.arange(int(length.sum()))
        return pa.BinaryArray.from_buffers(
            pa.binary(), n, [valid, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(self.data[places]))]
        )

    def _spread(self, values: np.ndarray, rows: np.ndarray | None) -> pa.Array:
        if rows is None:
            return pa.array(values)
        n = len(self.ends)
        wide = np.zeros(n, values.dtype)
        wide[rows] = values
        return pa.array(wide, mask=~_mask(n, rows))


def _mask(n: int, rows: np.ndarray) -> np.ndarray:
    out = np.zeros(n, bool)
    out[rows] = True
    return out


_READERS: dict[str, Callable[[_Cursor, Type, np.ndarray | None], pa.Array]] = {
    "bool": _Cursor.read_bool, "int32": _Cursor.read_long, "int64": _Cursor.read_long, "date": _Cursor.read_long,
    "milliseconds": _Cursor.read_long, "float32": _Cursor.read_float, "float64": _Cursor.read_float,
    "decimal": _Cursor.read_bytes, "string": _Cursor.read_bytes, "bytes": _Cursor.read_bytes, "timestamp": _Cursor.read_bytes,
}


def _raw_type(type_: Type) -> pa.DataType:
    base = _RAW.get(type_.name, pa.binary())
    return pa.list_(base) if type_.array else base


def _record(fields: list[Field]) -> Any:
    """The Avro schema without logical types, texts as bytes: the same wire format."""
    from fastavro import parse_schema

    out = []
    for number, field in enumerate(fields):
        plain: Any = _PLAIN.get(field.type.name, "bytes")
        if field.type.array:
            plain = {"type": "array", "items": ["null", plain]}
        out.append({"name": f"f{number}", "type": ["null", plain] if field.nullable else plain})
    return parse_schema({"type": "record", "name": "record", "fields": out})


def _typed(field: Field, raw: pa.Array) -> pa.Array:
    """The column in its declared type. Raises ArrowInvalid, ValueError or SK302 where a value does not fit it."""
    type_ = field.type
    if type_ is _MILLISECONDS:
        values = pc.multiply_checked(raw, 1000).cast(pa.timestamp("us"))
        check_instants(values)
        return values
    if type_.name == "date":
        days = raw.cast(pa.int32()).cast(pa.date32())
        check_days(days)
        return days
    if type_.name == "timestamp" and not type_.array:
        values = raw.cast(pa.string()).cast(pa.timestamp("us"))
        check_instants(values)
        return values
    return _decimals(type_, raw) if type_.name == "decimal" else raw.cast(type_.arrow())


def _decimals(type_: Type, raw: pa.Array) -> pa.Array:
    """Big-endian two's complement of any length -> decimal128."""
    n = len(raw)
    offsets = np.frombuffer(raw.buffers()[1], np.int32)[raw.offset : raw.offset + n + 1].astype(np.int64)
    data = np.frombuffer(raw.buffers()[2] or b"", np.uint8)
    length = np.diff(offsets)
    if (length > DECIMAL_BYTES_MAX).any() or ((length == 0) & np.asarray(raw.is_valid())).any():
        raise ValueError("a decimal of no or more than 16 bytes")
    negative = np.zeros(n, bool)
    some = length > 0
    negative[some] = data[offsets[:-1][some]] >= 0x80
    out = np.repeat(np.where(negative, 0xFF, 0).astype(np.uint8)[:, None], DECIMAL_BYTES_MAX, axis=1)
    for place in range(int(length.max(initial=0))):
        there = np.flatnonzero(length > place)
        out[there, place] = data[offsets[1:][there] - 1 - place]
    valid = pa.py_buffer(np.packbits(np.asarray(raw.is_valid()), bitorder="little"))
    values = pa.Array.from_buffers(type_.arrow(), n, [valid, pa.py_buffer(np.ascontiguousarray(out))])
    values.validate(full=True)
    return values
