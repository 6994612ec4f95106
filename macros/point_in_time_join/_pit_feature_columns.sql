{# The selected features of a view as they are stored, each once, with an alias in front. #}
{% macro _pit_feature_columns(view, alias) %}
  {%- set out = [] -%}
  {%- for item in view.selected if (alias ~ '.' ~ adapter.quote(item.name)) not in out -%}
    {%- do out.append(alias ~ '.' ~ adapter.quote(item.name)) -%}
  {%- endfor -%}
  {{ return(out | join(', ')) }}
{% endmacro %}
