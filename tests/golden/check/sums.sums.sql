with sales as (
    select shop_id, sold_at, cents, price::double as price, weight
    from main.sales
)

select
    shop_id,
    sold_at as event_timestamp,
    count(*) over w as counted,
    sum(cents::decimal(18, 2)) over w as exact,
    avg(cents::bigint) over w as exact_mean,
    sum(price) over w as money,
    stddev(cents::bigint) over w as spread,
    stddev(price) over w as known_spread,
    sum(weight) over w / count(*) over w as doubtful,
    max(price) over w as ordered
from sales
window w as (partition by shop_id order by sold_at range between interval 7 days preceding and current row)
