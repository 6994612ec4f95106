{# The select list of a view's stage after __row_id: features by output name, then the status. `loose` as in _pit_value. #}
{% macro _pit_selected(view, chosen, at, alias, loose=false) %}
  {%- set out = [] -%}
  {%- for item in view.selected -%}
    {%- set value = skewless._pit_value(view, item, chosen, at, alias ~ '.' ~ adapter.quote(item.name), loose) -%}
    {%- do out.append(value ~ ' as ' ~ adapter.quote(item.output)) -%}
  {%- endfor -%}
  {%- if view.status -%}
    {%- do out.append("case when " ~ chosen ~ " is not null then 'ok' else 'missing' end as " ~ adapter.quote(view.status)) -%}
  {%- endif -%}
  {{ return(out) }}
{% endmacro %}
