{# Conditions that are true or fail the query: as many rows were fetched as were chosen, hence one row a (join keys, event_timestamp). #}
{% macro _pit_checks(views, mode, shape) %}
  {%- set out = [] -%}
  {%- for view in views if mode == 'known_at' or skewless._pit_option(shape, view) == 'narrow' -%}
    {%- do out.append("(select case when (select count(*) from " ~ view.stage ~ "_row) = (select count(*) from " ~ view.stage ~ "_won) then true"
        ~ " else error('error[SK708]: " ~ view.ref ~ " holds two rows for one (join keys, event_timestamp)') end)") -%}
  {%- endfor -%}
  {{ return(out) }}
{% endmacro %}
