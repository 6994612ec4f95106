"""The content hash: equal values give equal hashes however they are encoded; any difference gives another."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.training.content import content_hash

COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "b": (pa.bool_(), [True, None, False, True]), "i": (pa.int32(), [1, None, -3, 4]), "l": (pa.int64(), [1, 2, None, 2**62]),
    "f": (pa.float32(), [0.5, None, float("nan"), -1.0]), "d": (pa.float64(), [None, 1e300, float("inf"), 0.1]),
    "s": (pa.string(), ["", None, "ä", "x" * 40]), "y": (pa.binary(), [b"", None, b"\0", b"ab"]),
    "day": (pa.date32(), [date(2020, 1, 1), None, date(1969, 1, 1), date(2020, 1, 2)]),
    "t": (pa.timestamp("us"), [datetime(2020, 1, 1), None, datetime(1900, 1, 1), datetime(2030, 1, 1)]),
    "z": (pa.timestamp("us", "UTC"), [datetime(2020, 1, 1), None, None, datetime(2030, 1, 1)]),
    "n": (pa.decimal128(10, 2), [Decimal("1.10"), None, Decimal("-0.01"), Decimal("5.00")]),
    "a": (pa.list_(pa.int64()), [[1, 2], None, [], [None]]), "as": (pa.list_(pa.string()), [["a"], None, [], ["", None]]),
    "st": (
        pa.struct([("p", pa.int64()), ("q", pa.string())]),
        [{"p": 1, "q": "a"}, None, {"p": None, "q": ""}, {"p": 2, "q": None}],
    ),
}


def table(columns: dict[str, tuple[pa.DataType, list[Any]]] = COLUMNS) -> pa.Table:
    return pa.table({name: pa.array(values, type_) for name, (type_, values) in columns.items()})


def through_parquet(t: pa.Table, **options: Any) -> pa.Table:
    buffer = io.BytesIO()
    pq.write_table(t, buffer, **options)
    return pq.read_table(pa.BufferReader(buffer.getvalue()))


def test_encoding_leaves_no_trace() -> None:
    t = table()
    want = content_hash(t)
    halves = pa.concat_tables([t.slice(0, 1), t.slice(1, 2), t.slice(3)])
    wide = t.set_column(5, "s", t["s"].cast(pa.large_string())).set_column(6, "y", t["y"].cast(pa.large_binary()))
    coded = t.set_column(5, "s", t["s"].dictionary_encode())
    for other in (halves, wide, coded, through_parquet(t), through_parquet(t, row_group_size=1, compression="zstd")):
        assert content_hash(other) == want


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_change_shows(name: str) -> None:
    type_, values = COLUMNS[name]
    want = content_hash(table())
    for changed in ([*values[::-1]], [values[0], *values[:3]], [None, *values[1:]], [*values[:1], values[0], *values[2:]]):
        if changed != values:
            assert content_hash(table({**COLUMNS, name: (type_, changed)})) != want, changed
    renamed = {("renamed" if k == name else k): v for k, v in COLUMNS.items()}
    assert content_hash(table(renamed)) != want


def test_neighbours_do_not_run_together() -> None:
    assert content_hash(pa.table({"a": ["ab", "c"]})) != content_hash(pa.table({"a": ["a", "bc"]}))
    assert content_hash(pa.table({"a": [[1], [2, 3]]})) != content_hash(pa.table({"a": [[1, 2], [3]]}))
    assert content_hash(pa.table({"a": pa.array([0], pa.int64())})) != content_hash(pa.table({"a": pa.array([0], pa.int32())}))
    assert content_hash(pa.table({"a": pa.array([None], pa.int64())})) != content_hash(pa.table({"a": pa.array([0], pa.int64())}))


@settings(deadline=None, max_examples=100)
@given(rows=st.lists(st.none() | st.text(max_size=3) | st.just("x"), max_size=8), cut=st.integers(0, 8))
def test_chunks_leave_no_trace(rows: list[str | None], cut: int) -> None:
    lists = pa.array([None if r is None else [r] for r in rows], pa.list_(pa.string()))
    whole = pa.table({"s": pa.array(rows, pa.string()), "l": lists})
    assert content_hash(pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])) == content_hash(whole)
