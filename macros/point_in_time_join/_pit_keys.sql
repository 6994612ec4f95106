{# The join keys of a view, each with an alias in front. #}
{% macro _pit_keys(view, alias) %}
  {%- set out = [] -%}
  {%- for key in view.join_keys -%}{%- do out.append(alias ~ '.' ~ adapter.quote(key)) -%}{%- endfor -%}
  {{ return(out | join(', ')) }}
{% endmacro %}
