{# A value as a quoted SQL text, for a cast to read. #}
{% macro _pit_literal(value) %}
  {{- return('null' if value is none else "'" ~ (value | string | replace("'", "''")) ~ "'") -}}
{% endmacro %}
