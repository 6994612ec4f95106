{# One as-of join that carries the features. Right only where (join keys, event_timestamp) is unique, which the lake guarantees. #}
{% macro _pit_view_wide(view, semi) %}
  {%- set delay = view.get('availability_delay_us') or 0 -%}
  {%- set features = skewless._pit_feature_columns(view, 'h') -%}
  {%- set columns = skewless._pit_keys(view, 'h') ~ ', h.event_timestamp, ' ~ features -%}
  {%- set chosen %}
select l.__row_id, l.__at, {{ skewless._pit_alive(view, 'h.event_timestamp', 'l.__at') }} as __chosen, {{ features }}
from __labels l
asof left join (
    {{ skewless._pit_history(view, columns, delay, semi) | indent(4) }}
) h on {{ skewless._pit_on(view, 'l', 'h') }} and l.__at{{ ' - ' ~ skewless._pit_interval(delay) if delay }} >= h.event_timestamp
  {%- endset -%}
  {%- set final %}select c.__row_id,
    {{ skewless._pit_selected(view, 'c.__chosen', 'c.__at', 'c', loose=view.ttl_us is not none) | join(',\n    ') }}
from {{ view.stage }}_chosen c{% endset -%}
  {{ return([{'name': view.stage ~ '_chosen', 'materialized': false, 'sql': chosen | trim},
             {'name': view.stage, 'materialized': false, 'sql': final}]) }}
{% endmacro %}
