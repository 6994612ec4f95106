-- One row a flight that left.
select carrier, tailnum, origin, dest, flight, scheduled_at, departed_at, dep_delay
from {{ source('nycflights13', 'departures') }}
where {{ skewless.on_time(source('nycflights13', 'departures')) }}
