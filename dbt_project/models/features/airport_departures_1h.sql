with departing as (
    select origin, departed_at, dep_delay from {{ ref('stg_departures') }} where {{ skewless.input_window('departed_at') }}
)

select
    origin,
    window_end as event_timestamp,
    count(*) as airport_departures_1h,
    {{ skewless.avg_exact('dep_delay') }} as airport_mean_dep_delay_1h,
    max(dep_delay) as airport_longest_dep_delay_1h
from {{ skewless.hop('departing', 'departed_at', size='1 hour', slide='5 minutes') }} as w
group by origin, window_start, window_end
