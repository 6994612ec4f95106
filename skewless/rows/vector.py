"""Arrow columns -> keys and rows, a column at a time. Equal to `key.row_key` and `row.encode_row` of each row, byte for byte."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.registry.model import View
from skewless.rows.bounds import check_days, check_instants
from skewless.rows.key import key_part, key_suffix, null_key
from skewless.rows.msgpack_vector import msgpack_column
from skewless.rows.row import CODECS
from skewless.rows.values import array_head, json_encoder, misfit
from skewless.types import Type, parse_type

NO_ESCAPE_IN_KEY = r"^[A-Za-z0-9_.~-]*$"
NEEDS_ESCAPE_IN_JSON = "[\"\\\\\\x00-\\x1f]"
_NULL = b"null"


def encode_keys(namespace: str, view: View, table: pa.Table) -> pa.BinaryArray:
    """See `skewless.rows.encode_keys`."""
    parts: list[Any] = []
    for join_key in view.join_keys:
        values = column_of(table, join_key.name, join_key.type)
        if values.null_count:
            raise null_key(join_key.name)
        parts += [_literal(b"|"), _key_column(parse_type(join_key.type), values)]
    head = f"{namespace}:{{{quote(view.entity, safe='')}".encode()
    return _join([_literal(head), *parts, _literal(b"}" + key_suffix(view).encode())], table.num_rows)


def encode_rows(view: View, table: pa.Table, stamp_us: int) -> pa.BinaryArray:
    """See `skewless.rows.encode_rows`."""
    columns = [(parse_type(f.type), column_of(table, f.name, f.type)) for f in view.features]
    head, n = _headers(view, table, stamp_us), table.num_rows
    if view.codec == "msgpack":
        return _join([head, _literal(array_head(len(columns))), *(msgpack_column(kind, values) for kind, values in columns)], n)
    body = _join([json_column(kind, values) for kind, values in columns], n, b",") if columns else _literal(b"")
    return _join([head, _literal(b"["), body, _literal(b"]")], n)


def column_of(table: pa.Table, name: str, type_text: str) -> pa.Array:
    """The column as one array of its declared Arrow type. Raises SK302 where a cast would lose something."""
    values = table.column(name)
    wanted = parse_type(type_text).arrow()
    try:
        values = values if values.type == wanted else pc.cast(values, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise misfit(type_text, f"{name}: {error}") from None
    return values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)


def _headers(view: View, table: pa.Table, stamp_us: int) -> pa.Array:
    n = table.num_rows
    raw = np.empty(n, dtype=[("magic", "S10"), ("event", ">i8"), ("ingested", ">i8"), ("stamp", ">i8")])
    bytes_ = raw.view(np.uint8).reshape(n, 34)
    bytes_[:, :10] = np.frombuffer(CODECS[view.codec] + bytes.fromhex(view.schema.fingerprint), np.uint8)
    for field, name in (("event", "event_timestamp"), ("ingested", "ingested_at")):
        instants = column_of(table, name, "timestamp")
        if instants.null_count:
            raise misfit("timestamp", f"{name}: NULL")
        raw[field] = np.asarray(instants.view(pa.int64()))
    raw["stamp"] = stamp_us
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(34), n, [None, pa.py_buffer(raw)])
    return fixed.cast(pa.binary())


def _key_column(kind: Type, values: pa.Array) -> pa.Array:
    if kind.name in ("int32", "int64", "date"):
        if kind.name == "date":
            check_days(values)
        return pc.cast(pc.cast(values, pa.string()), pa.binary())
    if kind.name == "bool":
        return pc.if_else(values, _literal(b"true"), _literal(b"false"))
    if kind.name == "string":
        plain = pc.match_substring_regex(values, NO_ESCAPE_IN_KEY)
        return _except(values.cast(pa.binary()), plain, values, lambda v: quote(v, safe="").encode())
    return _by_value(values, lambda v: key_part(str(kind), v).encode())


def json_column(kind: Type, values: pa.Array) -> pa.Array:
    """The JSON text of every value, `null` for NULL."""
    if kind.array:
        return _json_lists(kind, values)
    if kind.name in ("int32", "int64"):
        return _fill(pc.cast(pc.cast(values, pa.string()), pa.binary()))
    if kind.name == "bool":
        return _fill(pc.if_else(values, _literal(b"true"), _literal(b"false")))
    if kind.name in ("float32", "float64"):
        return _fill(_json_floats(values))
    if kind.name == "string":
        return _fill(_json_strings(values))
    if kind.name == "timestamp":
        return _fill(_json_instants(values))
    if kind.name == "date":
        check_days(values)
        return _fill(_join([_literal(b'"'), pc.cast(pc.cast(values, pa.string()), pa.binary()), _literal(b'"')], len(values)))
    if kind.name == "decimal" and kind.scale <= 6:
        return _fill(_join([_literal(b'"'), pc.cast(pc.cast(values, pa.string()), pa.binary()), _literal(b'"')], len(values)))
    return _fill(_by_value(values, json_encoder(str(kind))))


def _json_floats(values: pa.Array) -> pa.Array:
    number = np.asarray(values.fill_null(0.0)) if values.null_count else np.asarray(values)
    positive = pa.array(number + number.dtype.type(0.0), mask=_null_mask(values))     # -0.0 + 0.0 = 0.0
    text = pc.cast(pc.cast(positive, pa.string()), pa.binary())
    if np.isfinite(number).all():
        return text
    names = pa.array([b'"NaN"', b'"Infinity"', b'"-Infinity"'], pa.binary())
    odd = pc.take(names, pa.array(np.where(np.isnan(number), 0, np.where(number > 0, 1, 2)).astype(np.int8)))
    return pc.if_else(pa.array(np.isfinite(number)), text, odd)


def _null_mask(values: pa.Array) -> Any:
    return np.asarray(values.is_null()) if values.null_count else None


def _json_strings(values: pa.Array) -> pa.Array:
    quoted = _join([_literal(b'"'), values.cast(pa.binary()), _literal(b'"')], len(values))
    plain = pc.invert(pc.match_substring_regex(values, NEEDS_ESCAPE_IN_JSON))
    return _except(quoted, plain, values, json_encoder("string"))


def _json_instants(values: pa.Array) -> pa.Array:
    check_instants(values)
    text = pc.cast(values, pa.string())                            # 2013-01-01 05:00:00.000000
    micros = np.asarray(values.view(pa.int64()).fill_null(0)) % 1_000_000
    whole, milli = pa.array(micros == 0), pa.array(micros % 1000 == 0)
    end = pc.if_else(whole, _literal(b"Z"), _join(
        [pc.if_else(milli, pc.utf8_slice_codeunits(text, 19, 23), pc.utf8_slice_codeunits(text, 19, 26)).cast(pa.binary()),
         _literal(b"Z")], len(values)))
    day, clock = pc.utf8_slice_codeunits(text, 0, 10).cast(pa.binary()), pc.utf8_slice_codeunits(text, 11, 19).cast(pa.binary())
    return _join([_literal(b'"'), day, _literal(b"T"), clock, end, _literal(b'"')], len(values))


def _json_lists(kind: Type, values: pa.Array) -> pa.Array:
    items = json_column(Type(kind.name), values.flatten())
    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items), _literal(b","))
    texts = _join([_literal(b"["), joined, _literal(b"]")], len(values))
    return pc.if_else(values.is_valid(), texts, _literal(_NULL))


def _by_value(values: pa.Array, encode: Any) -> pa.Array:
    """Encode each distinct value once, in Python."""
    coded = values.dictionary_encode()
    return pa.array([encode(v) for v in coded.dictionary.to_pylist()], pa.binary()).take(coded.indices)


def _except(encoded: pa.Array, plain: pa.Array, values: pa.Array, encode: Any) -> pa.Array:
    """`encoded` where `plain` holds, else the value encoded in Python."""
    mask = pc.invert(pc.fill_null(plain, True))
    if not pc.any(mask).as_py():
        return encoded
    return pc.replace_with_mask(encoded, mask, _by_value(values.filter(mask), encode))


def _fill(texts: pa.Array) -> pa.Array:
    return pc.fill_null(texts, _literal(_NULL)) if texts.null_count else texts


def _literal(raw: bytes) -> pa.Scalar:
    return pa.scalar(raw, pa.binary())


def _join(parts: list[Any], n: int, separator: bytes = b"") -> pa.Array:
    """Element-wise concatenation; NULL where a part is NULL."""
    if n == 0:
        return pa.array([], pa.binary())
    return pc.binary_join_element_wise(*parts, _literal(separator))
