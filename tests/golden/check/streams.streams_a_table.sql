select l.tailnum, l.landed_at as event_timestamp, cast(1 as bigint) as landings
from {{ source('airport', 'landings') }} as l
join {{ ref('fine_stream') }} as f on f.tailnum = l.tailnum
join {{ source('airport', 'planes') }} as p on p.tailnum = l.tailnum
