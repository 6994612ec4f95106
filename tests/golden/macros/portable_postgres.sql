-- tumble('t', 'ts', '1 hour')
(
    select
        skw_in.*,
        date_bin(interval '1' hour, skw_in.ts, timestamp '1970-01-01 00:00:00') as window_start,
        date_bin(interval '1' hour, skw_in.ts, timestamp '1970-01-01 00:00:00') + interval '1' hour as window_end
    from t as skw_in
    where 'skw:tumble;time=ts;size_ms=3600000;offset_ms=0' <> ''
)

-- tumble('t', 'ts', '90 minutes')
(
    select
        skw_in.*,
        date_bin(interval '90' minute, skw_in.ts, timestamp '1970-01-01 00:00:00') as window_start,
        date_bin(interval '90' minute, skw_in.ts, timestamp '1970-01-01 00:00:00') + interval '90' minute as window_end
    from t as skw_in
    where 'skw:tumble;time=ts;size_ms=5400000;offset_ms=0' <> ''
)

-- tumble('t', 'ts', '7h')
(
    select
        skw_in.*,
        date_bin(interval '7' hour, skw_in.ts, timestamp '1970-01-01 00:00:00') as window_start,
        date_bin(interval '7' hour, skw_in.ts, timestamp '1970-01-01 00:00:00') + interval '7' hour as window_end
    from t as skw_in
    where 'skw:tumble;time=ts;size_ms=25200000;offset_ms=0' <> ''
)

-- tumble('t', 'ts', '7 days', offset='4 days')
(
    select
        skw_in.*,
        date_bin(interval '7' day, skw_in.ts, timestamp '1970-01-05 00:00:00') as window_start,
        date_bin(interval '7' day, skw_in.ts, timestamp '1970-01-05 00:00:00') + interval '7' day as window_end
    from t as skw_in
    where 'skw:tumble;time=ts;size_ms=604800000;offset_ms=345600000' <> ''
)

-- hop('t', 'ts', size='1 hour', slide='15 minutes')
(
    select
        skw_in.*,
        date_bin(interval '15' minute, skw_in.ts, timestamp '1970-01-01 00:00:00') - skw_step.n * interval '15' minute as window_start,
        date_bin(interval '15' minute, skw_in.ts, timestamp '1970-01-01 00:00:00') - skw_step.n * interval '15' minute + interval '1' hour as window_end
    from t as skw_in
    cross join generate_series(0, 3) as skw_step(n)
    where 'skw:hop;time=ts;slide_ms=900000;size_ms=3600000' <> ''
)

-- hop('t', 'ts', size='7d', slide='1d')
(
    select
        skw_in.*,
        date_bin(interval '1' day, skw_in.ts, timestamp '1970-01-01 00:00:00') - skw_step.n * interval '1' day as window_start,
        date_bin(interval '1' day, skw_in.ts, timestamp '1970-01-01 00:00:00') - skw_step.n * interval '1' day + interval '7' day as window_end
    from t as skw_in
    cross join generate_series(0, 6) as skw_step(n)
    where 'skw:hop;time=ts;slide_ms=86400000;size_ms=604800000' <> ''
)

-- cumulate('t', 'ts', size='1 day', step='6h')
(
    select
        skw_in.*,
        date_bin(interval '1' day, skw_in.ts, timestamp '1970-01-01 00:00:00') as window_start,
        date_bin(interval '1' day, skw_in.ts, timestamp '1970-01-01 00:00:00') + skw_step.n * interval '6' hour as window_end
    from t as skw_in
    cross join generate_series(1, 4) as skw_step(n)
    where 'skw:cumulate;time=ts;step_ms=21600000;size_ms=86400000' <> ''
        and skw_in.ts < date_bin(interval '1' day, skw_in.ts, timestamp '1970-01-01 00:00:00') + skw_step.n * interval '6' hour
)

-- sum_fixed('x', 2)
case when count(x) = count(case when cast(x as double precision) between cast(-90071992547408 as double precision) and cast(90071992547408 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end) then cast(sum(cast(case when cast(x as double precision) between cast(-90071992547408 as double precision) and cast(90071992547408 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(20, 1))) as double precision) / cast(100 as double precision) end

-- sum_fixed('x', 6)
case when count(x) = count(case when cast(x as double precision) between cast(-9007199253 as double precision) and cast(9007199253 as double precision) then cast(floor(cast(x as double precision) * cast(1000000 as double precision) + cast(0.5 as double precision)) as bigint) end) then cast(sum(cast(case when cast(x as double precision) between cast(-9007199253 as double precision) and cast(9007199253 as double precision) then cast(floor(cast(x as double precision) * cast(1000000 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(20, 1))) as double precision) / cast(1000000 as double precision) end

-- sum_fixed('d', 4)
case when count(d) = count(case when cast(d as double precision) between cast(-900719925473 as double precision) and cast(900719925473 as double precision) then cast(floor(cast(d as double precision) * cast(10000 as double precision) + cast(0.5 as double precision)) as bigint) end) then cast(sum(cast(case when cast(d as double precision) between cast(-900719925473 as double precision) and cast(900719925473 as double precision) then cast(floor(cast(d as double precision) * cast(10000 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(20, 1))) as double precision) / cast(10000 as double precision) end

-- avg_fixed('x', 3)
case when count(x) = count(case when cast(x as double precision) between cast(-9007199254739 as double precision) and cast(9007199254739 as double precision) then cast(floor(cast(x as double precision) * cast(1000 as double precision) + cast(0.5 as double precision)) as bigint) end) then cast(sum(cast(case when cast(x as double precision) between cast(-9007199254739 as double precision) and cast(9007199254739 as double precision) then cast(floor(cast(x as double precision) * cast(1000 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(20, 1))) as double precision) / nullif(cast(1000 as double precision) * cast(count(x) as double precision), cast(0 as double precision)) end

-- avg_exact('i')
(cast(sum((i) + cast(0 as decimal(19, 1))) as double precision) / nullif(cast(count(i) as double precision), cast(0 as double precision)))

-- avg_exact('b')
(cast(sum((b) + cast(0 as decimal(19, 1))) as double precision) / nullif(cast(count(b) as double precision), cast(0 as double precision)))

-- avg_exact('d')
(cast(sum((d) + cast(0 as decimal(19, 1))) as double precision) / nullif(cast(count(d) as double precision), cast(0 as double precision)))

-- var_exact('x', 2)
case when count(x) = count(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end) and count(x) <= 9999999999 and sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) between -cast('999999999999999999' as decimal(18, 0)) and cast('999999999999999999' as decimal(18, 0)) and sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) <= cast('999999999999999999999999999' as decimal(27, 0)) then cast(cast(abs(cast(count(x) as decimal(10, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) as decimal(27, 0)) - cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(19, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(18, 0))) as decimal(38, 1)) as double precision) / nullif(cast(count(x) as double precision) * cast(count(x) as double precision) * cast(10000 as double precision), cast(0 as double precision)) end

-- var_exact('i', 0)
case when count(i) = count(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end) and count(i) <= 9999999999 and sum(cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) between -cast('999999999999999999' as decimal(18, 0)) and cast('999999999999999999' as decimal(18, 0)) and sum(cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) <= cast('999999999999999999999999999' as decimal(27, 0)) then cast(cast(abs(cast(count(i) as decimal(10, 0)) * cast(sum(cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) as decimal(27, 0)) - cast(sum(cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(19, 0)) * cast(sum(cast(case when cast(i as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(i as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(18, 0))) as decimal(38, 1)) as double precision) / nullif(cast(count(i) as double precision) * cast(count(i) as double precision) * cast(1 as double precision), cast(0 as double precision)) end

-- var_exact('x', 1, sample=true)
case when count(x) = count(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end) and count(x) <= 9999999999 and sum(cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) between -cast('999999999999999999' as decimal(18, 0)) and cast('999999999999999999' as decimal(18, 0)) and sum(cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) <= cast('999999999999999999999999999' as decimal(27, 0)) then cast(cast(abs(cast(count(x) as decimal(10, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) as decimal(27, 0)) - cast(sum(cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(19, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-99999999999999 as double precision) and cast(99999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(10 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(18, 0))) as decimal(38, 1)) as double precision) / nullif(cast(count(x) as double precision) * (cast(count(x) as double precision) - cast(1 as double precision)) * cast(100 as double precision), cast(0 as double precision)) end

-- stddev_exact('x', 2)
sqrt(case when count(x) = count(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end) and count(x) <= 9999999999 and sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) between -cast('999999999999999999' as decimal(18, 0)) and cast('999999999999999999' as decimal(18, 0)) and sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) <= cast('999999999999999999999999999' as decimal(27, 0)) then cast(cast(abs(cast(count(x) as decimal(10, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(15, 0))) as decimal(27, 0)) - cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(19, 0)) * cast(sum(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0))) as decimal(18, 0))) as decimal(38, 1)) as double precision) / nullif(cast(count(x) as double precision) * cast(count(x) as double precision) * cast(10000 as double precision), cast(0 as double precision)) end)

-- ratio('i', 'b')
(cast(i as double precision) / nullif(cast(b as double precision), cast(0 as double precision)))

-- int_divide('b', 'i')
((b) / nullif(i, 0))

-- round_half_up('x', 2)
case when cast(x as double precision) between cast(-90071992547408 as double precision) and cast(90071992547408 as double precision) then floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) / cast(100 as double precision) else cast(x as double precision) end

-- round_half_up('x')
case when cast(x as double precision) between cast(-9007199254740991 as double precision) and cast(9007199254740991 as double precision) then floor(cast(x as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) / cast(1 as double precision) else cast(x as double precision) end

-- to_decimal('x', 2)
cast(cast(case when cast(x as double precision) between cast(-9999999999999 as double precision) and cast(9999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(0.01 as decimal(2, 2)) as decimal(18, 2))

-- to_decimal('x', 0)
cast(cast(case when cast(x as double precision) between cast(-999999999999999 as double precision) and cast(999999999999999 as double precision) then cast(floor(cast(x as double precision) * cast(1 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(1 as decimal(1, 0)) as decimal(18, 0))

-- to_decimal('x', 9)
cast(cast(case when cast(x as double precision) between cast(-999999 as double precision) and cast(999999 as double precision) then cast(floor(cast(x as double precision) * cast(1000000000 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(19, 0)) * cast(0.000000001 as decimal(9, 9)) as decimal(18, 9))

-- to_bigint('x')
case when cast(x as double precision) between cast(-9007199254740992 as double precision) and cast(9007199254740992 as double precision) then cast(floor(cast(x as double precision)) as bigint) end

-- plus_zero('x')
case when cast(x as double precision) = 0 then cast(0 as double precision) else cast(x as double precision) end

-- bool_text('i > 0')
case when i > 0 then 'true' when not (i > 0) then 'false' end

-- bool_int('i > 0')
case when i > 0 then 1 when not (i > 0) then 0 end

-- milliseconds_between('a', 'b')
cast((extract(epoch from date_trunc('milliseconds', b)) - extract(epoch from date_trunc('milliseconds', a))) * 1000 as bigint)

-- seconds_between('a', 'b')
cast(extract(epoch from date_trunc('second', b)) - extract(epoch from date_trunc('second', a)) as bigint)

-- minutes_between('a', 'b')
cast(extract(epoch from date_trunc('minute', b) - date_trunc('minute', a)) / 60 as bigint)

-- hours_between('a', 'b')
cast(extract(epoch from date_trunc('hour', b) - date_trunc('hour', a)) / 3600 as bigint)

-- days_between('a', 'b')
cast(cast(b as date) - cast(a as date) as bigint)

-- months_between('a', 'b')
cast((extract(year from b) * 12 + extract(month from b)) - (extract(year from a) * 12 + extract(month from a)) as bigint)

-- week_start('ts')
date_trunc('week', ts)

-- session('t', 'ts', gap='30 minutes', partition_by=['k', 'b'])
(
    select
        skw_in.*,
        skw_sessions.window_start,
        skw_sessions.window_end
    from t as skw_in
    join (
        select distinct
            k, b, ts,
            min(ts) over (partition by k, b, skw_number) as window_start,
            max(ts) over (partition by k, b, skw_number) + interval '30' minute as window_end
        from (
            select
                k, b, ts,
                sum(skw_first) over (partition by k, b order by ts range between unbounded preceding and current row) as skw_number
            from (
                select
                    k, b, ts,
                    case when ts > lag(ts) over (partition by k, b order by ts) + interval '30' minute then 1 else 0 end as skw_first
                from t as skw_in
            ) as skw_marked
        ) as skw_numbered
    ) as skw_sessions
        on skw_in.k = skw_sessions.k and skw_in.b = skw_sessions.b and skw_in.ts = skw_sessions.ts
    where 'skw:session;time=ts;gap_ms=1800000;keys=k,b' <> ''
)

-- sum_fixed('x', 2, over='last_24h')
case when count(x) over last_24h = count(case when cast(x as double precision) between cast(-90071992547408 as double precision) and cast(90071992547408 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end) over last_24h then cast(sum(cast(case when cast(x as double precision) between cast(-90071992547408 as double precision) and cast(90071992547408 as double precision) then cast(floor(cast(x as double precision) * cast(100 as double precision) + cast(0.5 as double precision)) as bigint) end as decimal(20, 1))) over last_24h as double precision) / cast(100 as double precision) end

-- as_of_join('t', 'dim', keys={'k': 'k2'}, left_time='ts', right_time='since', columns=['v'])
(
    select
        skw_left.*,
        skw_right.v as v
    from t as skw_left
    left join lateral (
        select skw_right_in.*
        from dim as skw_right_in
        where skw_right_in.k2 = skw_left.k and skw_right_in.since <= skw_left.ts
        order by skw_right_in.since desc
        limit 1
    ) as skw_right on true
    where 'skw:as_of_join;keys=k:k2;left_time=ts;right_time=since;join=left;columns=v:v' <> ''
)

