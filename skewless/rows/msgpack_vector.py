"""Arrow column -> the msgpack bytes of every value. Equal to `values.msgpack_encoder`.

A column becomes a matrix of bytes, one left-aligned row a value, and the lengths; the mask `column < length` flattens it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.rows.bounds import check_days, check_instants
from skewless.rows.values import CANONICAL_NAN32, CANONICAL_NAN64, msgpack_encoder
from skewless.types import Type

NIL = 0xC0
_INT_STEPS = (          # least value, greatest value, marker (None: the value itself), payload bytes; from wide to narrow
    (-(2**63), -(2**31) - 1, 0xD3, 8), (-(2**31), -(2**15) - 1, 0xD2, 4), (-(2**15), -(2**7) - 1, 0xD1, 2),
    (-(2**7), -33, 0xD0, 1), (-32, 127, None, 0), (128, 2**8 - 1, 0xCC, 1), (2**8, 2**16 - 1, 0xCD, 2),
    (2**16, 2**32 - 1, 0xCE, 4), (2**32, 2**63 - 1, 0xCF, 8),
)


def msgpack_column(kind: Type, values: pa.Array) -> pa.Array:
    """The msgpack bytes of every value, nil for NULL."""
    if kind.array or kind.name == "decimal":
        return _by_value(values, msgpack_encoder(str(kind)))
    if kind.name in ("string", "bytes"):
        return _texts(kind, values)
    valid = np.asarray(values.is_valid())
    if kind.name == "bool":
        bits = np.asarray(values.fill_null(False))
        marks = np.where(valid, np.where(bits, 0xC3, 0xC2), NIL).astype(np.uint8)
        return _flatten(marks.reshape(-1, 1), np.ones(len(values), int))
    if kind.name in ("float32", "float64"):
        return _floats(kind, values, valid)
    if kind.name == "timestamp":
        check_instants(values)
        return _ints(np.asarray(values.view(pa.int64()).fill_null(0)), valid)
    if kind.name == "date":
        check_days(values)
        return _ints(np.asarray(values.view(pa.int32()).fill_null(0)).astype(np.int64), valid)
    return _ints(np.asarray(values.fill_null(0)).astype(np.int64), valid)


def _ints(numbers: Any, valid: Any) -> pa.Array:
    if not len(numbers):
        return pa.array([], pa.binary())
    low, high = int(numbers.min()), int(numbers.max())
    matrix = np.zeros((len(numbers), 9), np.uint8)
    lengths = np.ones(len(numbers), np.int64)
    for least, greatest, marker, size in _INT_STEPS:
        if greatest < low or least > high:
            continue
        here = (numbers >= least) & (numbers <= greatest) if least > low or greatest < high else slice(None)
        if marker is None:
            matrix[here, 0] = numbers[here].astype(np.int8).view(np.uint8)
            continue
        chosen = np.ascontiguousarray(numbers[here]).astype(">i8")
        matrix[here, 0] = marker
        matrix[here, 1 : 1 + size] = chosen.view(np.uint8).reshape(-1, 8)[:, 8 - size :]
        lengths[here] = 1 + size
    return _flatten(*_nil(matrix, lengths, valid))


def _floats(kind: Type, values: pa.Array, valid: Any) -> pa.Array:
    dtype, marker, nan = (">f4", 0xCA, CANONICAL_NAN32) if kind.name == "float32" else (">f8", 0xCB, CANONICAL_NAN64)
    numbers = np.asarray(values.fill_null(0.0)) + values.type.to_pandas_dtype()(0.0)
    size = np.dtype(dtype).itemsize
    matrix = np.empty((len(numbers), 1 + size), np.uint8)
    matrix[:, 0] = marker
    matrix[:, 1:] = numbers.astype(dtype).view(np.uint8).reshape(-1, size)
    matrix[np.isnan(numbers), 1:] = np.frombuffer(nan, np.uint8)
    return _flatten(*_nil(matrix, np.full(len(numbers), 1 + size), valid))


def _nil(matrix: Any, lengths: Any, valid: Any) -> tuple[Any, Any]:
    if not valid.all():
        matrix[~valid, 0] = NIL
        lengths = np.where(valid, lengths, 1)
    return matrix, lengths


def _flatten(matrix: Any, lengths: Any) -> pa.Array:
    n = len(lengths)
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    if n and (lengths == matrix.shape[1]).all():
        data = np.ascontiguousarray(matrix).reshape(-1)
    else:
        data = matrix[np.arange(matrix.shape[1]) < np.asarray(lengths)[:, None]]
    return pa.BinaryArray.from_buffers(pa.binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _texts(kind: Type, values: pa.Array) -> pa.Array:
    raw = values.cast(pa.binary())
    lengths = np.asarray(pc.fill_null(pc.binary_length(raw), 0)).astype(np.int64)
    if len(lengths) and lengths.max() > 65535:
        return _by_value(values, msgpack_encoder(str(kind)))
    short, byte, word = (32, 0xD9, 0xDA) if kind.name == "string" else (0, 0xC4, 0xC5)
    matrix = np.zeros((len(lengths), 3), np.uint8)
    is_short, is_word = lengths < short, lengths > 255
    matrix[:, 0] = np.where(is_short, 0xA0 | (lengths & 31), np.where(is_word, word, byte))
    matrix[:, 1] = np.where(is_word, lengths >> 8, lengths & 255)
    matrix[:, 2] = lengths & 255
    head = _flatten(matrix, np.where(is_short, 1, np.where(is_word, 3, 2)))
    if not len(lengths):
        return head
    whole = pc.binary_join_element_wise(head, raw, pa.scalar(b"", pa.binary()))
    return pc.fill_null(whole, pa.scalar(bytes([NIL]), pa.binary()))


def _by_value(values: pa.Array, encode: Any) -> pa.Array:
    return pa.array([encode(v) for v in values.to_pylist()], pa.binary())
