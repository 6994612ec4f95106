{#
  The part of the history that the label frame can see, both bounds inclusive. Scalar subqueries prune files and row groups as well as literals
  do in DuckDB, and keep the SQL independent of the label frame.
#}
{% macro _pit_window(view, delay_us, alias='h') %}
  {%- set upper = alias ~ '.event_timestamp <= (select max(__at)' ~ (' - ' ~ skewless._pit_interval(delay_us) if delay_us else '') ~ ' from __labels)' -%}
  {%- if view.ttl_us is none -%}{{ return(upper) }}{%- endif -%}
  {{ return(alias ~ '.event_timestamp >= (select min(__at) - ' ~ skewless._pit_interval(view.ttl_us) ~ ' from __labels) and ' ~ upper) }}
{% endmacro %}
