{# Milliseconds (whole seconds) as a SQL interval in its largest whole unit. #}
{% macro _portable_interval(ms) %}
  {%- for length, unit in [(86400000, 'day'), (3600000, 'hour'), (60000, 'minute'), (1000, 'second')] -%}
    {%- if ms % length == 0 -%}{{ return("interval '" ~ ms // length ~ "' " ~ unit) }}{%- endif -%}
  {%- endfor -%}
{% endmacro %}
