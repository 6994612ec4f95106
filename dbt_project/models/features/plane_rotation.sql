-- A plane lands once at an instant. Should the source hold two landings of one plane in the same minute, the one that was
-- scheduled later counts as the last, then the greater flight number.
with landings as (
    select
        tailnum,
        landed_at,
        dest,
        arr_delay,
        count(*) over (
            partition by tailnum order by landed_at range between interval 24 hours preceding and current row
        ) as plane_landings_24h,
        row_number() over (
            partition by tailnum, landed_at order by scheduled_at desc, flight desc, dest desc, arr_delay desc
        ) as place
    from {{ ref('stg_landings') }}
    where tailnum is not null and {{ skewless.input_window('landed_at') }}
)

select
    tailnum,
    landed_at as event_timestamp,
    landed_at as plane_last_landed_at,
    dest as plane_last_airport,
    arr_delay as plane_last_arr_delay,
    plane_landings_24h
from landings
where place = 1
