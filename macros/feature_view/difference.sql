{# What a run changes, a row a slot: i inserted, c corrected, r retracted; k kept, but moved from a stream's rows to the history. #}
{% macro feature_view_difference(view) %}
{%- set differs = skewless.feature_view_differs(view) -%}
create or replace temp table skw_delta as
select
  case when c.event_timestamp is null then 'i' when n.event_timestamp is null then 'r' when {{ differs }} then 'c' else 'k' end as __op,
  {% for s in view.slot %}coalesce(n.{{ s }}, c.{{ s }}) as {{ s }}, {% endfor %}
  {{ view.event_date | replace('event_timestamp', 'coalesce(n.event_timestamp, c.event_timestamp)') }} as event_date,
  epoch_us(c.ingested_at) as __was
from (__skw_wanted__) n
full join (__skw_before__) c on {{ skewless.feature_view_on_slot(view, 'n', 'c') }}
where c.event_timestamp is null or n.event_timestamp is null or {{ differs }} or __skw_moved__
{% endmacro %}

{# Per partition: the changes, the versions that streams left behind, and the oldest ingested_at of a kept row. #}
{% macro feature_view_touched(view) %}
select cast(to_json(list(skw_day order by date)) as varchar) from (
  select date, struct_pack(date := date, i := coalesce(i, 0), c := coalesce(c, 0), r := coalesce(r, 0), k := coalesce(k, 0),
    oldest := oldest, gone := coalesce(gone, 0), late := coalesce(late, 0)) as skw_day
  from (
    select cast(event_date as varchar) as date, count(*) filter (where __op = 'i') as i, count(*) filter (where __op = 'c') as c,
      count(*) filter (where __op = 'r') as r, count(*) filter (where __op = 'k') as k, min(__was) filter (where __op = 'k') as oldest
    from skw_delta group by 1
  ) full join (
    select cast(event_date as varchar) as date, count(*) as gone, count(*) filter (where superseded_at <= ingested_at) as late
    from (__skw_gone__) group by 1
  ) using (date)
)
{% endmacro %}

{# How many rows count now in what the run compares. #}
{% macro feature_view_known(view) %}
select cast(count(*) as varchar) from (__skw_before__)
{% endmacro %}

{# One slot that changed. #}
{% macro feature_view_delta_sample(view) %}
select cast(to_json(struct_pack(op := __op{% for c in view.slot %}, {{ c }} := {{ c }}{% endfor %})) as varchar)
from skw_delta order by event_timestamp limit 1
{% endmacro %}
