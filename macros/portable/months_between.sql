{# How many boundaries of a month lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro months_between(start, end) %}{{ return(skewless._portable_between('month', start, end)) }}{% endmacro %}
