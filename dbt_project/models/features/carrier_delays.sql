-- `distinct`: the flights of a carrier that land in the same minute share one row, because a RANGE frame ends with all of them.
select distinct
    carrier,
    landed_at as event_timestamp,
    count(*) over last_24h as carrier_landings_24h,
    count(*) filter (where arr_delay >= 30) over last_24h as carrier_late_24h,
    cast(sum(arr_delay) over last_24h as double) / nullif(count(arr_delay) over last_24h, 0) as carrier_mean_arr_delay_24h,
    count(*) over last_7d as carrier_landings_7d
from {{ ref('stg_landings') }}
where {{ skewless.input_window('landed_at') }}
window
    last_24h as (partition by carrier order by landed_at range between interval 24 hours preceding and current row),
    last_7d as (partition by carrier order by landed_at range between interval 7 days preceding and current row)
