
with __labels as materialized (
    select row_number() over () as __row_id, make_timestamp(epoch_us(l."label_timestamp")) as __at, l.* from labels l
),
__v1_first as materialized (
    select h."k", h.event_timestamp, min(h.ingested_at) as ingested_at
    from plain_versions h
    where h.superseded_at is not null and h.event_timestamp <= (select max(__at) from __labels)
    group by h."k", h.event_timestamp
),
__v1_seen as materialized (
    select h."k", h.event_timestamp, h.ingested_at, case when b.r is not null and (f.ingested_at is null or f.ingested_at = h.ingested_at)
            then least(h.ingested_at, h.event_timestamp + interval 0 seconds) else h.ingested_at end as __from,
        coalesce(h.superseded_at, timestamp 'infinity') as __until
    from plain_versions h
    left join __v1_first f on f."k" = h."k" and f.event_timestamp = h.event_timestamp
    left join backfill b on b.r = h.ingested_at and h.event_timestamp >= b.covered_from and h.event_timestamp < b.covered_to
    where h.event_timestamp <= (select max(__at) from __labels)
),
__v1_slot as materialized (
    select h."k", greatest(h.event_timestamp, h.__from) as __visible_at,
        max(h.event_timestamp) over (
            partition by h."k" order by greatest(h.event_timestamp, h.__from) range unbounded preceding
        ) as __slot
    from __v1_seen h
),
__v1_at as materialized (
    select l.__row_id, l.__at, l."k", h.__slot
    from __labels l
    asof left join __v1_slot h on l."k" = h."k" and l.__at >= h.__visible_at
),
__v1_hit as materialized (
    select a.__row_id, a.__at, a."k", h.event_timestamp, h.ingested_at
    from __v1_at a
    join __v1_seen h on a."k" = h."k" and h.event_timestamp = a.__slot and h.__from <= a.__at and h.__until > a.__at
),
__v1_back as materialized (
    select a.__row_id, a.__at, a."k", h.event_timestamp, h.ingested_at
    from __v1_at a
    join __v1_seen h on a."k" = h."k" and h.event_timestamp < a.__slot and h.__from <= a.__at and h.__until > a.__at
    where a.__row_id not in (select __row_id from __v1_hit)
    qualify row_number() over (partition by a.__row_id order by h.event_timestamp desc) = 1
),
__v1_chosen as materialized (
    select w.__row_id, w.__at, w."k", w.event_timestamp as __chosen, w.ingested_at
    from (select * from __v1_hit union all select * from __v1_back) w
),
__v1_won as materialized (
    select distinct c."k", c.__chosen, c.ingested_at from __v1_chosen c where c.__chosen is not null
),
__v1_row as materialized (
    select w."k", w.__chosen, w.ingested_at, h."f", h."g"
    from plain_versions h
    join __v1_won w on w."k" = h."k" and w.__chosen = h.event_timestamp and w.ingested_at = h.ingested_at
    where h.event_timestamp <= (select max(__at) from __labels)
),
__v1 as (
    select l.__row_id,
        r."f" as "f",
        case when c.__chosen is not null then r."g" else cast('it''s none' as varchar) end as "gg",
        case when c.__chosen is not null then 'ok' else 'missing' end as "plain__status"
    from __labels l
    left join __v1_chosen c on c.__row_id = l.__row_id
    left join __v1_row r on c."k" = r."k" and c.__chosen = r.__chosen and c.ingested_at = r.ingested_at
),
__v2_first as materialized (
    select h."a", h."b", h.event_timestamp, min(h.ingested_at) as ingested_at
    from aged_versions h
    where h.superseded_at is not null and h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) from __labels)
    group by h."a", h."b", h.event_timestamp
),
__v2_seen as materialized (
    select h."a", h."b", h.event_timestamp, h.ingested_at, case when b.r is not null and (f.ingested_at is null or f.ingested_at = h.ingested_at)
            then least(h.ingested_at, h.event_timestamp + interval 2 seconds) else h.ingested_at end as __from,
        coalesce(h.superseded_at, timestamp 'infinity') as __until
    from aged_versions h
    left join __v2_first f on f."a" = h."a" and f."b" = h."b" and f.event_timestamp = h.event_timestamp
    left join backfill b on b.r = h.ingested_at and h.event_timestamp >= b.covered_from and h.event_timestamp < b.covered_to
    where h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) from __labels)
),
__v2_slot as materialized (
    select h."a", h."b", greatest(h.event_timestamp, h.__from) as __visible_at,
        max(h.event_timestamp) over (
            partition by h."a", h."b" order by greatest(h.event_timestamp, h.__from) range unbounded preceding
        ) as __slot
    from __v2_seen h
),
__v2_at as materialized (
    select l.__row_id, l.__at, l."a", l."b", h.__slot
    from __labels l
    asof left join __v2_slot h on l."a" = h."a" and l."b" = h."b" and l.__at >= h.__visible_at
),
__v2_hit as materialized (
    select a.__row_id, a.__at, a."a", a."b", h.event_timestamp, h.ingested_at
    from __v2_at a
    join __v2_seen h on a."a" = h."a" and a."b" = h."b" and h.event_timestamp = a.__slot and h.__from <= a.__at and h.__until > a.__at
),
__v2_back as materialized (
    select a.__row_id, a.__at, a."a", a."b", h.event_timestamp, h.ingested_at
    from __v2_at a
    join __v2_seen h on a."a" = h."a" and a."b" = h."b" and h.event_timestamp < a.__slot and h.__from <= a.__at and h.__until > a.__at
    where a.__row_id not in (select __row_id from __v2_hit)
    qualify row_number() over (partition by a.__row_id order by h.event_timestamp desc) = 1
),
__v2_chosen as materialized (
    select w.__row_id, w.__at, w."a", w."b", case when w.event_timestamp >= w.__at - interval 4 seconds then w.event_timestamp end as __chosen, w.ingested_at
    from (select * from __v2_hit union all select * from __v2_back) w
),
__v2_won as materialized (
    select distinct c."a", c."b", c.__chosen, c.ingested_at from __v2_chosen c where c.__chosen is not null
),
__v2_row as materialized (
    select w."a", w."b", w.__chosen, w.ingested_at, h."x", h."y", h."z"
    from aged_versions h
    join __v2_won w on w."a" = h."a" and w."b" = h."b" and w.__chosen = h.event_timestamp and w.ingested_at = h.ingested_at
    where h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) from __labels)
),
__v2 as (
    select l.__row_id,
        case when c.__chosen is not null then r."x" else cast('0.5' as double) end as "x",
        case when c.__chosen >= l.__at - interval 3 seconds then r."y" else cast('-1' as bigint) end as "y",
        case when c.__chosen >= l.__at - interval 2 seconds then r."z" end as "z",
        case when c.__chosen is not null then 'ok' else 'missing' end as "aged__status"
    from __labels l
    left join __v2_chosen c on c.__row_id = l.__row_id
    left join __v2_row r on c."a" = r."a" and c."b" = r."b" and c.__chosen = r.__chosen and c.ingested_at = r.ingested_at
)
select
    l.* exclude (__row_id, __at),
    __v1."f",
    __v1."gg",
    __v2."x",
    __v2."y",
    __v2."z",
    __v1."plain__status",
    __v2."aged__status"
from __labels l
join __v1 on __v1.__row_id = l.__row_id
join __v2 on __v2.__row_id = l.__row_id
where (select case when (select count(*) from __v1_row) = (select count(*) from __v1_won) then true else error('error[SK708]: plain@1 holds two rows for one (join keys, event_timestamp)') end)
  and (select case when (select count(*) from __v2_row) = (select count(*) from __v2_won) then true else error('error[SK708]: aged@2 holds two rows for one (join keys, event_timestamp)') end)
order by l.__row_id
