"""Names, types and findings of one query: skewless.sql.analysis."""

from __future__ import annotations

import pytest
from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.value import BOOL, DATE, FLOAT64, INT32, INT64, STRING, TIMESTAMP, Relation, Value, relation
from skewless.types import Type

EVENTS = relation(
    {
        "k": Value(INT64, nullable=False), "ts": Value(TIMESTAMP, nullable=False), "i": INT32, "small": Value(INT32, lo=0, hi=10),
        "price": Type("decimal", 10, 2), "d": FLOAT64, "s": STRING, "code": Value(STRING, ascii=True), "b": BOOL, "day": DATE,
    },
    event_time="ts",
)
SHOPS = relation({"k": INT64, "city": STRING}, static=True)
INPUTS: dict[str, Relation] = {"events": EVENTS, "shops": SHOPS}


def read(sql: str, dialect: str = "duckdb", **inputs: Relation) -> Analysis:
    return analyse(sql, dialect=dialect, inputs={**INPUTS, **inputs})


def typed(expression: str) -> Value:
    return read(f"select {expression} as v from events").output.columns[0].value


@pytest.mark.parametrize(("expression", "type_"), [
    ("small + 1", "int32"), ("small * 1000000000", "int64"), ("cast(i as bigint) + 1", "int64"), ("price * 2", "decimal(18,2)"),
    ("price + 1.505", "decimal(12,3)"), ("cast(i as double) / 3", "float64"), ("i // 3", "int32"), ("s || 'x'", "string"),
    ("case when b then 1 else 2.5 end", "decimal(2,1)"), ("coalesce(i, 0)", "int32"), ("date_trunc('day', ts)", "timestamp"),
    ("extract(hour from ts)", "int64"), ("cast(ts as date)", "date"), ("i > 3", "bool"), ("greatest(i, 5)", "int32"),
    ("date_diff('day', ts, ts)", "int64"), ("count(*) over (partition by k order by ts)", "int64"),
    ("sum(price) over (partition by k order by ts)", "decimal(38,2)"), ("sum(i) over (partition by k order by ts)", "int64"),
])
def test_the_type_of_an_expression(expression: str, type_: str) -> None:
    assert str(typed(expression).type) == type_


@pytest.mark.parametrize(("expression", "nullable"), [
    ("k", False), ("i", True), ("coalesce(i, 0)", False), ("k + 1", False), ("nullif(k, 3)", True),
    ("case when b then 1 end", True), ("i / nullif(k, 0)", True),
    ("case when b then 1 else 2 end", False), ("count(*) over (order by ts)", False), ("lag(k) over (order by ts)", True),
    ("case when i is not null then i else 0 end", False), ("i is null", False), ("case when i > 3 then i + 0 else 0 end", False),
])
def test_whether_an_expression_may_be_null(expression: str, nullable: bool) -> None:
    assert typed(expression).nullable is nullable


def test_ranges_come_from_contracts_conditions_and_arithmetic() -> None:
    assert typed("small * 3 + 1").bounds() == (1, 31)
    assert typed("case when i between 5 and 7 then i * 2 end").bounds() == (10, 14)
    assert typed("extract(month from ts)").bounds() == (1, 12)


def test_names_are_resolved_and_stars_expanded() -> None:
    query = read("with c as (select * from events where i > 1) select c.*, city from c join shops on c.k = shops.k").query
    columns = list(query.find_all(exp.Column))
    assert columns and all(c.table for c in columns)
    assert not [s for s in query.find_all(exp.Select) if s.is_star]
    assert [c.name for c in read("select * exclude (d, s) from events").output.columns] == [
        "k", "ts", "i", "small", "price", "code", "b", "day"]


def test_every_expression_of_the_tree_has_a_value_that_survives_a_copy() -> None:
    over = "window w as (partition by k order by ts)"
    analysis = read(f"select k, count(*) filter (where i > 2) over w + 1 as n from events {over}")
    copy = analysis.query.copy()
    for select in copy.selects:
        assert analysis.value(select.unalias()).known


def test_a_query_is_the_input_of_the_next() -> None:
    above = read("select k, ts, cast(i as bigint) as n from events where i is not null").output
    below = read("select k, ts, sum(n) over (partition by k order by ts) as total from above", above=above)
    assert not below.findings   # the range of an INTEGER is known through the cast
    assert not below.output.columns[0].value.nullable and below.output.columns[1].value.event_time


def test_findings_have_a_place_and_come_in_the_order_of_the_text() -> None:
    analysis = read("select\n    k,\n    i / 2 as half,\n    gone,\n    log10(d) as l\nfrom events")
    assert [(f.rule.id, f.code, f.line, f.column) for f in analysis.findings] == [
        ("arith.divide_int", "SK206", 3, 5), ("name.column", "SK202", 4, 5), ("arith.libm", "SK221", 5, 5)]
    assert analysis.findings[0].fix == "CAST(i AS DOUBLE) / CAST(2 AS DOUBLE)"
    assert analysis.sql[analysis.findings[0].start:analysis.findings[0].end] == "i / 2"
    assert analysis.verdict == "refuse"


def test_a_fix_is_written_once_whatever_the_parentheses() -> None:
    assert not read("select k, max(case when ((d * d)) = 0 then 0 else (d * d) end) as m from events group by k").findings


@pytest.mark.parametrize("sql", [
    "select distinct k, d from events", "select d from events union select d from events",
    "select d + 1 as x from events group by d + 1",
])
def test_doubles_of_rows_that_are_compared_lose_minus_zero(sql: str) -> None:
    assert {f.rule.id for f in read(sql).findings} == {"group.float_zero"}


def test_a_key_is_rewritten_among_the_columns_too() -> None:
    fixes = [f.fix for f in read("select d, count(*) as n from events group by d").findings]
    assert fixes == ["CASE WHEN d = 0 THEN 0 ELSE d END AS d", "CASE WHEN d = 0 THEN 0 ELSE d END"]


def test_a_column_that_is_rewritten_keeps_its_name() -> None:
    assert read("select distinct k, d from events").findings[0].fix == "CASE WHEN d = 0 THEN 0 ELSE d END AS d"


@pytest.mark.parametrize(("expression", "found"), [
    ("sqrt(abs(d))", []), ("sqrt(-abs(d))", ["arith.sqrt_negative"]), ("sqrt(-cast(1.5 as double))", ["arith.sqrt_negative"]),
])
def test_the_range_of_a_double_turns_with_its_sign(expression: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select {expression} as v from events").findings] == found


@pytest.mark.parametrize(("expression", "found"), [
    ("7 // 2", []), ("7 // nullif(i, 0)", []), ("i // nullif(1 + 1, 0)", []), ("7 // nullif(case when b then i end, 0)", []),
    ("cast(5 as double) / nullif(cast(0 as double), 0)", []), ("d / (60 * 60)", []), ("d / nullif(coalesce(2.5, 0), 0)", []),
    ("7 // nullif(case when 'a' = 'b' then i end, 0)", ["arith.divide_constant"]),
    ("d / nullif(cast(extract(dow from date '2024-03-31') as double), 0)", ["arith.divide_constant"]),
])
def test_a_divisor_is_no_constant_of_a_function(expression: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select {expression} as v from events").findings] == found


@pytest.mark.parametrize(("expression", "found"), [
    ("date_diff('second', ts, epoch_ms(i))", ["time.before_1970"]), ("date_diff('day', ts, epoch_ms(abs(small)))", []),
    ("epoch_ms(i)", []), ("cast(epoch_ms(small) as date)", []), ("cast(epoch_ms(small - 1) as date)", ["time.before_1970"]),
])
def test_a_number_that_may_be_negative_may_be_an_instant_before_1970(expression: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select {expression} as v from events").findings] == found


@pytest.mark.parametrize(("expression", "found"), [
    ("coalesce(case when b then i end, 0)", []),
    ("coalesce(case when 'a' = 'a' then 7 else i end, i)", ["null.coalesce_constant"]),
    ("coalesce(i, cast(true as int), 0)", []), ("case when 'a' = 'a' then i end", []),
])
def test_coalesce_is_of_no_constant_condition(expression: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select {expression} as v from events").findings] == found


@pytest.mark.parametrize(("regex", "found"), [
    ("b+", []), ("^a", []), ("a?b*", ["text.regex_empty"]), ("^", ["text.regex_empty"]), ("b*$", ["text.regex_empty"]),
])
def test_what_is_replaced_has_a_character(regex: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select regexp_replace(s, '{regex}', '-', 'g') as v from events").findings] == found


@pytest.mark.parametrize(("expression", "found"), [
    ("i // nullif(small - 5, 0)", ["arith.overflow_int"]), ("k // nullif(i, 0)", ["arith.divide_least"]), ("k // 60", []),
    ("i % nullif(small - 5, 0)", ["arith.overflow_int"]), ("k // nullif(small, 0)", []), ("small // nullif(i, 0)", []),
])
def test_the_least_integer_is_not_divided_by_minus_one(expression: str, found: list[str]) -> None:
    assert [f.rule.id for f in read(f"select {expression} as v from events").findings] == found


JOINED = "select a.k from events as a join events as b on {} and b.ts between a.ts - interval 1 hour and a.ts"


@pytest.mark.parametrize(("sql", "fixes"), [
    (JOINED.format("a.d = b.d"), ["CASE WHEN a.d = 0 THEN 0 ELSE a.d END", "CASE WHEN b.d = 0 THEN 0 ELSE b.d END"]),
    (JOINED.format("a.k = b.k and (a.d = b.price or a.b)"), ["CASE WHEN a.d = 0 THEN 0 ELSE a.d END"]),
    ("select k from events where d in (select price from events)", ["CASE WHEN d = 0 THEN 0 ELSE d END"]),
    ("select k from events where price in (select d from events)", ["CASE WHEN d = 0 THEN 0 ELSE d END AS d"]),
    ("select k from events as e where exists (select 1 from shops2 as s where s.x = e.d)",
     ["CASE WHEN s.x = 0 THEN 0 ELSE s.x END", "CASE WHEN e.d = 0 THEN 0 ELSE e.d END"]),
    (JOINED.format("a.k = b.k and a.d = 0"), []), (JOINED.format("a.k = b.k and a.d > b.d"), []),
    ("select k, d = price as same from events", []),
])
def test_doubles_that_rows_are_joined_by_lose_minus_zero(sql: str, fixes: list[str]) -> None:
    shops2 = relation({"x": FLOAT64}, static=True)
    analysis = read(sql, shops2=shops2)
    assert [f.fix for f in analysis.findings] == fixes
    for finding in reversed(analysis.findings):
        assert finding.fix is not None
        sql = sql[:finding.start] + finding.fix + sql[finding.end:]
    assert not read(sql, shops2=shops2).findings


VERSIONS = relation({"d": Value(FLOAT64, nullable=False), "ts": Value(TIMESTAMP, nullable=False)}, event_time="ts",
                    unique=(("d", "ts"),))


@pytest.mark.parametrize("sql", [
    "select e.k from events as e asof left join versions as v on e.d = v.d and e.ts >= v.ts",
    "select b from events as e join shops3 as s using (d)",
    "select k from (select skw_in.*, ts as window_start, ts as window_end from events as skw_in "
    "where 'skw:session;time=ts;gap_ms=1000;keys=d' <> '') as w",
])
def test_a_double_is_no_key_where_no_expression_can_stand(sql: str) -> None:
    found = [f for f in read(sql, versions=VERSIONS, shops3=relation({"d": FLOAT64}, static=True)).findings]
    assert [f.rule.id for f in found] == ["key.float"] and "d is a double" in found[0].message


@pytest.mark.parametrize("expression", [
    "long * d", "long < d", "d in (1, long)", "coalesce(d, long)", "case when b then d else long end", "long between d and 5",
    "nullif(d, long)", "long / nullif(d, 0)", "greatest(d, long)",
])
def test_a_long_decimal_beside_a_double_is_written_as_one(expression: str) -> None:
    long = "cast(k as decimal(37, 0))"
    sql = f"select {expression.replace('long', long)} as v from events"
    found, *_ = [f for f in read(sql).findings if f.rule.id == "cast.decimal_implicit"]
    assert found.fix == "CAST(CAST(CAST(k AS DECIMAL(37, 0)) AS DECIMAL(38, 1)) AS DOUBLE)"
    assert not read(sql[:found.start] + found.fix + sql[found.end:]).findings
    assert not [f for f in read(f"select {expression.replace('long', 'price')} as v from events").findings
                if f.rule.id == "cast.decimal_implicit"]


def test_a_long_decimal_and_a_double_are_no_columns_of_a_union() -> None:
    sql = "select d as v from events union all select cast(k as decimal(37, 0)) as v from events"
    assert [f.rule.id for f in read(sql).findings] == ["cast.decimal_implicit"]


def test_keys_of_grouping_sets_may_be_null() -> None:
    found = read("select k, k = 1 as one, count(*) as n from events group by grouping sets ((k), (small))")
    assert [c.value.nullable for c in found.output.columns] == [True, True, False] and not found.findings
    for group in ("rollup (k)", "cube (k, small)", "grouping sets ((k), ())"):     # the last set has a row on empty input too
        found = read(f"select k, count(*) as n from events group by {group}")
        assert found.output.columns[0].value.nullable and [f.rule.id for f in found.findings] == ["group.empty_set"], group
    assert not read("select k, count(*) as n from events group by k").output.columns[0].value.nullable


@pytest.mark.parametrize(("sets", "named"), [
    ("((1), (small))", "1"), ("((k, 2), (k))", "2"), ("(1, k)", "1"), ("((kk), (small))", "kk"), ("((k), (-1))", "-1"),
    ("((k), ('a'))", "'a'"),
])
def test_keys_of_grouping_sets_are_columns(sets: str, named: str) -> None:
    """DuckDB takes `kk` and `k` for two keys: in the rows of the one the other is NULL."""
    found = read(f"select k as kk, small, count(*) as n from events group by grouping sets {sets}").findings
    assert [f.rule.id for f in found] == ["group.set_name"] and f"{named} is no column of GROUPING SETS" in found[0].message
    assert not read("select k, count(*) as n from events group by (1)").findings


@pytest.mark.parametrize(("expression", "fix"), [
    ("ts + i * interval 1 day", "CASE WHEN i BETWEEN -366000 AND 366000 THEN ts + i * INTERVAL '1' DAY END"),
    ("ts - k * interval 1 second", "CASE WHEN k BETWEEN -31622400000 AND 31622400000 THEN ts - k * INTERVAL '1' SECOND END"),
    ("epoch_ms(k)", "CASE WHEN k BETWEEN -62135596800000 AND 62135596800000 THEN EPOCH_MS(k) END"),
    ("ts + interval 2000 year", None), ("ts + small * interval 1 day", ""), ("ts + i * interval 1 second", ""),
    ("epoch_ms(small)", ""), ("ts + interval 100 year", ""),
])
def test_an_instant_stays_among_the_years_of_every_engine(expression: str, fix: str | None) -> None:
    found = read(f"select {expression} as v from events").findings
    assert [(f.rule.id, f.fix) for f in found] == ([] if fix == "" else [("time.range", fix)])
    if fix:
        assert not read(f"select {fix} as v from events").findings


def test_intervals_are_whole_milliseconds() -> None:
    assert [f.rule.id for f in read("select ts + interval 1500 microsecond as v from events").findings] == ["time.interval_fine"]
    assert not read("select ts + interval 3000 microsecond as v from events").findings


def test_a_window_beside_a_subquery_has_no_order() -> None:
    window = "count(*) over (partition by k order by ts) as n"
    for sql in (f"select {window} from events where k in (select k from shops)",
                f"select {window}, k in (select k from shops) as known from events",
                f"select {window} from (select *, exists (select 1 from shops) as some from events) as e"):
        assert "over.order" in [f.rule.id for f in read(sql).findings], sql


def hop(source: str) -> str:
    marker = "'skw:hop;time=ts;slide_ms=1000;size_ms=1000' <> ''"
    return f"(select skw_in.*, ts as window_start, ts as window_end from {source} as skw_in where {marker})"


def test_windows_and_as_of_joins_need_the_order_too() -> None:
    lost = "(select *, k in (select k from shops) as known from events)"
    assert [f.rule.id for f in read(f"select k from {hop(lost)} as w").findings] == ["window.time"]
    versions = relation({"k": INT64, "ts": TIMESTAMP}, event_time="ts", unique=(("k", "ts"),))
    sql = f"select e.k from {lost} as e asof left join versions as v on e.k = v.k and e.ts >= v.ts"
    assert [f.rule.id for f in read(sql, versions=versions).findings] == ["join.asof"]


@pytest.mark.parametrize(("rows", "refused"), [
    ("events", False), ("(select * from events where b)", False),
    ("(select * from events union all select * from events)", False),
    ("(select *, count(*) over (partition by k order by ts) as n from events)", True),
    ("(select * from (select *, count(*) over (order by ts) as n from events) as e where n > 1)", True),
    ("(select e.* from events as e asof left join versions as v on e.k = v.k and e.ts >= v.ts)", True),
])
def test_a_session_reads_events_as_they_arrive(rows: str, refused: bool) -> None:
    versions = relation({"k": INT64, "ts": TIMESTAMP}, event_time="ts", unique=(("k", "ts"),))
    marker = "'skw:session;time=ts;gap_ms=1000;keys=k' <> ''"
    sql = f"select k from (select skw_in.*, ts as window_start, ts as window_end from {rows} as skw_in where {marker}) as w"
    assert ("window.session" in [f.rule.id for f in read(sql, versions=versions).findings]) is refused


def test_a_distinct_sum_of_windows_further_in_is_refused() -> None:
    sql = "select k, window_end, sum(distinct small) as n from {} group by k, window_start, window_end"
    for source in (f"{hop('events')} as w", f"(select * from {hop('events')} as w) as z"):
        assert "agg.sum_distinct_hop" in [f.rule.id for f in read(sql.format(source)).findings]
    tumble = hop("events").replace("hop;", "tumble;")
    assert not [f for f in read(sql.format(f"{tumble} as w")).findings if f.rule.id == "agg.sum_distinct_hop"]


def test_a_mean_of_exact_numbers_has_one_finding() -> None:
    found = read("select distinct k, avg(i) over (partition by k order by ts) as m from events").findings
    assert [f.rule.id for f in found] == ["agg.avg"]


def test_partitions_by_a_normalised_double_are_fine() -> None:
    sql = "select count(*) over (partition by {} order by ts) as n from events"
    fix = read(sql.format("d")).findings[0].fix
    assert fix is not None and not read(sql.format(fix)).findings


def test_a_decimal_without_digits_has_its_own_place() -> None:
    found, = read("select k, cast(i as decimal) as v from events").findings
    assert (found.start, found.end, found.fix) == (10, 28, "CAST(i AS DECIMAL(18, 3))")


def test_a_long_decimal_becomes_a_double_by_way_of_a_fraction() -> None:
    found, = read("select cast(sum(cast(k as decimal(20, 0))) as double) as v from events group by i").findings
    assert found.rule.id == "cast.decimal_double" and found.fix is not None
    assert not read(f"select {found.fix} as v from events group by i").findings
    assert not read("select cast(sum(small) as double) as v, cast(sum(price) as double) as w from events group by i").findings


@pytest.mark.parametrize("sql", [
    "select coalesce(price, cast(k as decimal(38, 0))) as v from events",
    "select greatest(price, cast(k as decimal(37, 0))) as v from events",
    "select case when b then price else cast(k as decimal(38, 0)) end as v from events",
    "select price as v from events union all select cast(k as decimal(38, 0)) as v from events",
])
def test_branches_that_need_more_than_38_digits_are_refused(sql: str) -> None:
    assert [f.rule.id for f in read(sql).findings] == ["arith.decimal_38"]
    assert not read(sql.replace("38", "36").replace("37", "36")).findings


@pytest.mark.parametrize("operands", ["price // 2", "i // price", "d // 2"])
def test_the_integer_quotient_is_of_integers(operands: str) -> None:
    assert [f.rule.id for f in read(f"select {operands} as v from events").findings] == ["type.operand"]


@pytest.mark.parametrize(("kind", "found"), [("hop;slide_ms=1000", ["agg.sum_distinct_hop"]), ("tumble", [])])
def test_distinct_sums_of_hopping_windows_are_refused(kind: str, found: list[str]) -> None:
    name, _, slide = kind.partition(";")
    window = f"select skw_in.* from events as skw_in where 'skw:{name};time=ts;size_ms=2000;{slide}' <> ''"
    analysis = read(f"select k, sum(distinct small) as n from ({window}) as w group by k, window_start, window_end")
    assert [f.rule.id for f in analysis.findings] == found


def test_what_is_on_no_list_is_refused() -> None:
    assert [f.code for f in read("select list_contains(s, i) as v from events").findings] == ["SK203"]
    assert [f.code for f in read("select k from events tablesample 10 percent").findings] == ["SK205"]
    assert [f.code for f in read("select cast(i as hugeint) as v from events").findings] == ["SK204"]
    assert [f.code for f in read("select v from nowhere").findings] == ["SK202"]


@pytest.mark.parametrize("sql", ["select from where", "select 1; select 2", "create table t as select 1", "", "select (1"])
def test_text_that_is_not_one_query_is_refused(sql: str) -> None:
    with pytest.raises(SkewlessError) as error:
        read(sql)
    assert error.value.code == "SK201"


def test_a_dialect_that_is_not_checked_is_refused() -> None:
    with pytest.raises(SkewlessError):
        read("select 1 as a", dialect="spark")


@pytest.mark.parametrize(("sql", "rule"), [
    ("select k, ts, count(*) as n from events group by k, ts", "stream.update"),
    ("select distinct k from events", "stream.update"),
    ("select distinct k, ts as event_timestamp from events", None),
    ("select k, count(*) as n from events group by k, date_trunc('month', ts)", "stream.update"),
    ("select k, count(*) as n from events group by k, date_trunc('day', ts)", None),
    ("select k from events union select k from events", "stream.update"),
    ("select k from events union all select k from events", None),
    ("select k, count(*) over (partition by k order by ts) as n from events", None),
])
def test_rules_of_an_append_only_result_hold_for_streams_alone(sql: str, rule: str | None) -> None:
    streamed = analyse(sql, dialect="duckdb", inputs=INPUTS, stream=True)
    assert [f.rule.id for f in streamed.findings] == ([rule] if rule else [])
    assert not read(sql).findings


@pytest.mark.parametrize(("sql", "rule"), [
    ("select e.k, s.city from events e join shops s on e.k = s.k", None),
    ("select e.k, s.city from events e left join shops s on e.k = s.k", "join.left_static"),
    ("select e.k, f.i from events e join events f on e.k = f.k", "join.unbounded"),
    ("select e.k, f.i from events e join events f on e.k = f.k and f.ts between e.ts - interval '1' hour and e.ts", None),
    ("select e.k, f.i from events e join events f on e.k = f.k and f.ts >= e.ts - interval '1' hour and f.ts <= e.ts", None),
    ("select e.k, f.i from events e join events f on e.k = f.k and f.ts <= e.ts", "join.unbounded"),
    ("select e.k, f.i from events e full join events f on e.k = f.k", "join.outer"),
    ("select e.k, f.i from events e asof join events f on e.k = f.k and e.ts >= f.ts", "join.asof_ties"),
    ("select e.k, f.i from events e asof join events f on e.k = f.k and e.ts > f.ts", "join.asof"),
    ("select k, count(*) over (order by ts) as n from (select e.k, e.ts from events e join shops s on e.k = s.k) j",
     "over.order"),
])
def test_joins(sql: str, rule: str | None) -> None:
    assert [f.rule.id for f in read(sql).findings] == ([rule] if rule else [])


def test_windows_may_follow_any_time_where_no_event_time_is_declared() -> None:
    plain = relation({"k": INT64, "at": Value(TIMESTAMP, nullable=False), "maybe": TIMESTAMP})
    for column, fine in (("at", True), ("maybe", False), ("k", False)):
        sql = f"select count(*) over (partition by k order by {column}) as n from plain"
        assert bool(read(sql, plain=plain).findings) is not fine
        assert analyse(sql, dialect="duckdb", inputs={"plain": plain}, stream=True).findings


def test_the_compiled_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from skewless.sql import parsing

    parsing.require_pure_python.cache_clear()
    monkeypatch.setattr(parsing.exp, "__file__", "/x/expressions.so")
    with pytest.raises(SkewlessError) as error:
        read("select 1 as a")
    assert error.value.code == "SK912" and "pip uninstall" in error.value.hint
    parsing.require_pure_python.cache_clear()
