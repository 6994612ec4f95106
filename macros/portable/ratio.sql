{# One number divided by another, as doubles; NULL where the divisor is 0 or either is NULL. #}
{% macro ratio(numerator, denominator) %}
  {{- return(
    '(' ~ skewless._portable_double(numerator) ~ ' / nullif(' ~ skewless._portable_double(denominator) ~ ', ' ~ skewless._portable_double(0) ~ '))'
  ) -}}
{% endmacro %}
