select tailnum, landed_at as event_timestamp, cast(1 as bigint) as landings from {{ source('airport', 'landings') }}
where landed_at > arrived_at - interval '2' second and landed_at <= arrived_at + interval '5' second
