select tailnum, landed_at as event_timestamp, cast(1 as bigint) as landings from {{ source('airport', 'kept_without_arrival') }}
