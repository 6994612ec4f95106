"""The content hash of a table: an order-sensitive hash over its values, the same for every way to encode or chunk them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "sha256:"


class ContentHash:
    """Fed with record batches of one schema, in order. Names, canonical types, order, NULLs and values all count.

    Not counted: chunk bounds, dictionary encoding, the width of string offsets, bytes under NULLs, the bit pattern of a NaN.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._rows = 0
        self._columns = [(field.name, canonical(field.type), Streams()) for field in schema]

    def update(self, batch: pa.RecordBatch) -> None:
        """The next rows."""
        self._rows += batch.num_rows
        for array, (_, _, streams) in zip(batch.columns, self._columns, strict=True):
            _feed(array, streams, "")

    def digest(self) -> str:
        """`sha256:` and 64 hex digits of everything so far."""
        total = hashlib.sha256(f"skewless content 1\n{self._rows}\n".encode())
        for name, type_, streams in self._columns:
            total.update(f"{len(name.encode())} {name} {type_}\n".encode() + streams.digest())
        return PREFIX + total.hexdigest()


class Streams:
    """The hashes of one column: validity, lengths and values each go to a stream of their own, so chunk bounds leave no trace."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}

    def add(self, name: str, data: Any) -> None:
        """More bytes of the stream of that name."""
        import numpy as np

        if isinstance(data, np.ndarray):
            data = np.ascontiguousarray(data)
        if name not in self._hashes:
            self._hashes[name] = hashlib.sha256()
        self._hashes[name].update(data)

    def digest(self) -> bytes:
        """Every stream's name and digest, by name. A stream that got no bytes counts like one that is not there."""
        empty = hashlib.sha256().digest()
        done = {name: stream.digest() for name, stream in sorted(self._hashes.items())}
        return b"".join(name.encode() + b"=" + digest for name, digest in done.items() if digest != empty)


def content_hash(table: pa.Table) -> str:
    """The content hash of a whole table."""
    hashed = ContentHash(table.schema)
    for batch in table.to_batches():
        hashed.update(batch)
    return hashed.digest()


def canonical(type_: pa.DataType) -> str:
    """A type's name without the ways to encode it: `string` for its large, view and dictionary forms."""
    import pyarrow.types as t

    if t.is_dictionary(type_):
        return canonical(type_.value_type)
    if _stringy(type_):
        return "string"
    if _binary(type_):
        return "binary"
    if t.is_list(type_) or t.is_large_list(type_):
        return f"list<{canonical(type_.value_type)}>"
    if t.is_struct(type_):
        return "struct<" + ", ".join(f"{f.name}: {canonical(f.type)}" for f in type_) + ">"
    return str(type_)


def _stringy(type_: Any) -> bool:
    import pyarrow.types as t

    return t.is_string(type_) or t.is_large_string(type_) or str(type_) == "string_view"


def _binary(type_: Any) -> bool:
    import pyarrow.types as t

    return t.is_binary(type_) or t.is_large_binary(type_) or str(type_) == "binary_view"


def _feed(array: pa.Array, streams: Streams, path: str) -> None:
    """Adds one chunk: validity (a byte a row), lengths, and values with NULLs zeroed. `path` tells nested values apart."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    type_ = array.type
    streams.add(path + "valid", array.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False))
    if _stringy(type_) or _binary(type_):
        _feed_text(array, streams, path)
    elif t.is_list(type_) or t.is_large_list(type_):
        streams.add(path + "length", pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
        _feed(array.flatten(), streams, path + "item.")
    elif t.is_struct(type_):
        for field, child in zip(type_, array.flatten(), strict=True):
            _feed(child, streams, f"{path}{field.name}.")
    elif not t.is_null(type_):
        streams.add(path + "value", _fixed(array))


def _feed_text(array: pa.Array, streams: Streams, path: str) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _stringy(array.type)
    flat = pc.fill_null(array.cast(pa.large_string() if text else pa.large_binary()), "" if text else b"")
    if not len(flat):
        return
    _, offsets, data = flat.buffers()
    ends = np.frombuffer(offsets, np.int64)[flat.offset : flat.offset + len(flat) + 1]
    streams.add(path + "length", np.diff(ends))
    if data is not None:
        streams.add(path + "value", memoryview(data)[int(ends[0]) : int(ends[-1])])


def _fixed(array: pa.Array) -> Any:
    """The values of a fixed-width type as a numpy array or bytes, NULLs zeroed, every NaN the same."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    type_ = array.type
    if t.is_floating(type_):
        values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
        return np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    if t.is_boolean(type_):
        return pc.fill_null(array, False).cast(pa.uint8()).to_numpy(zero_copy_only=False)
    if t.is_temporal(type_) and not t.is_interval(type_):
        array = array.view(pa.int64() if type_.bit_width == 64 else pa.int32())
    if t.is_integer(array.type):
        return pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
    return "".join(f"{value!r}\n" for value in array.to_pylist()).encode()
