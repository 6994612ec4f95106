{# The mean of a double: the sum of its values in units of 10^-digits, as sum_fixed adds them, divided once. NULL where sum_fixed is NULL. #}
{% macro avg_fixed(x, digits, over=none, where=none) %}
  {%- set x = skewless._portable_where(x, where) -%}
  {%- set units = skewless._portable_units(x, digits) -%}
  {%- set over = skewless._portable_over(over) -%}
  {%- set count = 'count(' ~ x ~ ')' ~ over -%}
  {{ return(
    'case when ' ~ count ~ ' = count(' ~ units ~ ')' ~ over ~ ' then cast(sum(cast(' ~ units ~ ' as decimal(20, 1)))' ~ over
    ~ ' as double precision) / nullif(' ~ skewless._portable_double(skewless._portable_power(digits)) ~ ' * '
    ~ skewless._portable_double(count) ~ ', ' ~ skewless._portable_double(0) ~ ') end'
  ) }}
{% endmacro %}
