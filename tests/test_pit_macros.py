"""point_in_time_join against a naive oracle, in every shape and mode; its errors; its golden SQL."""

from __future__ import annotations

import json
import os
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.config import Config
from skewless.errors import SkewlessError
from tests import pit_project as pit

EXAMPLES = 2000 if os.environ.get("SKEWLESS_SOAK") else 40
RELATIONS = "{'plain@1': 'plain', 'aged@2': 'aged'}"
KNOWN_RELATIONS = "{'plain@1': 'plain_versions', 'aged@2': 'aged_versions'}"
FEATURES = json.dumps(pit.FEATURES)
AS_OF = {
    f"as_of {shape}{' semi' if semi else ''}": (
        f"point_in_time_join('labels', {FEATURES}, statuses=true, relations={RELATIONS}, "
        f"shape='{shape}', semi={str(semi).lower()})"
    )
    for shape in ("narrow", "wide") for semi in (True, False)
}
STAGED = (
    f"point_in_time_stages('labels', {FEATURES}, statuses=true, relations={RELATIONS}, "
    "shape={'plain@1': 'wide', 'aged@2': 'narrow'})"
)
METADATA = (
    "{'plain@1': dict(skewless.feature_view_metadata('plain', 1), backfill='backfill'),"
    " 'aged@2': dict(skewless.feature_view_metadata('aged', 2), backfill='backfill'),"
    " 'plain': dict(skewless.feature_view_metadata('plain'), backfill='backfill'),"
    " 'aged': dict(skewless.feature_view_metadata('aged'), backfill='backfill')}"
)
KNOWN = {
    f"known_at{' semi' if semi else ''}{' backfill' if backfill else ''}": (
        f"point_in_time_join('labels', {FEATURES}, mode='known_at', statuses=true, relations={KNOWN_RELATIONS}, "
        f"semi={str(semi).lower()}{', metadata=' + METADATA if backfill else ''})"
    )
    for semi in (True, False) for backfill in (True, False)
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return pit.project(tmp_path_factory.mktemp("pit"))


@pytest.fixture(scope="module")
def sql(config: Config) -> dict[str, Any]:
    metadata = {
        "metadata plain": "feature_view_metadata('plain')", "metadata aged": "feature_view_metadata('aged', 2)",
        "metadata aged 1": "feature_view_metadata('aged', 1)",
    }
    rendered = pit.render(config, {**AS_OF, **KNOWN, **metadata, "staged": STAGED})
    return rendered | {"staged": json.loads(rendered["staged"])}


@pytest.fixture(scope="module", params=[True, False], ids=["loop joins", "sorted joins"])
def con(request: pytest.FixtureRequest) -> duckdb.DuckDBPyConnection:
    con = pit.connect(loop_joins=request.param)
    con.execute("set threads = 1").fetchall()           # frames of a few rows
    return con


KEYS = st.integers(1, 3)
NAMES = st.sampled_from(["", "x", "|"])
SECOND = st.integers(0, 14)
LABELS = st.lists(st.tuples(
    st.none() | st.integers(1, 4), st.none() | NAMES, st.none() | KEYS, st.none() | SECOND, st.sampled_from(["l", None]),
), max_size=12)
PLAIN_VALUES = st.tuples(st.none() | st.integers(), st.none() | st.just("text")).map(
    lambda v: (None if v[0] is None else v[0] % 1000, v[1]))
AGED_VALUES = st.tuples(st.none() | st.just(1.5), st.none() | st.integers(0, 9), st.none() | st.just("z"))


@st.composite
def current(draw: st.DrawFn, keys: Any, values: Any) -> list[pit.Version]:
    slots = draw(st.lists(st.tuples(keys, SECOND), max_size=14, unique=True))
    return [pit.Version(key, at, draw(values)) for key, at in slots]


@st.composite
def versions(draw: st.DrawFn, keys: Any, values: Any) -> list[pit.Version]:
    """Slots with a chain of versions each: corrections, retractions, re-insertions, at any time after or before the event."""
    out = []
    for key, at in draw(st.lists(st.tuples(keys, SECOND), max_size=8, unique=True)):
        stamps = sorted(draw(st.sets(st.integers(0, 16), min_size=1, max_size=5)))
        gone = draw(st.booleans())
        for i, since in enumerate(stamps):
            last = i == len(stamps) - 1
            if i and draw(st.sampled_from([True, False, False])):   # a gap: this stamp was a retraction
                continue
            until = stamps[i + 1] if not last else (since + 1 if gone else None)
            out.append(pit.Version(key, at, draw(values), since, until, backfill=since % 2 == 0 and at < pit.COVERED_BEFORE))
    return out


def one(strategy: Any) -> Any:
    return strategy.map(lambda k: (k,))


ONE = one(KEYS)
TWO = st.tuples(NAMES, KEYS)
LABEL_TYPES = "k bigint, a varchar, b bigint, label_timestamp timestamp, extra varchar"


def load(con: duckdb.DuckDBPyConnection, labels: list[Any], plain: list[Any], aged: list[Any], *, versions: bool) -> None:
    rows = [(k, a, b, pit.instant(t), extra) for k, a, b, t, extra in labels]
    pit.fill(con, "labels", LABEL_TYPES, rows)
    suffix, types = ("_versions", pit.VERSION_TYPES) if versions else ("", "")
    pit.fill(con, "plain" + suffix, pit.PLAIN_TYPES + types, pit.stored(plain, versions=versions))
    pit.fill(con, "aged" + suffix, pit.AGED_TYPES + types, pit.stored(aged, versions=versions))


SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)


@quick
@given(labels=LABELS, plain=current(ONE, PLAIN_VALUES), aged=current(TWO, AGED_VALUES))
def test_as_of_equals_the_oracle(con, sql, labels, plain, aged) -> None:
    load(con, labels, plain, aged, versions=False)
    want = pit.expected(labels, plain, aged, "as_of")
    for name in AS_OF:
        assert con.sql(sql[name]).fetchall() == want, name
    assert run_stages(con, sql["staged"]) == want


@quick
@given(labels=LABELS, plain=versions(ONE, PLAIN_VALUES), aged=versions(TWO, AGED_VALUES))
def test_known_at_equals_the_oracle(con, sql, labels, plain, aged) -> None:
    load(con, labels, plain, aged, versions=True)
    covered = [(pit.instant(s), pit.instant(-9), pit.instant(pit.COVERED_BEFORE)) for s in range(0, 18, 2)]
    pit.fill(con, "backfill", "r timestamp, covered_from timestamp, covered_to timestamp", covered)
    without = [[pit.Version(r.key, r.at, r.values, r.since, r.until) for r in rows] for rows in (plain, aged)]
    for name in KNOWN:
        want = pit.expected(labels, *((plain, aged) if "backfill" in name else without), "known_at")
        assert con.sql(sql[name]).fetchall() == want, name


def run_stages(con: duckdb.DuckDBPyConnection, stages: list[dict[str, str]]) -> list[Any]:
    for stage in stages[:-2]:
        con.execute(stage["sql"]).fetchall()
    assert [s["stage"] for s in stages[-2:]] == ["assert", "result"]
    assert con.sql(stages[-2]["sql"]).fetchall() == [(True,)]
    return con.sql(stages[-1]["sql"]).fetchall()


def test_bounds_are_inclusive(con, sql) -> None:
    """ttl 4 s and availability_delay 2 s: seen from 2 s on, and up to and including 4 s."""
    aged = [pit.Version(("x", 1), 10, (1.0, 1, "z"))]
    labels = [(None, "x", 1, t, None) for t in (11, 12, 13, 14, 15)]
    load(con, labels, [], aged, versions=False)
    seen = [row[-1] for row in con.sql(sql["as_of narrow semi"]).fetchall()]
    assert seen == ["missing", "ok", "ok", "ok", "missing"]


def test_null_is_not_replaced_by_a_default(con, sql) -> None:
    load(con, [(1, None, None, 5, None)], [pit.Version((1,), 5, (None, None))], [], versions=False)
    for name in AS_OF:
        assert con.sql(sql[name]).fetchall()[0][5:7] == (None, None)


def test_two_rows_for_one_slot_fail_the_query(con, sql) -> None:
    twice = [pit.Version((1,), 5, (1, "a")), pit.Version((1,), 5, (2, "b"))]
    load(con, [(1, None, None, 5, None)], twice, [], versions=False)
    with pytest.raises(duckdb.Error, match=r"error\[SK708\]: plain@1 holds two rows for one"):
        con.sql(sql["as_of narrow semi"]).fetchall()


def test_time_zones(con, sql) -> None:
    """A label with a zone is its instant, whatever the session's zone; a label without one is UTC."""
    load(con, [(1, None, None, 5, None)], [pit.Version((1,), 5, (1, "a"))], [], versions=False)
    con.execute(
        "alter table labels alter label_timestamp type timestamptz using make_timestamptz(epoch_us(label_timestamp))"
    ).fetchall()
    assert con.sql(sql["as_of narrow semi"]).fetchall()[0][5] == 1


def test_order_of_a_large_frame(sql) -> None:
    con = pit.connect(loop_joins=True)
    pit.fill(con, "aged", pit.AGED_TYPES, [])
    con.execute(
        "create table labels as select (range * 7919) % 1000 as k, 'x' as a, 1 as b, "
        "timestamp '2026-01-02' + interval 1 second * ((range * 104729) % 5000) as label_timestamp, range::varchar as extra "
        "from range(300000)"
    ).fetchall()
    con.execute(
        "create table plain as select range % 1000 as k, range as f, 'g' as g, "
        "timestamp '2026-01-02' + interval 1 second * (range // 1000) as event_timestamp from range(500000)"
    ).fetchall()
    for name in AS_OF:
        wrong = con.sql(
            "select count(*) filter (extra::bigint <> n - 1 or f <> k + 1000 * least(499, epoch(label_timestamp - "
            f"timestamp '2026-01-02'))) from (select row_number() over () as n, * from ({sql[name]}))"
        ).fetchall()
        assert wrong == [(0,)], name


def test_metadata(sql) -> None:
    assert sql["metadata aged"] == {
        "name": "aged", "version": 2, "versioned": True, "join_keys": ["a", "b"], "ttl_us": 4_000_000,
        "availability_delay_us": 2_000_000, "missing": "default",
        "features": [
            {"name": "x", "type": "double", "default": 0.5, "ttl_us": None},
            {"name": "y", "type": "bigint", "default": -1, "ttl_us": 3_000_000},
            {"name": "z", "type": "varchar", "default": None, "ttl_us": 2_000_000},
        ],
    }
    assert sql["metadata plain"]["versioned"] is False and sql["metadata plain"]["ttl_us"] is None
    assert sql["metadata aged 1"]["version"] == 1


@pytest.mark.parametrize("name", ["as_of narrow semi", "as_of wide", "known_at backfill"])
def test_golden_sql(sql, golden, name) -> None:
    golden(f"macros/{name.replace(' ', '_')}.sql", sql[name] + "\n")


def test_golden_stages(sql, golden) -> None:
    golden("macros/stages.sql", "".join(f"-- {s['stage']}\n{s['sql']};\n\n" for s in sql["staged"]))


ERRORS = {
    "point_in_time_join('l', ['plain'], mode='best')": ("SK702", '"best" does not exist'),
    "point_in_time_join('l', ['plain:h'])": ("SK404", '"h" of "plain@1" does not exist'),
    "point_in_time_join('l', ['plain:f', 'plain:f'])": ("SK105", 'called "f"'),
    "point_in_time_join('l', ['plain:f, g'])": ("SK104", "is not a feature reference"),
    "feature_view_metadata('nothing')": ("SK404", "does not exist"),
}


@pytest.fixture(scope="module")
def refusals(config: Config) -> dict[str, SkewlessError | None]:
    return pit.refusals(config, list(ERRORS))


@pytest.mark.parametrize("call", ERRORS)
def test_errors(refusals, call) -> None:
    error, (code, words) = refusals[call], ERRORS[call]
    assert error and (error.code, words in error.fact) == (code, True), error
