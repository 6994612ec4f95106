{# Monday, 00:00, of a timestamp's week. #}
{% macro week_start(x) %}{{ return("date_trunc('week', " ~ x ~ ")") }}{% endmacro %}
