"""Queries that the printers are tried with, and the tables they read: NULLs, ties, -0.0, extremes, Unicode, leap days."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from skewless.conformance.table import Table
from skewless.sql.value import BOOL, DATE, FLOAT64, INT32, INT64, STRING, TIMESTAMP, Relation, Value, relation
from skewless.types import Type

MONEY = Type("decimal", 10, 2)
START = datetime(2024, 2, 28, 23, 50)
TEXTS = ("", "a", "b,c", "abc", "x%y", "Zed", " pad ", None)
UNICODE = ("Àéß", "日本語", "😀 İﬁ", "a\tb", "'", "\\", "`\"", None)
DOUBLES = (0.0, -0.0, 1.005, 0.15, 2.5, 3.5, -2.5, 1e15, 1e-7, 123456.789, None)


def _events(rng: random.Random, rows: int, *, tied: bool) -> list[tuple[Any, ...]]:
    out, at = [], START
    for o in range(rows):
        steps = (0, 1, 500, 60_000, 600_000, 7_200_000) if tied else (1, 999, 60_000, 600_000, 90_000_000)
        at += timedelta(milliseconds=rng.choice(steps))
        out.append((
            o, rng.choice(("a", "b", "c", None)), rng.randrange(3), at, rng.choice((None, *range(-20, 20))),
            rng.choice((None, 2**40, -5, 0, 7)),
            rng.choice((None, Decimal("0.05"), Decimal("-1.15"), Decimal("99999999.99"), Decimal("2.50"))), rng.choice(DOUBLES),
            rng.choice(TEXTS), rng.choice(UNICODE), rng.choice((True, False, None)),
            rng.choice((None, date(2024, 2, 29), date(2020, 12, 31), date(1999, 1, 3))),
            rng.choice((None, datetime(2021, 1, 3, 23, 59, 59, 999999), datetime(2024, 2, 29, 12, 0, 0, 500000), at)),
        ))
    return out


def _columns(event_time: bool) -> dict[str, Value]:
    return {
        "o": Value(INT64, nullable=False, lo=0, hi=10**6), "k": Value(STRING, ascii=True),
        "g": Value(INT32, nullable=False, lo=0, hi=10), "ts": Value(TIMESTAMP, nullable=False, event_time=event_time),
        "i": Value(INT32, lo=-1000, hi=1000), "l": Value(INT64, lo=-(2**41), hi=2**41), "x": Value(MONEY), "d": Value(FLOAT64),
        "s": Value(STRING, ascii=True), "u": Value(STRING), "b": Value(BOOL), "dt": Value(DATE), "seen": Value(TIMESTAMP),
    }


def tables() -> dict[str, Table]:
    """ev: tied event times; eu: unique ones; dm: versions of a dimension; empty: no rows."""
    rng = random.Random(7)
    columns = {name: v.type for name, v in _columns(True).items()}
    versions, at = [], START
    for _ in range(30):
        at += timedelta(minutes=rng.choice((7, 30, 90)))
        versions.append((rng.choice(("a", "b")), at, rng.choice(("gold", "tin", None)), rng.randrange(100)))
    dimension = {"k": STRING, "ts": TIMESTAMP, "tier": STRING, "v": INT64}
    return {
        "ev": Table(columns, _events(rng, 150, tied=True), "ts"), "eu": Table(columns, _events(rng, 120, tied=False), "ts"),
        "dm": Table(dimension, versions, "ts"), "empty": Table(columns, [], "ts"),
        "st": Table({"k": STRING, "w": INT64}, [("a", 1), ("b", 2)]),
    }


def inputs() -> dict[str, Relation]:
    """What the checker is told of `tables`."""
    return {
        "ev": relation(_columns(True)), "eu": relation(_columns(True), unique=(("ts",), ("k", "ts"), ("o",))),
        "empty": relation(_columns(True)),
        "dm": relation({"k": Value(STRING, nullable=False, ascii=True), "ts": Value(TIMESTAMP, nullable=False, event_time=True),
                        "tier": STRING, "v": Value(INT64, nullable=False, lo=0, hi=100)}, unique=(("k", "ts"),)),
        "st": relation({"k": Value(STRING, nullable=False), "w": INT64}, static=True, unique=(("k",),)),
    }


W = "partition by k order by ts range between interval {} preceding and current row"
HOUR, DAY, TEN = (W.format(x) for x in ("1 hour", "1 day", "10 minutes"))
SCALARS = {
    "numbers": """select o, i + g as a, i * g - 3 as m, -i as n, abs(i) as ab, l + 1 as l1, l // nullif(g, 0) as q, i %
        nullif(g, 0) as r,
        cast(i as double) / nullif(cast(g as double), 0) as f, x + x as xx, x - 1 as x1, cast(x as decimal(19,2)) * x as xp,
        sign(d) as sd, ceil(d) as cd, floor(x) as fx, round(x, 1) as rx,
        trunc(x, 1) as tx,
        case when d >= 0 then sqrt(d) end as sq, floor(x) as fi from ev""",
    "minus_zero": "select o, d * 0 as z, case when d = 0 then -d else d end as y, cast(d as double) as e from ev",
    "constants": """select o, coalesce(d, 1.5e0) - cast(2 as double) / nullif(cast(3 as double), 0) as a, coalesce(i, 7) + (2
        * 3 - 1) as b,
        nullif(2, 2) as c, cast(null as bigint) as n, cast(1 as double) / cast(3 as double) as t, -5 as m, 0.1 as p,
        coalesce(null, i) as e from ev""",
    "wide_decimals": """select o, x <> cast(l as decimal(38,0)) as a, x between cast(l as decimal(38,0)) and 5 as c,
        x in (cast(l as decimal(38,0)), 2.5) as j,
        coalesce(cast(l as decimal(36,0)), x) as e, nullif(x, cast(g as decimal(38,0))) as m from ev""",
    "interval_ends": """select o, date_trunc('month', seen + interval 1 year) as a, date_trunc('hour', ts + interval 1 day) as c,
        date_diff('month', dt, ts + interval 1 year) as e, extract(month from seen - interval 1 year) as f,
        cast(1.25 as double) / nullif(cast(coalesce(0.5, 0) as double), 0) as h, base64(encode(u)) as j,
        cast(floor(extract(microsecond from seen)) as bigint) % 1000000 as k1 from ev""",
    "casts": """select o, cast(i as bigint) as a, cast(i as double) as f, cast(i as decimal(12,2)) as e, cast(x as double) as
        g, cast(b as integer) as h,
        cast(b as bigint) as bl, cast(i as boolean) as ib, cast(i as varchar) as s1, cast(x as varchar) as s2, cast(dt as
        varchar) as s3,
        cast(dt as timestamp) as t1, cast(ts as date) as t2, cast(l as decimal(20,0)) as l2, cast('2024-02-29' as date) as c1,
        timestamp '2024-02-29 12:34:56.789' as c2, date '2024-03-01' as c3, cast(x as decimal(12,4)) as x4, cast(x as
        decimal(9,0)) as x0 from ev
        where abs(x) < 1000 or x is null""",
    "logic": """select o, i > 3 as a, i <> g and b as c, b or i is null as e, not b as f, i is distinct from g as h, i is not
        distinct from g as j,
        b is true as k1, b is not false as k2, i between -3 and g as l1, i not in (1, 2, 3) as m1, i in (4, 5) as n1, s is
        not null as p1,
        (i > 1 or g = 2) and not (b and i < 0) as q1, d > 1.5 as r1, x = 2.50 as s1, x < d as t1,
        d >= x as t2, d between x and 5 as t3, d in (x, 1.5) as t4, g in (o, l) as n2, l in (1, 7) as n3,
        dt >= date '2020-01-01' as
        u1 from ev""",
    "nulls": """select o, coalesce(i, g) as a, nullif(i, g) as c, greatest(i, g, 5) as e, least(i, g) as f, greatest(x, 1.5)
        as h, least(ts, seen) as j,
        case when i > 0 then 'pos' when i < 0 then 'negative' end as k1, case g when 1 then i when 2 then null else 3 end as k2,
        ifnull(s, '') as m1, case when b then x else 1 end as n1, case when i is null then null else d end as p1 from ev""",
    "texts": r"""select o, s || '-' || k as a, concat_ws('/', s, k) as c, length(u) as e, char_length(s) as f, substring(u,
        2, 2) as h, substring(u, 2) as h2,
        left(u, 2) as j, right(u, g) as j2, trim(s, ' ') as k1, ltrim(s, 'a') as k2, rtrim(s, 'c') as k3, upper(s) as l1,
        lower(s) as l2,
        replace(u, 'a', 'zz') as m1, repeat(u, g) as m2, translate(s, 'abc', 'xyz') as n1, strpos(u, 'b') as p1, position('本'
        in u) as p2,
        starts_with(s, 'a') as q1, s like 'a%' as q2, s not like '%c' as q3, s like 'x!%%' escape '!' as q4, md5(u) as r1,
        sha256(u) as r2,
        split_part(s, ',', 2) as t1, regexp_matches(s, '^[a-c]+') as v1, regexp_replace(s, '[abc]', '-', 'g') as v2, 'it''s'
        as w1, 'a	b' as w2,
        '日本\語' as w3, chr(65 + g) as w4 from ev""",
    "times": """select o, date_trunc('hour', ts) as a, date_trunc('week', seen) as c, date_trunc('month', seen) as e,
        date_trunc('quarter', seen) as e2,
        date_trunc('year', ts) as e3, date_trunc('day', ts) as e4, cast(date_trunc('month', dt) as date) as f, extract(year
        from seen) as h,
        extract(dow from seen) as j, extract(isodow from seen) as j2, extract(week from seen) as j3, extract(doy from seen)
        as j4, extract(hour from ts) as j5,
        extract(quarter from dt) as j6, cast(floor(extract(second from seen)) as bigint) as j7, cast(floor(extract(epoch from
        seen)) as bigint) as j8,
        cast(floor(extract(millisecond from seen)) as bigint) % 1000 as j9, ts + interval 90 minute as k1, seen - interval 1
        month as k2, ts + interval '100' day as k3,
        ts + interval 2 week as k4, ts + g * interval 1 day as k5, ts + to_minutes(l % 1000) as k6, cast(dt + interval 3 day
        as date) as k7,
        date_diff('day', seen, ts) as m1, date_diff('hour', seen, ts) as m2, date_diff('minute', seen, ts) as m3,
        date_diff('second', seen, ts) as m4,
        date_diff('millisecond', seen, ts) as m5, date_diff('month', seen, ts) as m6, date_diff('year', seen, ts) as m7,
        date_diff('day', dt, ts) as m8,
        time_bucket(interval '15 minutes', ts, timestamp '1970-01-01') as n1, last_day(dt) as p1, year(seen) as q1,
        dayofweek(seen) as q2, extract(dayofweek from seen) as q4, extract(dayofyear from seen) as q5,
         minute(ts) as q3,
        epoch_ms(l) as r1, strftime(seen, '%Y-%m-%d %H:%M:%S') as s1, cast(ts as timestamp) as t1 from ev where l >= 0 or l
        is null""",
}
QUERIES = {
    "filtered": """select o, i from ev where i > 3 and ts >= timestamp '0001-01-01 00:00:00' - interval 7 day
        and ts < timestamp '9999-01-01 00:00:00' and seen >= timestamp '0001-01-01 00:00:00'""",
    "tumble": """select k, window_end as event_timestamp, count(*) as n, sum(i) as t, sum(x) as xs, min(i) as lo, max(ts) as
        last, count(distinct s) as ds,
        count(*) filter (where b) as nb, cast(sum(x) as double) / nullif(cast(count(x) as double), 0) as av
        from (select skw_in.*, time_bucket(interval '1 hour', ts, timestamp '1970-01-01') as window_start,
        time_bucket(interval '1 hour', ts, timestamp '1970-01-01') + interval '1 hour' as window_end from ev as skw_in
        where 'skw:tumble;time=ts;size_ms=3600000;offset_ms=0' <> '') as w group by k, window_start, window_end""",
    "hop": """select k, window_end, count(*) as n from (select skw_in.*, ts as window_start, ts as window_end from ev as skw_in
        where 'skw:hop;time=ts;slide_ms=900000;size_ms=3600000' <> '') as w where i > 0 group by k, window_start, window_end
        having count(*) > 1""",
    "cumulate": """select k, window_end, count(*) as n from (select skw_in.*, ts as window_start, ts as window_end from ev as
        skw_in
        where 'skw:cumulate;time=ts;step_ms=3600000;size_ms=21600000' <> '') as w group by k, window_start, window_end""",
    "session": """select k, window_start, window_end, count(*) as n from (select skw_in.*, ts as window_start, ts as
        window_end from ev as skw_in
        where 'skw:session;time=ts;gap_ms=600000;keys=k' <> '') as w group by k, window_start, window_end""",
    "session_filtered": """select k, window_start, window_end, count(*) as n from (select skw_in.*, ts as window_start, ts as
        window_end from ev as skw_in where 'skw:session;time=ts;gap_ms=1800000;keys=k' <> '') as w
        where i > 0 and b group by k, window_start, window_end""",
    "tumble_week": """select window_start, window_end, count(*) as n from (select skw_in.*, ts as window_start, ts as
        window_end from
        (select ts, i from eu where i is not null) as skw_in where 'skw:tumble;time=ts;size_ms=604800000;offset_ms=345600000'
        <> '') as w
        group by window_start, window_end""",
    "cascade": f"""with h as (select k, window_end as ts, count(*) as n from (select skw_in.*, ts as window_start, ts as
        window_end from ev as skw_in
        where 'skw:tumble;time=ts;size_ms=3600000;offset_ms=0' <> '') as w group by k, window_start, window_end)
        select k, ts, n, sum(n) over ({DAY}) as day from h""",
    "over_one": f"""select o, ts, count(*) over w as n, sum(i) over w as t, min(i) over w as lo, max(x) over w as hi from ev
        window w as ({HOUR})""",
    "over_several": f"""select o, ts, count(*) over ({HOUR}) as n, sum(i) over ({DAY}) as t, count(*) filter (where b) over
        ({TEN}) as f,
        cast(sum(x) over ({DAY}) as double) / nullif(cast(count(x) over ({DAY}) as double), 0) as av,
        count(*) over (partition by k, g order by ts range between unbounded preceding and current row) as every from ev""",
    "over_eight": "select o, " + ", ".join(
        f"count(*) over ({W.format(f'{n} minutes')}) as c{n}" for n in (1, 2, 5, 10, 30, 60, 90, 120)) + " from ev",
    "over_rows": """select o, lag(i, 1) over w as p, lag(x) over w as px, lag(o, 1, 0) over w as po, row_number() over w as rn,
        sum(i) over (partition by k order by ts rows between 2 preceding and current row) as s3,
        sum(i) over (partition by k order by ts rows between 3 preceding and 1 preceding) as before,
        count(i) over (partition by k order by ts rows between 3 preceding and 1 preceding) as nb from eu window w as
        (partition by k order by ts)""",
    "over_peers": """select o, count(*) over (partition by k order by ts range between interval 1 hour preceding and interval
        '0.001' second preceding) as n,
        sum(i) over (partition by k order by ts range between interval 1 hour preceding and interval '0.001' second
        preceding) as t from ev""",
    "over_long": "select o, count(*) over (order by ts range between interval 100 day preceding and current row) as n, "
        "count(*) over (order by ts range between interval '0.5' second preceding and current row) as m from ev",
    "distinct_over": f"select distinct k, ts, count(*) over ({HOUR}) as n, count(*) over ({DAY}) as m from ev",
    "distinct_four": "select distinct k, " + ", ".join(
        f"{f}(i) over ({W.format(f'{n} hour')}) as c{n}" for n, f in enumerate(("min", "max", "count", "min"), 1)) + " from ev",
    "qualify": "select o, k from eu qualify row_number() over (partition by k order by ts) = 1",
    "with": f"""with a as (select o, k, ts, i from ev where b), c as (select *, count(*) over ({HOUR}) as n from a)
        select o, n, sum(n) over ({DAY}) as m from c where n > 0""",
    "union": "select o, i from ev where g = 0 union all select o, i from eu where g = 1 union all select o, g from eu",
    "static_join": "select ev.o, st.w from ev join st on ev.k = st.k",
    "interval_join": """select a.o, c.o as o2, a.ts from ev as a join eu as c on a.k = c.k
        and c.ts between a.ts - interval 10 minute and a.ts""",
    "left_interval_join": """select a.o, c.o as o2, a.ts from ev as a left join eu as c on a.k = c.k
        and c.ts between a.ts - interval 10 minute and a.ts""",
    "cross_constants": "select o, v.a from ev cross join (values (1), (2)) as v(a) where o < 10",
    "asof": "select a.o, d.tier, d.v, a.ts from ev as a asof left join dm as d on a.k = d.k and a.ts >= d.ts",
    "asof_inner": """select a.o, d.tier from (select * from ev where i is not null) as a asof join dm as d
        on a.k = d.k and a.ts >= d.ts""",
    "as_of_macro": """select o, tier, count(*) over (partition by k order by ts range between interval 1 hour preceding and
        current row) as n
        from (select skw_left.*, skw_right.tier as tier from ev as skw_left asof left join dm as skw_right on skw_left.k =
        skw_right.k
        and skw_left.ts >= skw_right.ts where
        'skw:as_of_join;keys=k:k;left_time=ts;right_time=ts;join=left;columns=tier:tier' <> '') as j""",
    "exists": "select o from ev where exists (select 1 from st where st.k = ev.k) and g in (select w from st)",
    "qualify_several": f"""select o, count(*) over ({HOUR}) as n, count(*) over ({DAY}) as m from ev
        qualify count(*) over ({TEN}) > 1 and n > 0""",
    "join_over": """select a.o, a.i, c.i as i2,
        count(*) over (partition by a.k order by a.ts range between interval 1 hour preceding and current row) as n,
        sum(c.i) over (partition by a.k order by a.ts range between interval 1 day preceding and current row) as m
        from ev as a asof left join (select k, ts, v as i from dm) as c on a.k = c.k and a.ts >= c.ts""",
    "over_expressions": f"""select o, case when count(*) over ({HOUR}) > 2 then sum(i) over ({DAY}) else -1 end as x,
        count(*) over (
        partition by g % 2, upper(k) order by ts range between interval 90001 second preceding and current row) as y from ev""",
    "nulls_bare": "select o, null as x, i = null as y, b and null as z from ev union all select o, i, b, null from eu",
    "values_null": "select v.a, v.c from (values (1, 'x'), (2, null)) as v(a, c)",
    "intervals": """select o, ts + interval 3600 second as a, ts - interval '0.25' second as c,
        ts + interval 250 millisecond as e, ts + interval 1 quarter as f, ts + interval 400 day as h,
        ts + interval 1000 hour as j, ts + interval 1500 month as m
        from ev""",
    "names": 'select o as "Odd Name", i as "i""q", g as "g`" from ev',
    "trunc_day": """select k, date_trunc('day', ts) + interval 1 day as event_timestamp, count(*) as n from ev where g > 0
        group by k, date_trunc('day', ts) having count(*) > 1""",
    "trunc_week": "select date_trunc('week', ts) as w, sum(i) as m from eu group by date_trunc('week', ts)",
    "trunc_over": f"""with h as (select k, date_trunc('hour', ts) + interval 1 hour as ts, count(*) as n from ev
        group by k, date_trunc('hour', ts)) select k, ts, sum(n) over ({DAY}) as s from h""",
    "bucket": """select k, time_bucket(interval '15 minutes', ts, timestamp '1970-01-01') as t, max(o) as m from ev
        group by k, time_bucket(interval '15 minutes', ts, timestamp '1970-01-01')""",
    "grouping_sets": "select coalesce(g, -1) as g, k, count(*) as n from ev group by grouping sets ((g, k), (g))",
    "empty": f"select k, ts, count(*) over ({HOUR}) as n from empty",
    "reserved": "select k as \"select\", g as \"order\", o as \"group\", ts as \"timestamp\" from ev as \"table\"",
}
CASES = {**SCALARS, **QUERIES}
