select distinct
    origin,
    dest,
    landed_at as event_timestamp,
    count(*) over last_30d as route_landings_30d,
    cast(sum(arr_delay) over last_30d as double) / nullif(count(arr_delay) over last_30d, 0) as route_mean_arr_delay_30d
from {{ ref('stg_landings') }}
where {{ skewless.input_window('landed_at') }}
window last_30d as (
    partition by origin, dest order by landed_at range between interval 30 days preceding and current row
)
