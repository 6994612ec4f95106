"""The row format: golden bytes, round trips of every type, keys that never collide, two encoders that agree."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless import rows
from skewless.errors import SkewlessError
from skewless.registry.model import Feature, JoinKey, Schema, View
from skewless.rows.values import float_text
from skewless.types import parse_type

EXAMPLES = 2000 if os.environ.get("SKEWLESS_SOAK") else 150
TYPES = (
    "bool", "int32", "int64", "float32", "float64", "decimal(10,2)", "decimal(38,18)", "decimal(5,0)", "string", "bytes", "date",
    "timestamp", "array<int64>", "array<float64>", "array<float32>", "array<string>",
)
INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, -1, -32, -33, 127, 128, 255, 256, 2**53, 2**63 - 1, -(2**63)]
)
FLOAT64 = st.floats(width=64) | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e10, 1e-7, 9999999999.5])
FLOAT32 = st.floats(width=32) | st.sampled_from([-0.0, math.nan, math.inf, 2.0**-96, 2.0**90, 2.0**87])
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", "null", '"', "\\", "\x00\x1f\x7f", "é😀", "a|b}{:@%"]
)
INSTANT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)) | st.sampled_from(
    [datetime(2013, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999000), datetime(1, 1, 1, 0, 0, 0, 1)]
)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Every decimal of the type, exactly."""
    top = 10**precision - 1
    return st.integers(-top, top).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -scale)))


STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(), "int32": st.integers(-(2**31), 2**31 - 1), "int64": INT64, "float32": FLOAT32, "float64": FLOAT64,
    "decimal(10,2)": decimals(10, 2), "decimal(38,18)": decimals(38, 18), "decimal(5,0)": decimals(5, 0), "string": TEXT,
    "bytes": st.binary() | st.binary(min_size=250, max_size=300), "date": st.dates(), "timestamp": INSTANT,
    "array<int64>": st.lists(st.none() | INT64), "array<float64>": st.lists(st.none() | FLOAT64),
    "array<float32>": st.lists(st.none() | FLOAT32), "array<string>": st.lists(st.none() | TEXT, max_size=20),
}
KEY_TYPES = ("bool", "int32", "int64", "string", "bytes", "date", "timestamp")


def view_of(types: tuple[str, ...], codec: str = "json", keys: tuple[str, ...] = ("string",), **more: Any) -> View:
    return View(
        name="v", entity="e", join_keys=tuple(JoinKey(f"k{i}", t) for i, t in enumerate(keys)), codec=codec,
        features=tuple(Feature(name=f"f{i}", type=t) for i, t in enumerate(types)), **more,
    )


def table_of(view: View, records: list[list[Any]], event_us: int = 5, ingested_us: int = 6) -> pa.Table:
    """One column a feature, with the two instants; keys are all "k"."""
    columns = {f.name: rows.column([r[i] for r in records], f.type) for i, f in enumerate(view.features)}
    for name, at in (("event_timestamp", event_us), ("ingested_at", ingested_us)):
        columns[name] = pa.array([at] * len(records), pa.timestamp("us"))
    return pa.table(columns)


def same(a: Any, b: Any) -> bool:
    """Equal as feature values: NaN equals NaN, 0.0 equals -0.0."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_every_type_comes_back_and_both_encoders_agree(codec: str, data: st.DataObject) -> None:
    types = tuple(data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=20)))
    view = view_of(types, codec)
    records = data.draw(st.lists(st.tuples(*(st.none() | STRATEGIES[t] for t in types)).map(list), min_size=1, max_size=6))
    table = table_of(view, records)
    encoded = rows.encode_rows(view, table, 7).to_pylist()
    arrow = list(zip(*(table.column(f.name).to_pylist() for f in view.features), strict=True))
    for record, arrow_values, raw in zip(records, arrow, encoded, strict=True):
        assert raw == rows.encode_row(view, 5, 6, record, 7)
        header, values = rows.decode_row(view, raw)
        assert header == (codec[0], view.schema.fingerprint, 5, 6, 7, False)
        assert same(values, list(arrow_values))
        assert rows.encode_row(view, 5, 6, values, 7) == raw
        assert rows.values_json(view, raw) == rows.values_json(view, rows.encode_row(view_of(types), 5, 6, record, 7))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_sliced_and_chunked_tables(codec: str) -> None:
    view = view_of(TYPES, codec)
    records = [[None if (i + j) % 3 == 0 else _sample(t, i) for j, t in enumerate(TYPES)] for i in range(20)]
    table = table_of(view, records)
    whole = rows.encode_rows(view, table, 7).to_pylist()
    assert rows.encode_rows(view, table.slice(3, 9), 7).to_pylist() == whole[3:12]
    chunked = pa.concat_tables([table.slice(0, 4), table.slice(4, 0), table.slice(4)])
    assert rows.encode_rows(view, chunked, 7).to_pylist() == whole
    assert rows.encode_rows(view, table.slice(0, 0), 7).to_pylist() == []


def _sample(type_text: str, i: int) -> Any:
    kind = parse_type(type_text)
    one = {
        "bool": i % 2 == 0, "int32": i * 1000 - 5, "int64": i * 10**15 - 7, "float32": i / 4, "float64": i / 3,
        "string": f'"{i}é', "bytes": bytes([i]), "date": date(2013, 1, 1 + i), "timestamp": datetime(2013, 1, 1, i, 0, 0, i * 37),
    }.get(kind.name, Decimal(i).scaleb(-kind.scale))
    return [one, None, one][: i % 4] if kind.array else one


GOLDEN_VALUES: dict[str, list[Any]] = {
    "bool": [True, False], "int32": [0, -(2**31)], "int64": [1, -33, 2**63 - 1, -(2**63)],
    "float32": [0.1, 3.4028234663852886e38, -0.0], "float64": [0.1, 1e10, 1e-7, -0.0, math.nan, math.inf, -math.inf, 5e-324],
    "decimal(10,2)": [Decimal("1.50"), Decimal("-0.01"), Decimal("0.00")], "decimal(38,18)": [Decimal("0.000000000000000001")],
    "decimal(5,0)": [Decimal(-12)], "string": ["", "UA", 'é"\\\n😀'], "bytes": [b"", b"\x00\xff"], "date": [date(2013, 1, 1)],
    "timestamp": [datetime(2013, 1, 1), datetime(2013, 1, 1, 5, 0, 0, 120000), datetime(1969, 12, 31, 23, 59, 59, 999999)],
    "array<int64>": [[], [1, None, -2]], "array<float64>": [[0.5, math.nan, None]], "array<float32>": [[0.1]],
    "array<string>": [["a", None, ""]],
}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_the_bytes_of_format_1(codec: str, golden: Callable[[str, str], None]) -> None:
    lines = []
    for type_text, values in GOLDEN_VALUES.items():
        view = view_of((type_text,), codec)
        for value in [*values, None]:
            raw = rows.encode_row(view, 1_357_016_400_000_000, 1_388_577_600_000_000, [value], 1_388_577_600_000_001)
            lines.append(f"{type_text:16} {value!r:42} {raw.hex()}")
    stone = rows.tombstone(view_of(("int64",), codec), 1_357_016_400_000_000, -1, 2)
    golden(f"rows/{codec}.txt", "\n".join([*lines, f"tombstone {stone.hex()}"]) + "\n")


def test_the_keys_of_format_1(golden: Callable[[str, str], None]) -> None:
    cases: list[tuple[tuple[str, ...], list[Any]]] = [
        (("string",), ["UA"]), (("string",), [""]), (("string",), ["a|b}:{%@ é/"]), (("string", "string"), ["JFK", "LAX"]),
        (("int64",), [-(2**63)]), (("bool",), [True]), (("date",), [date(2013, 1, 1)]),
        (("timestamp",), [datetime(2013, 1, 1, 5)]), (("bytes",), [b"\x00A|"]), (("int32", "string"), [5, ""]),
    ]
    lines = []
    for types, values in cases:
        key = rows.row_key("flights.dev", view_of((), keys=types), values)
        lines.append(f"{types!r:24} {values!r:44} {key.decode()}")
    golden("rows/keys.txt", "\n".join(lines) + "\n")


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_distinct_keys_never_collide(data: st.DataObject) -> None:
    types = tuple(data.draw(st.lists(st.sampled_from(KEY_TYPES), min_size=1, max_size=3)))
    hostile = st.text(st.sampled_from(list("|{}:%@ae7C"))) | TEXT
    one = st.tuples(*(hostile if t == "string" else STRATEGIES[t] for t in types))
    entities = data.draw(st.lists(one, min_size=1, max_size=8))
    view = view_of((), keys=types)
    keys = [rows.row_key("p.dev", view, entity) for entity in entities]
    assert len(set(keys)) == len(set(entities))
    table = pa.table({k.name: rows.column([e[i] for e in entities], k.type) for i, k in enumerate(view.join_keys)})
    assert rows.encode_keys("p.dev", view, table).to_pylist() == keys
    for key in keys:
        assert key.count(b"{") == key.count(b"}") == 1 and key.startswith(b"p.dev:{e|") and key.endswith(b"}:v@1")


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_a_key_as_text_or_json_is_the_typed_key(data: st.DataObject) -> None:
    type_text = data.draw(st.sampled_from(KEY_TYPES))
    value = data.draw(STRATEGIES[type_text])
    shown = rows.json_value(type_text, value)
    assert rows.parse_key(type_text, shown) == value
    if type_text in ("int32", "int64", "bool"):
        assert rows.parse_key(type_text, str(shown).lower()) == value


@pytest.mark.parametrize(("type_text", "value"), [
    ("int64", "x"), ("int64", "1.0"), ("int64", 1.0), ("int64", True), ("int64", "9223372036854775808"), ("int32", 2**31),
    ("int64", None), ("int64", " 1"), ("int64", "١"), ("bool", "yes"), ("bool", 1), ("string", 5), ("string", None),
    ("date", "2013-02-30"), ("date", 5), ("timestamp", "x"), ("bytes", "%%"), ("float64", "1.0"), ("string", ["a"]),
])
def test_a_key_of_another_type_is_refused(type_text: str, value: Any) -> None:
    with pytest.raises(SkewlessError, match="SK301"):
        rows.parse_key(type_text, value)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_rows_of_an_old_schema_are_reordered(data: st.DataObject) -> None:
    old_types = tuple(data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=6)))
    codec = data.draw(st.sampled_from(["json", "msgpack"]))
    old = view_of(old_types, codec)
    order = data.draw(st.permutations(range(len(old_types) + 1)))           # the last one is new
    features = [*old.features, Feature(name="new", type="int64")]
    view = view_of((), "json", past_schemas=(Schema(fingerprint="00" * 8, names=(), types=()), old.schema))
    view = View(**{**{f: getattr(view, f) for f in view.__struct_fields__}, "features": tuple(features[i] for i in order)})
    values = [data.draw(st.none() | STRATEGIES[t]) for t in old_types]
    raw = rows.encode_row(old, 1, 2, values, 3)
    by_name = {f.name: v for f, v in zip(old.features, rows.decode_row(old, raw).values, strict=True)}
    expected = [by_name.get(f.name) for f in view.features]
    assert same(rows.decode_row(view, raw).values, expected)
    present = rows.encode_row(view, 1, 2, expected, 3)
    assert rows.values_json(view, raw) == present[rows.HEADER_SIZE:] == rows.values_json(view, present)
    assert rows.reencode(view, raw) == present


def test_a_feature_whose_type_changed_is_null_in_old_rows() -> None:
    old = view_of(("int64",))
    view = view_of(("string",), past_schemas=(old.schema,))
    assert rows.decode_row(view, rows.encode_row(old, 1, 2, [5], 3)).values == [None]


def test_the_spliced_reply_is_the_stored_bytes() -> None:
    view = view_of(("int64", "string"))
    raw = rows.encode_row(view, 1, 2, [5, "x"], 3)
    assert rows.values_json(view, raw) == b'[5,"x"]' == raw[rows.HEADER_SIZE:]
    assert rows.values_json(view, rows.tombstone(view, 1, 2, 3)) == b"[null,null]"
    assert rows.decode_row(view, rows.tombstone(view, 1, 2, 3)).header.tombstone


@pytest.mark.parametrize("raw", [b"", b"S", b"Xj" + bytes(40), b"Sx" + bytes(40), b"\x00" * 33])
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(SkewlessError, match="SK304"):
        rows.decode_row(view_of(("int64",)), raw)


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(SkewlessError, match="SK305"):
        rows.decode_row(view_of(("int64",)), rows.encode_row(view_of(("string",)), 1, 2, ["a"], 3))


@pytest.mark.parametrize(("type_text", "value"), [
    ("int32", 2**31), ("int64", 1.5), ("bool", 1), ("string", b"x"), ("bytes", "x"), ("date", datetime(2013, 1, 1)),
    ("timestamp", date(2013, 1, 1)), ("decimal(5,2)", Decimal("1.001")), ("decimal(5,2)", Decimal(1000)),
    ("decimal(5,2)", Decimal("NaN")),
])
def test_a_value_of_another_type_is_refused(type_text: str, value: Any) -> None:
    with pytest.raises(SkewlessError, match="SK302"):
        rows.encode_row(view_of((type_text,)), 1, 2, [value], 3)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("type_text", ["timestamp", "date"])
def test_an_instant_that_rfc_3339_cannot_write_is_refused(codec: str, type_text: str) -> None:
    view = view_of((type_text,), codec)
    bits = pa.array([2**63 - 1]) if type_text == "timestamp" else pa.array([2**31 - 1], pa.int32())
    one = pa.array([1], pa.timestamp("us"))
    table = pa.table({"f0": bits.view(parse_type(type_text).arrow()), "event_timestamp": one, "ingested_at": one})
    with pytest.raises(SkewlessError, match="SK302"):
        rows.encode_rows(view, table, 1)


def test_null_keys_are_refused() -> None:
    view = view_of(())
    with pytest.raises(SkewlessError, match="SK303"):
        rows.encode_keys("p", view, pa.table({"k0": pa.array(["a", None])}))
    with pytest.raises(SkewlessError, match="SK303"):
        rows.row_key("p", view, [None])


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(FLOAT64)
def test_the_text_of_a_float_reads_back(value: float) -> None:
    if math.isfinite(value):
        text = float_text(value)
        assert float(text) == value and len(text) <= len(repr(value)) + 9
        assert pa.array([value + 0.0]).cast(pa.string()).to_pylist() == [text]


@settings(max_examples=EXAMPLES * 5, deadline=None)
@given(FLOAT32)
def test_the_text_of_a_float32_reads_back(value: float) -> None:
    if math.isfinite(value):
        text = float_text(value, single=True)
        assert struct.unpack("f", struct.pack("f", float(text)))[0] == value
        assert pa.array([value + 0.0], pa.float32()).cast(pa.string()).to_pylist() == [text]


def test_reading_rows_needs_no_arrow() -> None:
    code = (
        "import sys; sys.modules.update(pyarrow=None, numpy=None, duckdb=None, sqlalchemy=None)\n"
        "from skewless.rows import *; import skewless.online\n"
        "from skewless.registry.model import *\n"
        "v = View(name='v', entity='e', join_keys=(JoinKey('k', 'string'),), features=(Feature(name='a', type='float32'),))\n"
        "print(values_json(v, encode_row(v, 1, 2, [0.1], 3)).decode(), row_key('p', v, ['x']).decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[0.1] p:{e|x}:v@1\n"
