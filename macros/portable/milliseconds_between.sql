{# How many boundaries of a millisecond lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro milliseconds_between(start, end) %}{{ return(skewless._portable_between('millisecond', start, end)) }}{% endmacro %}
