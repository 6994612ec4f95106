{#
  The join of one view, for dbt models and training sets alike: [{name, materialized, sql}], the last named `view.stage` with __row_id, the
  selected features by their output names, and the status: one row for each row of __labels.
#}
{% macro _pit_view(view, mode, shape, semi) %}
  {%- set view_shape = skewless._pit_option(shape, view) -%}
  {%- if view_shape not in ('narrow', 'wide') -%}
    {{ skewless._pit_refuse('SK702', 'shape "' ~ view_shape ~ '" does not exist', 'There are narrow and wide.') }}
  {%- endif -%}
  {%- set view_semi = skewless._pit_option(semi, view) -%}
  {%- if mode == 'known_at' -%}{{ return(skewless._pit_view_known_at(view, view_semi)) }}{%- endif -%}
  {%- if view_shape == 'wide' -%}{{ return(skewless._pit_view_wide(view, view_semi)) }}{%- endif -%}
  {{ return(skewless._pit_view_narrow(view, view_semi)) }}
{% endmacro %}
