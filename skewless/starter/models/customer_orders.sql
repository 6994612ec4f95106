-- One row an order: what was known about the customer at that instant.
select
    customer_id,
    ordered_at as event_timestamp,
    amount as last_amount,
    count(*) over last_30d as orders_30d,
    cast(sum(amount) over last_30d as decimal(18, 2)) as spent_30d
from (
    select customer_id, ordered_at, cast(amount as decimal(18, 2)) as amount
    from {{ source('shop', 'orders') }}
)
where {{ skewless.input_window('ordered_at') }}
window last_30d as (
    partition by customer_id order by ordered_at range between interval 30 days preceding and current row
)
