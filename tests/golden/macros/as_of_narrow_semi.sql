
with __labels as materialized (
    select row_number() over () as __row_id, make_timestamp(epoch_us(l."label_timestamp")) as __at, l.* from labels l
),
__v1_chosen as materialized (
    select l.__row_id, l.__at, l."k", h.event_timestamp as __chosen
    from __labels l
    asof left join (
        select h."k", h.event_timestamp from plain h semi join __labels l on l."k" = h."k"
        where h.event_timestamp <= (select max(__at) from __labels)
    ) h on l."k" = h."k" and l.__at >= h.event_timestamp
),
__v1_won as materialized (
    select distinct c."k", c.__chosen from __v1_chosen c where c.__chosen is not null
),
__v1_row as materialized (
    select w."k", w.__chosen, h."f", h."g"
    from plain h
    join __v1_won w on w."k" = h."k" and w.__chosen = h.event_timestamp
    where h.event_timestamp <= (select max(__at) from __labels)
),
__v1 as (
    select c.__row_id,
        r."f" as "f",
        case when c.__chosen is not null then r."g" else cast('it''s none' as varchar) end as "gg",
        case when c.__chosen is not null then 'ok' else 'missing' end as "plain__status"
    from __v1_chosen c
    left join __v1_row r on c."k" = r."k" and c.__chosen = r.__chosen
),
__v2_chosen as materialized (
    select l.__row_id, l.__at, l."a", l."b", case when h.event_timestamp >= l.__at - interval 4 seconds then h.event_timestamp end as __chosen
    from __labels l
    asof left join (
        select h."a", h."b", h.event_timestamp from aged h semi join __labels l on l."a" = h."a" and l."b" = h."b"
        where h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) - interval 2 seconds from __labels)
    ) h on l."a" = h."a" and l."b" = h."b" and l.__at - interval 2 seconds >= h.event_timestamp
),
__v2_won as materialized (
    select distinct c."a", c."b", c.__chosen from __v2_chosen c where c.__chosen is not null
),
__v2_row as materialized (
    select w."a", w."b", w.__chosen, h."x", h."y", h."z"
    from aged h
    join __v2_won w on w."a" = h."a" and w."b" = h."b" and w.__chosen = h.event_timestamp
    where h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) - interval 2 seconds from __labels)
),
__v2 as (
    select c.__row_id,
        case when c.__chosen is not null then r."x" else cast('0.5' as double) end as "x",
        case when c.__chosen >= c.__at - interval 3 seconds then r."y" else cast('-1' as bigint) end as "y",
        case when c.__chosen >= c.__at - interval 2 seconds then r."z" end as "z",
        case when c.__chosen is not null then 'ok' else 'missing' end as "aged__status"
    from __v2_chosen c
    left join __v2_row r on c."a" = r."a" and c."b" = r."b" and c.__chosen = r.__chosen
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
