{# Equality of join keys between two aliases. `=` and not `is not distinct from`: a NULL key matches nothing. #}
{% macro _pit_on(view, left, right) %}
  {%- set out = [] -%}
  {%- for key in view.join_keys -%}
    {%- do out.append(left ~ '.' ~ adapter.quote(key) ~ ' = ' ~ right ~ '.' ~ adapter.quote(key)) -%}
  {%- endfor -%}
  {{ return(out | join(' and ')) }}
{% endmacro %}
