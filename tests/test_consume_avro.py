"""Avro by columns = Avro by records, on every type; what is broken is told, and takes nothing else with it."""

from __future__ import annotations

import io
import math
import os
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from fastavro import parse_schema, schemaless_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless import messages
from skewless.clock import EPOCH
from skewless.registry.model import Feature, JoinKey, View
from skewless.sync.avro import Decoder
from skewless.types import parse_type
from tests.feature_messages import body

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
SCALARS = {
    "bool": st.booleans(), "int32": st.integers(-(2**31), 2**31 - 1), "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32), "float64": st.floats(),
    "decimal(10,2)": st.decimals(min_value=Decimal("-99999999.99"), max_value=Decimal("99999999.99"), places=2),
    "decimal(38,9)": st.decimals(min_value=Decimal(-(10**28)), max_value=Decimal(10**28), places=9),
    "string": st.text(max_size=200), "bytes": st.binary(max_size=200), "date": st.dates(),
    "timestamp": st.datetimes(),
}
ARRAYS = {
    "array<int64>": st.lists(st.none() | SCALARS["int64"], max_size=5),
    "array<string>": st.lists(st.none() | st.text(), max_size=5),
    "array<float64>": st.lists(st.none() | st.floats(), max_size=5),
}
MILLISECONDS = st.integers(-62_135_596_800_000, 253_402_300_799_999)


def view_of(types: tuple[str, ...], keys: tuple[str, ...] = ("string", "int64")) -> View:
    return View(
        name="v", entity="e", join_keys=tuple(JoinKey(f"k{i}", t) for i, t in enumerate(keys)),
        features=tuple(Feature(name=f"f{i}", type=t) for i, t in enumerate(types)),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[View, list[list[Any]]]:
    every = {**SCALARS, **(ARRAYS if draw(st.integers(0, 3)) == 0 else {})}
    types = tuple(draw(st.lists(st.sampled_from(sorted(every)), max_size=6)))
    keys = tuple(draw(st.lists(st.sampled_from(["bool", "int32", "int64", "string", "bytes", "date", "timestamp"]), min_size=1,
                               max_size=3)))
    row = st.tuples(*(SCALARS[k] for k in keys), MILLISECONDS, *(st.none() | every[t] for t in types)).map(list)
    return view_of(types, keys), draw(st.lists(row, max_size=12))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b


@settings(max_examples=2000 if SOAK else 120)
@given(cases())
def test_columns_hold_what_was_written(case: tuple[View, list[list[Any]]]) -> None:
    view, rows = case
    found = Decoder(view, view.schema).decode([body(view, row) for row in rows])
    assert not found.faults and found.places.tolist() == list(range(len(rows)))
    at = len(view.join_keys)
    for row, got in zip(rows, found.rows.to_pylist(), strict=True):
        row = [*row[:at], EPOCH + timedelta(milliseconds=row[at]), *row[at + 1 :]]
        assert all(map(same, got.values(), row)), (got, row)
    for feature in view.features:
        assert found.rows.schema.field(feature.name).type == parse_type(feature.type).arrow()


@settings(max_examples=3000 if SOAK else 200)
@given(st.data())
def test_broken_bodies_are_judged_as_fastavro_judges_them(data: st.DataObject) -> None:
    view = view_of(("int64", "float64", "string", "bool"), ("string",))
    good = body(view, ["key", 1_700_000_000_000, 5, 0.5, "text", True])
    bodies = []
    for _ in range(data.draw(st.integers(1, 6))):
        raw = bytearray(good)
        for _ in range(data.draw(st.integers(0, 3))):
            kind = data.draw(st.sampled_from(["flip", "cut", "add"]))
            if kind == "flip" and raw:
                raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
            elif kind == "cut":
                del raw[data.draw(st.integers(0, len(raw))) :]
            else:
                raw += data.draw(st.binary(max_size=4))
        bodies.append(bytes(raw))
    found = Decoder(view, view.schema).decode(bodies)
    assert sorted([*found.places.tolist(), *found.faults]) == list(range(len(bodies)))
    schema: Any = parse_schema(messages.avro_schema(view))
    rows = dict(zip(found.places.tolist(), found.rows.to_pylist(), strict=True))
    for at, raw in enumerate(bodies):
        stream = io.BytesIO(raw)
        try:
            wanted: Any = schemaless_reader(stream, schema)
            sound = stream.tell() == len(raw)
        except Exception:
            sound = False
        assert (at in rows) == sound, (raw, found.faults.get(at))
        if sound:
            assert all(same(rows[at][n], wanted[n]) for n in wanted), (rows[at], wanted)


def test_faults_say_what_is_wrong() -> None:
    view = view_of(("timestamp", "date", "decimal(4,2)"), ("int32",))
    good = [1, 0, datetime(2026, 1, 1), date(2026, 1, 1), Decimal("1.50")]
    decoder = Decoder(view, view.schema)
    moment = "2026-01-01 00:00:00.000000"
    wide = body(view_of(("string", "int32", "decimal(9,2)"), ("int64",)), [2**40, 0, moment, 0, Decimal("1")])
    late = body(view_of(("string", "int32", "decimal(4,2)"), ("int32",)), [1, 0, "yesterday", 0, Decimal("1")])
    far = body(view_of(("string", "int32", "decimal(4,2)"), ("int32",)), [1, 0, None, 2**30, Decimal("1")])
    big = body(view_of(("string", "int32", "decimal(9,2)"), ("int32",)), [1, 0, None, None, Decimal("99999.00")])
    found = decoder.decode([body(view, good), wide, late, far, b"", body(view, good) + b"x", big])
    assert found.places.tolist() == [0] and found.rows.num_rows == 1
    assert found.faults == {
        1: "k0 is not a value of type int32", 2: "f0 is not a value of type timestamp", 3: "f1 is not a value of type date",
        4: "not a record of its schema (EOFError)", 5: "1 bytes follow the record",
        6: "f2 is not a value of type decimal(4,2)",
    }


def test_nothing_gives_an_empty_table() -> None:
    view = view_of(("int64",))
    found = Decoder(view, view.schema).decode([])
    assert found.rows.column_names == ["k0", "k1", "event_timestamp", "f0"] and found.rows.num_rows == 0
    assert np.array_equal(found.places, [])
