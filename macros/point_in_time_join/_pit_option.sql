{# An option that is given for all views, or a view: {"view@1": value}. #}
{% macro _pit_option(value, view) %}
  {{- return(value[view.ref] if value is mapping else value) -}}
{% endmacro %}
