"""The three engines behind one interface: what agrees is seen as equal in every bit, what differs is seen as different."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Context, Decimal

import pytest

from skewless.conformance.engines import Engine
from skewless.conformance.table import Table
from skewless.conformance.values import Rows, canonical, compare
from skewless.errors import SkewlessError
from skewless.types import parse_type

NAN, INF = float("nan"), float("inf")
COLUMNS = {
    "o": "int32", "i": "int32", "l": "int64", "f": "float32", "d": "float64", "n": "decimal(10,2)", "w": "decimal(38,10)",
    "s": "string", "y": "bytes", "b": "bool", "dt": "date", "ts": "timestamp", "t": "timestamp", "a": "array<float64>",
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


ROWS = [
    (1, 3, 2**53 + 1, 0.1, -0.0, Decimal("99999999.99"), Decimal("1234567890123456789012345678.0123456789"), "Àéß", b"\x00\xff",
     True, date(2024, 2, 29), at("2024-03-31 02:30:00.000001"), at("2026-01-01 00:00:00"), [1.5, -0.0]),
    (2, -2147483648, -2**63, 1e30, 1.005, Decimal("-0.05"), Decimal("-0.0000000001"), "日本語テキスト", b"", False,
     date(1969, 12, 31), at("1969-12-31 23:59:59.500000"), at("2026-01-01 00:00:00"), []),
    (3, 2147483647, 2**63 - 1, -0.0, NAN, Decimal("0.00"), Decimal("0"), "", b"\n\\", None, date(1, 1, 1),
     at("9999-12-31 23:59:59.999999"), at("2026-01-01 00:00:00.001"), [NAN, None, INF]),
    (4, None, None, None, None, None, None, None, None, None, None, None, at("2026-01-01 00:05:00"), None),
    (5, 0, 0, NAN, INF, Decimal("1.10"), Decimal("1.1"), "  pad İﬁ😀\u2028\n\t\"\\ ", b"abc", True, date(2026, 12, 31),
     at("2026-12-31 23:59:59.999"), at("2026-01-01 00:15:00"), [5e-324]),
    (6, 7, 5, 3.4028235e38, -INF, Decimal("2.50"), Decimal("2.5"), "%_", b"x", False, date(2020, 1, 1), at("2020-01-01 00:00:00"),
     at("2026-01-01 01:15:00"), [1e300]),
    (7, 7, 5, 1.5, 5e-324, Decimal("3.50"), Decimal("3.5"), "NULL", b"x", False, date(2020, 1, 1), at("2020-01-01 00:00:00"),
     at("2026-01-01 01:15:00"), [0.1]),
]
TABLE = Table({name: parse_type(kind) for name, kind in COLUMNS.items()}, ROWS, event_time="t")
TABLES = {"v": TABLE}

AGREE = {
    **{f"column {name}": f"SELECT o, {name} FROM v" for name in COLUMNS},
    "all columns": "SELECT * FROM v",
    "a literal": "SELECT o, CAST('x' AS VARCHAR(10)) AS x FROM v",
    "no row": "SELECT o FROM v WHERE i = 4",
    "equal rows": "SELECT i, l FROM v",
    "decimal plus": "SELECT o, n + n AS x FROM v",
    "double plus": "SELECT o, d + d AS x FROM v WHERE d < 1e300",
    "coalesce": "SELECT o, COALESCE(i, 5) AS x FROM v",
    "unbounded aggregate": "SELECT b, COUNT(*) AS x, MAX(l) AS y FROM v GROUP BY b",
    "length": "SELECT o, CHAR_LENGTH(s) AS x FROM v",
    "substring": "SELECT o, SUBSTRING(s FROM 2 FOR 3) AS x FROM v",
    "range over": (
        "SELECT o, COUNT(*) OVER (PARTITION BY b ORDER BY t"
        " RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW) AS x FROM v"
    ),
}
DIFFER = {   # name: (query, the pair that differs, at the level agree or already at value)
    "integer division": ("SELECT o, i / 2 AS x FROM v WHERE i = 7", "duckdb", "flink", "value"),
    "average of integers": ("SELECT AVG(i) AS x FROM v WHERE i > 0 AND i < 9 OR i = 0", "postgres", "flink", "value"),
    "sum of integers": ("SELECT SUM(i) AS x FROM v WHERE i > 2147483640 OR i = 7", "duckdb", "flink", "value"),
    "scale of a product": ("SELECT o, n * CAST(1.0 AS DECIMAL(2,1)) / 1 AS x FROM v WHERE o = 6", "postgres", "flink", "agree"),
    "bigint sum is a decimal": ("SELECT SUM(l) AS x FROM v WHERE l = 5", "postgres", "duckdb", "agree"),
    "greatest with NULL": ("SELECT o, GREATEST(i, 1) AS x FROM v WHERE o = 4", "postgres", "flink", "value"),
    "order of emoji": ("SELECT o, s < '\uffee' AS x FROM (SELECT o, '😀' AS s FROM v) z", "postgres", "flink", "value"),
    "double to integer": ("SELECT o, CAST(d + 0.5 AS INT) AS x FROM v WHERE o = 2", "duckdb", "flink", "value"),
    "bool to text": ("SELECT o, CAST(b AS VARCHAR(5)) AS x FROM v", "duckdb", "flink", "value"),
    "NaN is the greatest": ("SELECT o, d > CAST(1 AS DOUBLE) AS x FROM v WHERE o = 3", "duckdb", "flink", "value"),
    "rounding to milliseconds": ("SELECT o, CAST(ts AS TIMESTAMP(3)) AS x FROM v WHERE o = 3", "duckdb", "flink", "value"),
}


def answers(engines: dict[str, Engine], queries: list[str], **more: int) -> list[dict[str, Rows | SkewlessError]]:
    by_engine = {name: engine.run_many(TABLES, queries, **more) for name, engine in engines.items()}
    return [{name: found[n] for name, found in by_engine.items()} for n in range(len(queries))]


@pytest.mark.parametrize("parallelism", [1, 2])
def test_what_agrees_is_equal_in_every_bit(engines: dict[str, Engine], parallelism: int) -> None:
    for name, found in zip(AGREE, answers(engines, list(AGREE.values()), parallelism=parallelism), strict=True):
        for other in ("postgres", "flink"):
            left, right = found["duckdb"], found[other]
            assert isinstance(left, Rows) and isinstance(right, Rows), f"{name}: {left} {right}"
            assert compare(left, right) == [], f"{name} on {other}"
            assert compare(left, right, level="value") == []


def test_the_rows_that_come_back_are_the_rows_that_went_in(engines: dict[str, Engine]) -> None:
    """Against the Python values, so that three equal mistakes are found too."""
    single = [kind == "float32" for kind in COLUMNS.values()]
    wanted = Rows(
        tuple(COLUMNS), (), [tuple(canonical(v, single=one) for v, one in zip(row, single, strict=True)) for row in wide()]
    )
    for name, engine in engines.items():
        assert compare(wanted, engine.run(TABLES, "SELECT * FROM v"), key=["o"]) == [], name


def wide() -> list[tuple[object, ...]]:
    """The rows with each decimal at its column's scale."""
    scales = {n: parse_type(kind).scale for n, kind in enumerate(COLUMNS.values()) if kind.startswith("decimal")}
    quantize = Context(prec=50).quantize
    return [
        tuple(
            quantize(v, Decimal(1).scaleb(-scales[n])) if n in scales and isinstance(v, Decimal) else v for n, v in enumerate(row)
        )
        for row in ROWS
    ]


def test_what_differs_is_seen(engines: dict[str, Engine]) -> None:
    for name, found in zip(DIFFER, answers(engines, [query for query, *_ in DIFFER.values()]), strict=True):
        _, one, other, level = DIFFER[name]
        left, right = found[one], found[other]
        assert isinstance(left, Rows) and isinstance(right, Rows), f"{name}: {left} {right}"
        assert compare(left, right), name
        assert bool(compare(left, right, level="value")) == (level == "value"), f"{name}: {left.rows} {right.rows}"


def test_a_query_that_fails_does_not_touch_its_neighbours(engines: dict[str, Engine]) -> None:
    by_zero = "SELECT o / (i - i) AS x FROM v WHERE i = 7"
    queries = ["SELECT o FROM v", "SELECT nix FROM v", by_zero, "SELECT COUNT(*) AS x FROM v"]
    for name, engine in engines.items():
        good, unknown, zero, count = engine.run_many(TABLES, queries)
        assert isinstance(good, Rows) and len(good.rows) == len(ROWS), name
        assert isinstance(unknown, SkewlessError) and unknown.code == "SK801", name
        assert isinstance(count, Rows) and count.rows == [("i:7",)], name
        if name != "duckdb":        # where division by zero is NULL
            assert isinstance(zero, SkewlessError) and zero.code == ("SK802" if name == "flink" else "SK801")


def test_setup_is_for_one_call(engines: dict[str, Engine]) -> None:
    for name, engine in engines.items():
        assert engine.run(TABLES, "SELECT o FROM up", setup=["CREATE VIEW up AS SELECT o FROM v WHERE o > 5"]).rows, name
        with pytest.raises(SkewlessError) as caught:
            engine.run(TABLES, "SELECT o FROM up")
        assert caught.value.code == "SK801"
        with pytest.raises(SkewlessError):
            engine.run(TABLES, "SELECT 1 AS x", setup=["CREATE VIEW up AS SELECT nix FROM v"])
        assert len(engine.run(TABLES, "SELECT o FROM v").rows) == len(ROWS), name


def test_flink_drops_a_row_behind_the_watermark_and_the_warehouses_do_not(engines: dict[str, Engine]) -> None:
    rows = [(1, at("2026-01-01 10:00:00")), (2, at("2026-01-01 12:00:00")), (3, at("2026-01-01 10:00:00"))]
    columns = {"o": parse_type("int32"), "t": parse_type("timestamp")}
    query = "SELECT COUNT(*) OVER (ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS x FROM late"
    strict, lenient = Table(columns, rows, event_time="t"), Table(columns, rows, event_time="t", watermark="t - INTERVAL '1' DAY")
    assert len(engines["flink"].run({"late": strict}, query).rows) == 2
    assert len(engines["flink"].run({"late": lenient}, query).rows) == 3
    assert len(engines["duckdb"].run({"late": strict}, query).rows) == 3


def test_a_changelog_that_takes_rows_back_ends_in_the_last_values(flink: Engine) -> None:
    rows = flink.run(TABLES, "SELECT b, COUNT(*) AS x FROM v GROUP BY b", parallelism=2).rows
    assert sorted(rows, key=str) == sorted([("b:true", "i:2"), ("b:false", "i:3"), (None, "i:2")], key=str)


@pytest.mark.parametrize(("one", "other", "same_value"), [
    (0.0, -0.0, True), (1, Decimal(1), True), (1, 1.0, True), (Decimal("1.0"), Decimal("1.00"), True),
    (0.1, Decimal("0.1"), False), (NAN, NAN, True), (NAN, None, False), (INF, -INF, False), (1, True, False), ("1", 1, False),
    (date(2026, 1, 1), at("2026-01-01"), False),
    (at("2026-01-01"), at("2026-01-01T00:00:00+00:00"), True), (math.nextafter(1.0, 2.0), 1.0, False), (b"a", "a", False),
    ("é", "e\u0301", False), (0, -0.0, True), (1e300, Decimal(1e300), True), (10, Decimal("1E+1"), True),
    (at("2026-01-01 00:00:00.000001"), at("2026-01-01"), False),
])
def test_cells(one: object, other: object, same_value: bool) -> None:
    left, right = Rows(("x",), ("",), [(canonical(one),)]), Rows(("x",), ("",), [(canonical(other),)])
    strictly = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    assert (compare(left, right) == []) == strictly
    assert (compare(left, right, level="value") == []) == same_value


def test_comparison_counts_rows_and_names_the_column() -> None:
    def rows(*values: tuple[str | None, ...]) -> Rows:
        return Rows(("k", "x"), ("", ""), list(values))

    a, b, c = ("i:1", "i:1"), ("i:2", "i:2"), ("i:2", "i:3")
    assert compare(rows(a, b), rows(b, a)) == []
    assert [(m.what, m.row) for m in compare(rows(a, a), rows(a))] == [("missing", a)]
    assert [(m.what, m.row) for m in compare(rows(a), rows(a, a))] == [("extra", a)]
    (found,) = compare(rows(a, b), rows(a, c), key=["k"])
    assert (found.what, found.column, found.left, found.right) == ("value", "x", "i:2", "i:3")
    assert compare(rows(), Rows(("k",), ("",), []))[0].what == "columns"
