{# `time` when it is within the view's ttl of `at` (inclusive), else NULL. The chosen row is the newest, so testing it alone is enough. #}
{% macro _pit_alive(view, time, at) %}
  {%- if view.ttl_us is none -%}{{ return(time) }}{%- endif -%}
  {{ return('case when ' ~ time ~ ' >= ' ~ at ~ ' - ' ~ skewless._pit_interval(view.ttl_us) ~ ' then ' ~ time ~ ' end') }}
{% endmacro %}
