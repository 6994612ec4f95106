{# A double without minus zero, which a stream groups, counts and prints apart from zero. #}
{% macro plus_zero(x) %}
  {{- return('case when ' ~ skewless._portable_double(x) ~ ' = 0 then ' ~ skewless._portable_double(0) ~ ' else ' ~ skewless._portable_double(x) ~ ' end') -}}
{% endmacro %}
