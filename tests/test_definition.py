"""Definition hashes: what changes them and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.sql.definition import definition_hash, feature_hashes, feature_slices
from skewless.sql.reproducible import longest_window_us, output_types, unstable_aggregates

KEYS = ("carrier",)
QUERY = """
with source as (select * from "dev"."main"."flights"),  -- everything
landed as (select *, scheduled_at + air_time as landed_at from source where dep_delay is not null)
select distinct
    carrier, landed_at as event_timestamp,
    count(*) over day as n,
    count(*) filter (where late) over week as n_late
from landed
window day as (partition by carrier order by landed_at range between interval 24 hours preceding and current row),
    week as (partition by carrier order by landed_at range between interval 7 days preceding and current row)
"""
SAME = {
    "white space": QUERY.replace("\n", "   \n\t"),
    "comments": QUERY.replace("select distinct", "/* rows */ select distinct -- once"),
    "case": QUERY.upper().replace("HOURS", "hours"),
    "another schema": QUERY.replace('"dev"."main"', '"prod"."features"'),
    "quoting": QUERY.replace("carrier", '"carrier"'),
}
OTHER = {
    "a filter": QUERY.replace("is not null", "is not null and not cancelled"),
    "a window": QUERY.replace("24 hours", "25 hours"),
    "a table": QUERY.replace('"flights"', '"all_flights"'),
}


def hashes(sql: str, *features: str) -> dict[str, str]:
    return feature_hashes(sql, "duckdb", KEYS, features or ("n", "n_late"))


@pytest.mark.parametrize("how", SAME)
def test_writing_it_otherwise_changes_no_hash(how: str) -> None:
    assert definition_hash(SAME[how]) == definition_hash(QUERY)
    assert hashes(SAME[how]) == hashes(QUERY)


@pytest.mark.parametrize("how", OTHER)
def test_meaning_something_else_changes_the_hash(how: str) -> None:
    assert definition_hash(OTHER[how]) != definition_hash(QUERY)
    assert hashes(OTHER[how])["n"] != hashes(QUERY)["n"]


def test_a_change_is_seen_only_in_the_features_that_it_reaches() -> None:
    other = hashes(QUERY.replace("interval 7 days", "interval 8 days"))
    assert other["n"] == hashes(QUERY)["n"]
    assert other["n_late"] != hashes(QUERY)["n_late"]


def test_another_column_changes_no_other_feature() -> None:
    more = QUERY.replace("as n,", "as n, max(distance) over month as far,").replace(
        "window day", "window month as (partition by carrier order by landed_at range between interval 30 days preceding and "
        "current row), day")
    assert hashes(more) == hashes(QUERY)
    assert definition_hash(more) != definition_hash(QUERY)
    assert feature_slices(more, "duckdb", KEYS, ["far"])["far"] is not None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1), st.lists(st.sampled_from("ijlmn"), unique=True), st.randoms()
)
def test_any_columns_added_in_any_order(first: list[str], added: list[str], random: object) -> None:
    def query(columns: list[str]) -> str:
        inner = ", ".join(f"sum(x_{c} + 1) over w as {c}" for c in columns)
        return f"with q as (select k, ts, {inner} from main.t window w as (partition by k order by ts)) " \
            f"select k, ts as event_timestamp, {', '.join(columns)} from q"

    mixed = first + added
    random.shuffle(mixed)   # type: ignore[attr-defined]
    before = feature_hashes(query(first), "duckdb", ["k"], first)
    after = feature_hashes(query(mixed), "duckdb", ["k"], mixed)
    assert {c: after[c] for c in first} == before
    assert len(set(after.values())) == len(mixed)


UNCUT = {
    "a star over an unknown join": "select * from a join b using (k)",
    "GROUP BY ALL": "select carrier, ts as event_timestamp, n, sum(m) as n_late from t group by all",
    "a column that it does not yield": "select carrier, ts as event_timestamp, x from t",
    "not SQL": "select from where {{",
}


@pytest.mark.parametrize("how", UNCUT)
def test_what_cannot_be_cut_has_the_hash_of_the_whole(how: str) -> None:
    assert set(hashes(UNCUT[how]).values()) == {definition_hash(UNCUT[how])}


def test_union_is_cut_in_both_branches() -> None:
    union = "select carrier, ts as event_timestamp, a as n, b as n_late from t union all select carrier, ts, a, c from u"
    assert hashes(union)["n"] == hashes(union.replace("a, c from", "a, d from"))["n"]
    assert hashes(union)["n_late"] != hashes(union.replace("a, c from", "a, d from"))["n_late"]


STABLE = [
    "count(*)", "count(x)", "min(d)", "max(x)", "sum(i)", "avg(i)", "sum(d::decimal(10,2))",
    "sum(case when late then 1 else 0 end)",
    "sum(x order by ts, x)", "sum(cast(round(x * 1000000) as bigint))", "bool_or(late)", "avg(extract(hour from ts))",
]
UNSTABLE = {
    "sum(d)": "double", "avg(d)": "double", "sum(i / 2)": "double", "sum(x)": "unknown", "avg(x)": "unknown",
    "stddev(i)": "double", "var_pop(i)": "double", "corr(i, i)": "double", "sum(d::float)": "double", "fsum(d)": "double",
    "mean(d)": "double",
    "sum(i * x)": "unknown",
}
TYPES = {"t": {"i": "bigint", "d": "double", "late": "boolean", "ts": "timestamp"}}


def query_of(expression: str) -> object:
    sql = f"select k as carrier, ts as event_timestamp, {expression} as n from main.t group by k, ts"
    return feature_slices(sql, "duckdb", KEYS, ["n"])["n"]


@pytest.mark.parametrize("expression", STABLE)
def test_exact_aggregates_pass(expression: str) -> None:
    assert unstable_aggregates(query_of(expression), "duckdb", TYPES) == []   # type: ignore[arg-type]


@pytest.mark.parametrize("expression", UNSTABLE)
def test_order_dependent_aggregates_are_found(expression: str) -> None:
    found = unstable_aggregates(query_of(expression), "duckdb", TYPES)   # type: ignore[arg-type]
    assert [f.argument for f in found] == [UNSTABLE[expression]]


def test_an_integer_result_vouches_for_a_sum_of_unknown_type() -> None:
    assert unstable_aggregates(query_of("sum(x)"), "duckdb", TYPES, exact_result=True) == []   # type: ignore[arg-type]


def test_types_are_carried_through_a_query() -> None:
    assert output_types("select i, d + 1 as e, x from main.t", "duckdb", TYPES) == {"i": "BIGINT", "e": "DOUBLE"}


def test_the_longest_window() -> None:
    slices = feature_slices(QUERY, "duckdb", KEYS, ["n", "n_late"])
    assert [longest_window_us(q) for q in slices.values() if q] == [86_400 * 10**6, 7 * 86_400 * 10**6]
