{# How many boundaries of a minute lie between two timestamps, BIGINT; negative where the first is the later one. #}
{% macro minutes_between(start, end) %}{{ return(skewless._portable_between('minute', start, end)) }}{% endmacro %}
