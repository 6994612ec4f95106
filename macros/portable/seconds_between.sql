{# How many boundaries of a second lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro seconds_between(start, end) %}{{ return(skewless._portable_between('second', start, end)) }}{% endmacro %}
