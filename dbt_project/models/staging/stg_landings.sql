-- One row a flight that landed. `arrived_at` is left behind: it only says which events count.
select carrier, tailnum, origin, dest, flight, scheduled_at, landed_at, arr_delay
from {{ source('nycflights13', 'landings') }}
where {{ skewless.on_time(source('nycflights13', 'landings')) }}
