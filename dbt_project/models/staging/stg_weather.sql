select origin, observed_at, temp, wind_speed, wind_gust, precip, pressure, visib
from {{ source('nycflights13', 'weather') }}
