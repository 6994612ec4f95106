{# How many boundaries of a day lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro days_between(start, end) %}{{ return(skewless._portable_between('day', start, end)) }}{% endmacro %}
