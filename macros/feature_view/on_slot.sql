{# The join condition of two rows of one slot. Slots hold no NULL. #}
{% macro feature_view_on_slot(view, a, b) %}
  {%- set parts = [] -%}
  {%- for c in view.slot -%}{%- do parts.append(a ~ '.' ~ c ~ ' = ' ~ b ~ '.' ~ c) -%}{%- endfor -%}
  {{ return(parts | join(' and ')) }}
{% endmacro %}
