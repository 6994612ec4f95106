"""The row: format 1 of key, header and values. Bytes are written here and nowhere else (law 5).

`key` · `values` · `row` handle one value or row and import nothing heavy; `vector` handles Arrow columns and is imported when
first used, so a serving install needs no pyarrow. The vectorised and the one-row encoder give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skewless.registry.model import View
from skewless.rows.key import KeyMaker, key_suffix, parse_key, row_key
from skewless.rows.row import (
    HEADER_SIZE,
    Header,
    Reader,
    Row,
    decode_row,
    encode_row,
    read_header,
    reencode,
    tombstone,
    values_json,
)
from skewless.rows.values import json_value

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "HEADER_SIZE", "Header", "KeyMaker", "Reader", "Row", "column", "decode_row", "encode_keys", "encode_row", "encode_rows",
    "json_value", "key_suffix", "parse_key", "read_header", "reencode", "row_key", "tombstone", "values_json",
]


def encode_keys(namespace: str, view: View, table: pa.Table) -> pa.BinaryArray:
    """The Redis key of every row of `table`, which has the join key columns. Raises SK303 for a NULL key."""
    from skewless.rows import vector

    return vector.encode_keys(namespace, view, table)


def encode_rows(view: View, table: pa.Table, stamp_us: int) -> pa.BinaryArray:
    """Header and values of every row of `table`: join keys (unused), event_timestamp, features, ingested_at.

    Equal to `encode_row` of each row. Raises SK302 for a value that the format does not hold.
    """
    from skewless.rows import vector

    return vector.encode_rows(view, table, stamp_us)


def column(values: Sequence[object], type_text: str) -> pa.Array:
    """Python values -> an Arrow column of a type of `skewless.types`."""
    import pyarrow as pa

    from skewless.types import parse_type

    return pa.array(values, parse_type(type_text).arrow())
