-- One row a flight that landed. The instant of landing is the scheduled departure, plus the delay, plus the time in the air.
select
    carrier,
    tailnum,
    origin,
    dest,
    flight,
    scheduled_at,
    scheduled_at + to_minutes(dep_delay + air_time) as landed_at,
    arr_delay
from {{ source('nycflights13', 'flights') }}
where dep_delay is not null and air_time is not null
