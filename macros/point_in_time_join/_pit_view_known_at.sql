{#
  What one could have known at each label: ingested_at <= label_timestamp < superseded_at. `<n>_slot` carries the greatest event time that was
  ever visible by then (a running maximum over the order of visibility); a version of that slot that was valid then is the answer. Only labels
  whose slot had been retracted by then look further back (`<n>_back`).
#}
{% macro _pit_view_known_at(view, semi) %}
  {%- set n = view.stage -%}
  {%- set keys = skewless._pit_keys(view, 'h') -%}
  {%- set out = [] -%}
  {%- if view.get('backfill') -%}
    {%- do out.append({'name': n ~ '_first', 'materialized': true, 'sql': skewless._pit_first_versions(view)}) -%}
  {%- endif -%}
  {%- set seen %}
select {{ keys }}, h.event_timestamp, h.ingested_at, {{ skewless._pit_known_from(view) }} as __from,
    coalesce(h.superseded_at, timestamp 'infinity') as __until
from {{ view.relation }} h
{%- if semi %} semi join __labels l on {{ skewless._pit_on(view, 'l', 'h') }}{% endif %}
{%- if view.get('backfill') %}
left join {{ n }}_first f on {{ skewless._pit_on(view, 'f', 'h') }} and f.event_timestamp = h.event_timestamp
left join {{ view.backfill }} b on b.r = h.ingested_at and h.event_timestamp >= b.covered_from and h.event_timestamp < b.covered_to
{%- endif %}
where {{ skewless._pit_window(view, 0) }}
  {%- endset -%}
  {%- set slot %}
select {{ keys }}, greatest(h.event_timestamp, h.__from) as __visible_at,
    max(h.event_timestamp) over (
        partition by {{ keys }} order by greatest(h.event_timestamp, h.__from) range unbounded preceding
    ) as __slot
from {{ n }}_seen h
  {%- endset -%}
  {%- set at %}
select l.__row_id, l.__at, {{ skewless._pit_keys(view, 'l') }}, h.__slot
from __labels l
asof left join {{ n }}_slot h on {{ skewless._pit_on(view, 'l', 'h') }} and l.__at >= h.__visible_at
  {%- endset -%}
  {%- set hit %}
select a.__row_id, a.__at, {{ skewless._pit_keys(view, 'a') }}, h.event_timestamp, h.ingested_at
from {{ n }}_at a
join {{ n }}_seen h on {{ skewless._pit_on(view, 'a', 'h') }} and h.event_timestamp = a.__slot and h.__from <= a.__at and h.__until > a.__at
  {%- endset -%}
  {%- set back %}
select a.__row_id, a.__at, {{ skewless._pit_keys(view, 'a') }}, h.event_timestamp, h.ingested_at
from {{ n }}_at a
join {{ n }}_seen h on {{ skewless._pit_on(view, 'a', 'h') }} and h.event_timestamp < a.__slot and h.__from <= a.__at and h.__until > a.__at
where a.__row_id not in (select __row_id from {{ n }}_hit)
qualify row_number() over (partition by a.__row_id order by h.event_timestamp desc) = 1
  {%- endset -%}
  {%- set chosen %}
select w.__row_id, w.__at, {{ skewless._pit_keys(view, 'w') }}, {{ skewless._pit_alive(view, 'w.event_timestamp', 'w.__at') }} as __chosen, w.ingested_at
from (select * from {{ n }}_hit union all select * from {{ n }}_back) w
  {%- endset -%}
  {%- set won %}select distinct {{ skewless._pit_keys(view, 'c') }}, c.__chosen, c.ingested_at from {{ n }}_chosen c where c.__chosen is not null{% endset -%}
  {%- set row %}
select {{ skewless._pit_keys(view, 'w') }}, w.__chosen, w.ingested_at, {{ skewless._pit_feature_columns(view, 'h') }}
from {{ view.relation }} h
join {{ n }}_won w on {{ skewless._pit_on(view, 'w', 'h') }} and w.__chosen = h.event_timestamp and w.ingested_at = h.ingested_at
where {{ skewless._pit_window(view, 0) }}
  {%- endset -%}
  {%- set final %}select l.__row_id,
    {{ skewless._pit_selected(view, 'c.__chosen', 'l.__at', 'r') | join(',\n    ') }}
from __labels l
left join {{ n }}_chosen c on c.__row_id = l.__row_id
left join {{ n }}_row r on {{ skewless._pit_on(view, 'c', 'r') }} and c.__chosen = r.__chosen and c.ingested_at = r.ingested_at{% endset -%}
  {%- for cte in [[n ~ '_seen', seen], [n ~ '_slot', slot], [n ~ '_at', at], [n ~ '_hit', hit], [n ~ '_back', back], [n ~ '_chosen', chosen],
                  [n ~ '_won', won], [n ~ '_row', row]] -%}
    {%- do out.append({'name': cte[0], 'materialized': true, 'sql': cte[1] | trim}) -%}
  {%- endfor -%}
  {%- do out.append({'name': n, 'materialized': false, 'sql': final}) -%}
  {{ return(out) }}
{% endmacro %}
