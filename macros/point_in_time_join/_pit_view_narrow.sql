{# Each label's row is chosen by keys and time alone; features are fetched once for each chosen row. #}
{% macro _pit_view_narrow(view, semi) %}
  {%- set delay = view.get('availability_delay_us') or 0 -%}
  {%- set n = view.stage -%}
  {%- set chosen %}
select l.__row_id, l.__at, {{ skewless._pit_keys(view, 'l') }}, {{ skewless._pit_alive(view, 'h.event_timestamp', 'l.__at') }} as __chosen
from __labels l
asof left join (
    {{ skewless._pit_history(view, skewless._pit_keys(view, 'h') ~ ', h.event_timestamp', delay, semi) | indent(4) }}
) h on {{ skewless._pit_on(view, 'l', 'h') }} and l.__at{{ ' - ' ~ skewless._pit_interval(delay) if delay }} >= h.event_timestamp
  {%- endset -%}
  {%- set won %}select distinct {{ skewless._pit_keys(view, 'c') }}, c.__chosen from {{ n }}_chosen c where c.__chosen is not null{% endset -%}
  {%- set row %}
select {{ skewless._pit_keys(view, 'w') }}, w.__chosen, {{ skewless._pit_feature_columns(view, 'h') }}
from {{ view.relation }} h
join {{ n }}_won w on {{ skewless._pit_on(view, 'w', 'h') }} and w.__chosen = h.event_timestamp
where {{ skewless._pit_window(view, delay) }}
  {%- endset -%}
  {%- set final %}select c.__row_id,
    {{ skewless._pit_selected(view, 'c.__chosen', 'c.__at', 'r') | join(',\n    ') }}
from {{ n }}_chosen c
left join {{ n }}_row r on {{ skewless._pit_on(view, 'c', 'r') }} and c.__chosen = r.__chosen{% endset -%}
  {{ return([{'name': n ~ '_chosen', 'materialized': true, 'sql': chosen | trim}, {'name': n ~ '_won', 'materialized': true, 'sql': won},
             {'name': n ~ '_row', 'materialized': true, 'sql': row | trim}, {'name': n, 'materialized': false, 'sql': final}]) }}
{% endmacro %}
