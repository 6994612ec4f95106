{# How many boundaries of a hour lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro hours_between(start, end) %}{{ return(skewless._portable_between('hour', start, end)) }}{% endmacro %}
