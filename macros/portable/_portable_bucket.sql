{# The start of the span of `ms` milliseconds that holds the time `skw_in.<column>`, counted from 1970-01-01 plus `offset_ms`. #}
{% macro _portable_bucket(column, ms, offset_ms=0) %}
  {%- set origin = modules.datetime.datetime(1970, 1, 1) + modules.datetime.timedelta(milliseconds=offset_ms) -%}
  {{- return(adapter.dispatch('_portable_bucket', 'skewless')(column, skewless._portable_interval(ms), "timestamp '" ~ origin ~ "'")) -}}
{% endmacro %}

{% macro default___portable_bucket(column, width, origin) %}
  {{- return('date_bin(' ~ width ~ ', skw_in.' ~ column ~ ', ' ~ origin ~ ')') -}}
{% endmacro %}

{% macro duckdb___portable_bucket(column, width, origin) %}
  {{- return('time_bucket(' ~ width ~ ', skw_in.' ~ column ~ ', ' ~ origin ~ ')') -}}
{% endmacro %}
