-- One row an order: what was known about the customer at that instant. Money is decimal, so that its sum is exact on every engine.
with purchases as (
    select customer_id, ordered_at, {{ skewless.to_decimal('amount', 2) }} as amount
    from {{ source('shop', 'orders') }}
    where {{ skewless.input_window('ordered_at') }}
)

select
    customer_id,
    ordered_at as event_timestamp,
    amount as last_amount,
    count(*) over last_30d as orders_30d,
    sum(amount) over last_30d as spent_30d
from purchases
window last_30d as (
    partition by customer_id order by ordered_at range between interval 30 days preceding and current row
)
