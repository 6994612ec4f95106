-- A plane lands once at an instant: should the source ever hold two landings of a plane in one minute, the run is refused.
select
    tailnum,
    landed_at as event_timestamp,
    landed_at as plane_last_landed_at,
    dest as plane_last_airport,
    arr_delay as plane_last_arr_delay,
    count(*) over (
        partition by tailnum order by landed_at range between interval 24 hours preceding and current row
    ) as plane_landings_24h
from {{ ref('stg_landings') }}
where tailnum is not null and {{ skewless.input_window('landed_at') }}
