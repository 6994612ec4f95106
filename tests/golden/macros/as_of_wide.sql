
with __labels as materialized (
    select row_number() over () as __row_id, make_timestamp(epoch_us(l."label_timestamp")) as __at, l.* from labels l
),
__v1_chosen as (
    select l.__row_id, l.__at, h.event_timestamp as __chosen, h."f", h."g"
    from __labels l
    asof left join (
        select h."k", h.event_timestamp, h."f", h."g" from plain h
        where h.event_timestamp <= (select max(__at) from __labels)
    ) h on l."k" = h."k" and l.__at >= h.event_timestamp
),
__v1 as (
    select c.__row_id,
        c."f" as "f",
        case when c.__chosen is not null then c."g" else cast('it''s none' as varchar) end as "gg",
        case when c.__chosen is not null then 'ok' else 'missing' end as "plain__status"
    from __v1_chosen c
),
__v2_chosen as (
    select l.__row_id, l.__at, case when h.event_timestamp >= l.__at - interval 4 seconds then h.event_timestamp end as __chosen, h."x", h."y", h."z"
    from __labels l
    asof left join (
        select h."a", h."b", h.event_timestamp, h."x", h."y", h."z" from aged h
        where h.event_timestamp >= (select min(__at) - interval 4 seconds from __labels) and h.event_timestamp <= (select max(__at) - interval 2 seconds from __labels)
    ) h on l."a" = h."a" and l."b" = h."b" and l.__at - interval 2 seconds >= h.event_timestamp
),
__v2 as (
    select c.__row_id,
        case when c.__chosen is not null then c."x" else cast('0.5' as double) end as "x",
        case when c.__chosen >= c.__at - interval 3 seconds then c."y" else cast('-1' as bigint) end as "y",
        case when c.__chosen >= c.__at - interval 2 seconds then c."z" end as "z",
        case when c.__chosen is not null then 'ok' else 'missing' end as "aged__status"
    from __v2_chosen c
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
order by l.__row_id
