select origin, observed_at as event_timestamp, temp, wind_speed, wind_gust, precip, pressure, visib
from {{ ref('stg_weather') }}
where {{ skewless.input_window('observed_at') }}
