"""The portable macros against a naive oracle, bit for bit, on every warehouse; and what they refuse."""

from __future__ import annotations

import math
import os
import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skewless.conformance.engines import DuckDB, Engine
from skewless.conformance.table import Table
from skewless.conformance.values import Rows, canonical, compare
from skewless.sql.analysis import analyse
from skewless.sql.value import Value, relation
from skewless.stream.lower import lower
from skewless.types import Type, parse_type
from tests import pit_project as pit
from tests.macro_text import render

EXAMPLES = 1500 if os.environ.get("SKEWLESS_SOAK") else 40
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
ZERO = datetime(2026, 1, 1)
Row = dict[str, Any]


class Warehouse:
    """Runs queries with `{{ skewless.… }}` calls on one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, tables: dict[str, tuple[str, list[tuple[Any, ...]]]], sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query in canonical form (the type's letter, the bits), sorted. A table is its columns and its rows."""
        given = {name: Table(columns(types), rows) for name, (types, rows) in tables.items()}
        return sorted(self.engine.run(given, render(sql, self.engine.name)).rows, key=str)


def columns(types: str) -> dict[str, Type]:
    """`k int64, ts timestamp` as a dict."""
    return {name: parse_type(kind) for name, kind in re.findall(r"(\w+) ([a-z0-9]+(?:\([0-9,]+\))?)", types)}


def cells(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Python rows in the same form."""
    return sorted((tuple(canonical(value) for value in row) for row in rows), key=str)


@pytest.fixture(params=["duckdb", "postgres"])
def engine(request: pytest.FixtureRequest) -> Warehouse:
    return Warehouse(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def duckdb() -> Iterator[DuckDB]:
    with DuckDB() as engine:
        yield engine


# ---- the oracle: numbers

TYPES = "k int32, ts timestamp, x float64, i int32, b int64, d decimal(18,4)"
DOUBLES = st.none() | st.one_of(
    st.integers(-10**6, 10**6).map(lambda n: n / 100), st.floats(-1e6, 1e6), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 0.005, 1.005, 2.675, -2.5, 9007199254.0, 9007199255.0, 1e300, 5e-324, 0.49999999999999994]),
)
ROWS = st.lists(st.tuples(
    st.integers(1, 2), st.integers(0, 40).map(lambda n: ZERO + timedelta(seconds=n * 30)), DOUBLES,
    st.none() | st.integers(-2**31, 2**31 - 1), st.none() | st.integers(-2**63, 2**63 - 1) | st.integers(-100, 100),
    st.none() | st.integers(-10**18 + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-4)),
), max_size=14)


def units(x: Any, digits: int, most: int = 2**53) -> int | None:
    """A number in units of 10^-digits, half up, NULL where there is none."""
    limit = most // 10**digits - 1
    if x is None or not -limit <= float(x) <= limit:
        return None
    return math.floor(float(x) * float(10**digits) + 0.5)


def sum_fixed(values: list[Any], digits: int) -> float | None:
    known = [units(v, digits) for v in values if v is not None]
    return None if not known or None in known else float(sum(known)) / float(10**digits)  # type: ignore[arg-type]


def avg_fixed(values: list[Any], digits: int) -> float | None:
    known = [units(v, digits) for v in values if v is not None]
    return None if not known or None in known else float(sum(known)) / (float(10**digits) * float(len(known)))  # type: ignore[arg-type]


def avg_exact(values: list[Any]) -> float | None:
    known = [Fraction(v) for v in values if v is not None]
    return float(sum(known)) / float(len(known)) if known else None


def var_exact(values: list[Any], digits: int, sample: bool = False) -> float | None:
    found = [units(v, digits, 10**15) for v in values if v is not None]
    known = [u for u in found if u is not None]
    n, total, squares = len(found), sum(known), sum(u * u for u in known)
    if len(known) < n or not n or abs(total) >= 10**18 or squares >= 10**27 or (sample and n == 1):
        return None
    return float(n * squares - total * total) / (float(n) * float(n - 1 if sample else n) * float(10 ** (2 * digits)))


def stddev_exact(values: list[Any], digits: int) -> float | None:
    variance = var_exact(values, digits)
    return None if variance is None else math.sqrt(variance)


AGGREGATES: dict[str, tuple[str, str, Callable[[list[Any]], Any]]] = {
    "sum 2": ("sum_fixed('x', 2{})", "x", lambda v: sum_fixed(v, 2)),
    "sum 6": ("sum_fixed('x', 6{})", "x", lambda v: sum_fixed(v, 6)),
    "sum of decimals": ("sum_fixed('d', 4{})", "d", lambda v: sum_fixed(v, 4)),
    "mean 3": ("avg_fixed('x', 3{})", "x", lambda v: avg_fixed(v, 3)),
    "mean of int": ("avg_exact('i'{})", "i", avg_exact),
    "mean of bigint": ("avg_exact('b'{})", "b", avg_exact),
    "mean of decimal": ("avg_exact('d'{})", "d", avg_exact),
    "variance": ("var_exact('x', 2{})", "x", lambda v: var_exact(v, 2)),
    "variance of int": ("var_exact('i', 0{})", "i", lambda v: var_exact(v, 0)),
    "variance of a sample": ("var_exact('x', 1, sample=true{})", "x", lambda v: var_exact(v, 1, sample=True)),
    "deviation": ("stddev_exact('x', 2{})", "x", lambda v: stddev_exact(v, 2)),
}
COLUMNS = ["k", "ts", "x", "i", "b", "d"]


def select(over: str = "", where: str = "") -> str:
    extra = (f", over='{over}'" if over else "") + (f", where='{where}'" if where else "")
    return ", ".join(f"{{{{ skewless.{call.format(extra)} }}}}" for call, _, _ in AGGREGATES.values())


def naive(rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(f([row[COLUMNS.index(column)] for row in rows]) for _, column, f in AGGREGATES.values())


@quick
@given(ROWS)
def test_aggregates_of_groups(engine, rows) -> None:
    got = engine.run({"t": (TYPES, rows)}, f"select k, {select()} from t group by k")
    want = [(k, *naive([r for r in rows if r[0] == k])) for k in sorted({r[0] for r in rows})]
    assert got == cells(want)


@quick
@given(ROWS)
def test_aggregates_of_some_rows(engine, rows) -> None:
    got = engine.run({"t": (TYPES, rows)}, f"select k, {select(where='i > 0')} from t group by k")
    chosen = [r if r[3] is not None and r[3] > 0 else (r[0], *[None] * 5) for r in rows]
    want = [(k, *naive([r for r in chosen if r[0] == k])) for k in sorted({r[0] for r in rows})]
    assert got == cells(want)


@quick
@given(ROWS)
def test_aggregates_over_windows(engine, rows) -> None:
    rows = [(*r, n) for n, r in enumerate(rows)]
    window = "(partition by k order by ts range between interval 5 minute preceding and current row)".replace(" 5 ", " ''5'' ")
    text = f"select n, {select(over=window.replace(chr(39) * 2, chr(92) + chr(39)))} from t"
    got = engine.run({"t": (TYPES + ", n int32", rows)}, text)
    want = [
        (n, *naive([o for o in rows if o[0] == k and ts - timedelta(minutes=5) <= o[1] <= ts])) for k, ts, *_, n in rows
    ]
    assert got == cells(want)


def test_the_order_of_addition_does_not_matter(engine) -> None:
    draw = random.Random(5)
    rows = [(1, ZERO, draw.uniform(-1e6, 1e6), None, None, None) for _ in range(2_000)]
    seen = set()
    for _ in range(3):
        draw.shuffle(rows)
        text = "select {{ skewless.sum_fixed('x', 4) }}, {{ skewless.stddev_exact('x', 4) }} from t"
        seen.add(engine.run({"t": (TYPES, rows)}, text)[0])
    assert seen == set(cells([(sum_fixed([r[2] for r in rows], 4), stddev_exact([r[2] for r in rows], 4))]))


# ---- scalars

SCALARS: dict[str, tuple[str, Callable[..., Any]]] = {
    "ratio": ("ratio('i', 'b')", lambda x, i, b, d: None if i is None or not b else float(i) / float(b)),
    "int_divide": ("int_divide('b', 'i')", lambda x, i, b, d: None if b is None or not i else int(Fraction(b, i))),
    "round_half_up": ("round_half_up('x', 2)", lambda x, i, b, d: half_up(x, 2)),
    "round_half_up 0": ("round_half_up('x')", lambda x, i, b, d: half_up(x, 0)),
    "to_decimal": ("to_decimal('x', 2)", lambda x, i, b, d: scaled(units(x, 2, 10**15), 2)),
    "to_decimal 0": ("to_decimal('x', 0)", lambda x, i, b, d: scaled(units(x, 0, 10**15), 0)),
    "to_decimal 9": ("to_decimal('x', 9)", lambda x, i, b, d: scaled(units(x, 9, 10**15), 9)),
    "to_bigint": ("to_bigint('x')", lambda x, i, b, d: math.floor(x) if x is not None and abs(x) <= 2**53 else None),
    "plus_zero": ("plus_zero('x')", lambda x, i, b, d: 0.0 if x == 0 else x),
    "bool_text": ("bool_text('i > 0')", lambda x, i, b, d: None if i is None else "true" if i > 0 else "false"),
    "bool_int": ("bool_int('i > 0')", lambda x, i, b, d: None if i is None else int(i > 0)),
}


def half_up(x: float | None, digits: int) -> float | None:
    unit = units(x, digits)
    return x if unit is None else float(unit) / float(10**digits)


def scaled(unit: int | None, digits: int) -> Decimal | None:
    return None if unit is None else Decimal(unit).scaleb(-digits)


@quick
@given(ROWS)
def test_scalars(engine, rows) -> None:
    rows = [(*r, n) for n, r in enumerate(rows) if not (r[4] == -2**63 and r[3] == -1)]
    calls = ", ".join(f"{{{{ skewless.{call} }}}}" for call, _ in SCALARS.values())
    got = engine.run({"t": (TYPES + ", n int32", rows)}, f"select n, {calls} from t")
    want = [(n, *[f(*r[2:6]) for _, f in SCALARS.values()]) for *r, n in rows]
    assert got == cells(want)


INSTANTS = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))
UNITS = {"millisecond": 10**3, "second": 10**6, "minute": 60 * 10**6, "hour": 3600 * 10**6, "day": 86400 * 10**6}


@quick
@given(st.lists(st.tuples(INSTANTS, INSTANTS), max_size=8))
def test_time(engine, pairs) -> None:
    rows = [(n, a, b) for n, (a, b) in enumerate(pairs)]
    calls = ", ".join(f"{{{{ skewless.{unit}s_between('a', 'b') }}}}" for unit in [*UNITS, "month"])
    got = engine.run(
        {"t": ("n int32, a timestamp, b timestamp", rows)},
        f"select n, {calls}, {{{{ skewless.week_start('a') }}}} from t",
    )
    assert got == cells([(n, *between(a, b), None if a is None else monday(a)) for n, a, b in rows])


def between(a: datetime | None, b: datetime | None) -> list[int | None]:
    if a is None or b is None:
        return [None] * (len(UNITS) + 1)
    us = [(t - datetime(1970, 1, 1)) // timedelta(microseconds=1) for t in (a, b)]
    return [us[1] // unit - us[0] // unit for unit in UNITS.values()] + [(b.year - a.year) * 12 + b.month - a.month]


def monday(at: datetime) -> datetime:
    return datetime(at.year, at.month, at.day) - timedelta(days=at.weekday())


# ---- windows

MOMENTS = st.integers(0, 30).map(lambda n: ZERO + timedelta(minutes=n * 5))
ANY_MOMENT = MOMENTS | MOMENTS | st.datetimes(datetime(1970, 1, 1), datetime(2030, 1, 1))
EVENTS = st.lists(st.tuples(st.none() | st.integers(1, 2), ANY_MOMENT, st.integers(0, 9)), max_size=12)
EVENT_TYPES = "k int32, ts timestamp, v int32, n int32"
EPOCH = datetime(1970, 1, 1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def windows(at: datetime, size: timedelta, slide: timedelta, offset: timedelta = timedelta(0)) -> list[tuple[datetime, datetime]]:
    """Every [start, end) of that size that holds an instant, one a slide."""
    first = (at - EPOCH - offset) // slide * slide + EPOCH + offset
    starts = [first - n * slide for n in range(size // slide)]
    assert all(s <= at < s + size for s in starts) and not (first + slide <= at) and at >= starts[-1] + size - slide
    return [(s, s + size) for s in starts]


def cumulated(at: datetime, size: timedelta, step: timedelta) -> list[tuple[datetime, datetime]]:
    start = (at - EPOCH) // size * size + EPOCH
    return [(start, start + n * step) for n in range(1, size // step + 1) if at < start + n * step]


WINDOWS: dict[str, tuple[str, Callable[[datetime], list[tuple[datetime, datetime]]]]] = {
    "tumble": ("tumble('t', 'ts', '1 hour')", lambda at: windows(at, HOUR, HOUR)),
    "tumble 90": ("tumble('t', 'ts', '90 minutes')", lambda at: windows(at, 90 * MINUTE, 90 * MINUTE)),
    "tumble 7h": ("tumble('t', 'ts', '7h')", lambda at: windows(at, 7 * HOUR, 7 * HOUR)),
    "tumble week": ("tumble('t', 'ts', '7 days', offset='4 days')", lambda at: windows(at, 7 * DAY, 7 * DAY, 4 * DAY)),
    "hop": ("hop('t', 'ts', size='1 hour', slide='15 minutes')", lambda at: windows(at, HOUR, 15 * MINUTE)),
    "hop days": ("hop('t', 'ts', size='7d', slide='1d')", lambda at: windows(at, 7 * DAY, DAY)),
    "cumulate": ("cumulate('t', 'ts', size='1 day', step='6h')", lambda at: cumulated(at, DAY, 6 * HOUR)),
}


@pytest.mark.parametrize("name", WINDOWS)
@settings(quick, max_examples=EXAMPLES // 3)
@given(events=EVENTS)
def test_windows_of_fixed_length(engine, name, events) -> None:
    call, oracle = WINDOWS[name]
    rows = [(*e, n) for n, e in enumerate(events)]
    text = f"select * from {{{{ skewless.{call} }}}} as w"
    got = engine.run({"t": (EVENT_TYPES, rows)}, text)
    assert got == cells([(*row, *window) for row in rows for window in oracle(row[1])])


@quick
@given(events=EVENTS)
@example(events=[(1, ZERO, 0), (1, ZERO + timedelta(minutes=10), 0)])
def test_sessions(engine, events) -> None:
    """Also with a gap that is hit exactly, ties, and rows without a key."""
    rows = [(*e, n) for n, e in enumerate(events)]
    text = "select * from {{ skewless.session('t', 'ts', gap='10 minutes', partition_by=['k']) }} as w"
    got = engine.run({"t": (EVENT_TYPES, rows)}, text)
    assert got == cells([(*row, *session_of(row, rows)) for row in rows if row[0] is not None])


def session_of(row: tuple[Any, ...], rows: list[tuple[Any, ...]]) -> tuple[datetime, datetime]:
    times = sorted(r[1] for r in rows if r[0] == row[0])
    first = last = times.index(row[1])
    while first and times[first] - times[first - 1] <= 10 * MINUTE:
        first -= 1
    while last + 1 < len(times) and times[last + 1] - times[last] <= 10 * MINUTE:
        last += 1
    return times[first], times[last] + 10 * MINUTE


def test_a_window_is_grouped_by_its_bounds(engine) -> None:
    rows = [(1, ZERO + n * 20 * MINUTE, n, n) for n in range(7)]
    got = engine.run({"t": (EVENT_TYPES, rows)}, """
        with recent as (select k, ts, v from t where v > 0)
        select k, window_end as event_timestamp, count(*), sum(v)
        from {{ skewless.tumble('recent', 'ts', size='1 hour') }} as w
        group by k, window_start, window_end
    """)
    want = [(1, ZERO + HOUR, 2), (1, ZERO + 2 * HOUR, 3), (1, ZERO + 3 * HOUR, 1)]
    assert [row[:3] for row in got] == cells(want)


VERSIONS = st.lists(st.tuples(st.integers(1, 2), MOMENTS, st.integers(0, 9)), max_size=8, unique_by=lambda r: r[:2])


@quick
@given(EVENTS, VERSIONS)
def test_as_of_join(engine, events, versions) -> None:
    left = [(*e, n) for n, e in enumerate(events)]
    tables = {"t": (EVENT_TYPES, left), "dim": ("k2 int32, since timestamp, v int32", versions)}
    call = "as_of_join('t', 'dim', keys={'k': 'k2'}, left_time='ts', right_time='since', columns={'v': 'found', 'since': 'since'}"
    want = []
    for row in left:
        seen = max((r for r in versions if r[0] == row[0] and r[1] <= row[1]), key=lambda r: r[1], default=None)
        want.append((*row, seen[2], seen[1]) if seen else (*row, None, None))
    assert engine.run(tables, f"select * from {{{{ skewless.{call}) }}}} as j") == cells(want)
    inner = engine.run(tables, f"select * from {{{{ skewless.{call}, inner=true) }}}} as j")
    assert inner == cells([row for row in want if row[-1] is not None])


# ---- refusals, and dbt

@pytest.mark.parametrize(("call", "code", "words"), [
    ("tumble('t', 'ts', '1 month')", "SK240", "month windows have no streaming form"),
    ("tumble('t', 'ts', 'soon')", "SK240", '"soon" is not the length of a window'),
    ("tumble('t', 'ts', '0 hours')", "SK240", "not the length"),
    ("hop('t', 'ts', size='1 hour', slide='25 minutes')", "SK240", "not a multiple of its slide"),
    ("cumulate('t', 'ts', size='1 hour', step='7m')", "SK240", "not a multiple of its step"),
    ("sum_fixed('x', 12)", "SK241", '"12" digits'),
    ("sum_fixed('x', '2')", "SK241", '"2" digits'),
])
def test_refusals(call, code, words) -> None:
    with pytest.raises(ValueError, match=rf"error\[{code}\]: .*{words}.*\n  hint: "):
        render(f"{{{{ skewless.{call} }}}}", "duckdb")


@pytest.mark.parametrize("adapter", ["duckdb", "postgres"])
def test_golden_sql(adapter, golden) -> None:
    calls = [call for call, _ in WINDOWS.values()] + [call.format("") for call, _, _ in AGGREGATES.values()]
    calls += [call for call, _ in SCALARS.values()] + [f"{unit}s_between('a', 'b')" for unit in [*UNITS, "month"]]
    calls += ["week_start('ts')", "session('t', 'ts', gap='30 minutes', partition_by=['k', 'b'])"]
    calls += ["sum_fixed('x', 2, over='last_24h')"]
    calls += ["as_of_join('t', 'dim', keys={'k': 'k2'}, left_time='ts', right_time='since', columns=['v'])"]
    texts = [f"-- {call}\n{render(f'{{{{ skewless.{call} }}}}', adapter)}\n\n" for call in calls]
    golden(f"macros/portable_{adapter}.sql", "".join(texts))


def test_dbt_renders_the_same(tmp_path) -> None:
    config = pit.project(tmp_path)
    calls = [call.format(", over='(partition by k order by ts)'") for call, _, _ in AGGREGATES.values()]
    calls += [call for call, _ in (*WINDOWS.values(), *SCALARS.values())] + ["seconds_between('a', 'b')", "week_start('a')"]
    calls += ["session('t', 'ts', '30m', 'k')", "as_of_join('t', 'dim', 'k', 'ts', ['v'], inner=true)"]
    got = pit.render(config, {str(n): call for n, call in enumerate(calls)})
    assert list(got.values()) == [render(f"{{{{ skewless.{call} }}}}", "duckdb") for call in calls]


# ---- in a stream

NASTY = (
    None, 0.0, -0.0, 0.005, 1.005, 2.675, -2.5, 9007199254.0, 90071992547409.0, 1e300, -1e300, 5e-324, 0.49999999999999994, 12.25,
)
BY_TIME = "window w as (partition by k order by ts range between interval '5' minute preceding and current row)"


def stream_rows() -> list[tuple[Any, ...]]:
    draw = random.Random(11)
    rows, at = [], ZERO
    for n in range(90):
        at += timedelta(minutes=draw.choice((0, 0, 1, 5, 10, 47)))
        small = draw.choice((None, -7, 0, 3, 2**31 - 1))
        rows.append((
            draw.choice((1, 2)), at, draw.choice(NASTY), small, draw.choice((None, -2**62, 2**53 + 1, 8)),
            draw.choice((None, Decimal("1.2345"), Decimal("-99999999999999.9999"))), n,
        ))
    return rows


def stream_queries() -> list[str]:
    """Every macro once grouped or as a scalar, the aggregates also over a window; `n` and the bounds tell rows apart."""
    def calls(extra: str) -> list[str]:
        return [f"{{{{ skewless.{call.format(extra)} }}}}" for call, _, _ in AGGREGATES.values()]

    def together(calls: list[str]) -> list[str]:
        chunks = [calls[n:n + 4] for n in range(0, len(calls), 4)]
        return [", ".join(f"{call} as v{n}" for n, call in enumerate(chunk)) for chunk in chunks]

    scalars = [f"{{{{ skewless.{call} }}}}" for call, _ in SCALARS.values()]
    times = [f"{{{{ skewless.{unit}s_between('ts', 'ts2') }}}}" for unit in [*UNITS, "month"]]
    bounds = "group by k, window_start, window_end"
    relations = [f"{{{{ skewless.{call} }}}}" for call, _ in WINDOWS.values()]
    relations += ["{{ skewless.session('t', 'ts', gap='10 minutes', partition_by=['k']) }}"]
    return [
        *(f"select k, {a} from t group by k" for a in together(calls(", where='i > 0'"))),
        *(f"select n, {a} from t {BY_TIME}" for a in together(calls(", over='w'"))),
        *(f"select n, {s} from t" for s in together(scalars)),
        *(f"select n, {s} from (select n, ts, ts + n * interval '40' hour as ts2 from t) as t"
          for s in together([*times, "{{ skewless.week_start('ts2') }}"])),
        *(f"select k, window_start, window_end, count(*) as c, sum(n) as s from {r} as w {bounds}" for r in relations),
        "select k, window_end, {{ skewless.sum_fixed('x', 2) }} as v"
        " from {{ skewless.hop('t', 'ts', '1 hour', '20m') }} as w " + bounds,
        "select j.n, j.found from {{ skewless.as_of_join('t', 'dim', 'k', 'ts', {'v': 'found'}) }} as j",
    ]


def test_a_stream_gives_the_same(engines: dict[str, Engine]) -> None:
    rows = stream_rows()
    versions = [(1 + n % 2, ZERO + n * 50 * MINUTE, n) for n in range(20)]
    tables = {
        "t": Table(columns(TYPES + ", n int32"), rows, event_time="ts"),
        "dim": Table(columns("k int32, ts timestamp, v int32"), versions, event_time="ts"),
    }
    bounds = {"n": (0, 1000), "b": (-2**62, 2**53 + 1)}     # the least bigint by -1 overflows: a numerator has a range
    free = (None, None)
    inputs = {
        name: relation(
            {c: Value(kind, nullable=c not in ("k", "ts", "n"), lo=bounds.get(c, free)[0], hi=bounds.get(c, free)[1])
             for c, kind in table.columns.items()},
            event_time="ts", unique=(("k", "ts"),) if name == "dim" else (("n",),),
        )
        for name, table in tables.items()
    }
    texts = [render(query, "duckdb") for query in stream_queries()]
    analyses = [analyse(text, dialect="duckdb", inputs=inputs) for text in texts]
    assert not [(a.sql[:200], f.message) for a in analyses for f in a.findings]
    flink = engines["flink"].run_many(tables, [lower(a, engine="flink") for a in analyses])
    for query, duck, stream in zip(stream_queries(), engines["duckdb"].run_many(tables, texts), flink, strict=True):
        assert isinstance(duck, Rows) and isinstance(stream, Rows), f"{query}\n{duck}\n{stream}"
        assert compare(duck, stream, level="value") == [], query


@pytest.mark.parametrize(("expression", "allowed"), [
    ("{{ skewless.avg_exact('i', over='w') }}", True), ("{{ skewless.avg_fixed('x', 2, over='w') }}", True),
    ("cast(sum(i) over w as double) / nullif(count(i) over w, 0)", True), ("cast(d as double)", True),
    ("{{ skewless.plus_zero('x') }}", True),
    ("x", False), ("-cast(i as double)", False), ("cast(i as double) / nullif(i, 0)", False),
])
def test_distinct_rows_are_told_apart_by_doubles_without_minus_zero(expression: str, allowed: bool) -> None:
    inputs = {"t": relation(
        {"k": Value(parse_type("int64"), nullable=False), "ts": Value(parse_type("timestamp"), nullable=False),
         "x": parse_type("float64"), "i": Value(parse_type("int32"), lo=-10, hi=10), "d": parse_type("decimal(18,4)")},
        event_time="ts",
    )}
    text = render(f"select distinct k, {expression} as v from t {BY_TIME}", "duckdb")
    found = [f.rule.id for f in analyse(text, dialect="duckdb", inputs=inputs).findings]
    assert found == ([] if allowed else ["group.float_zero"])
