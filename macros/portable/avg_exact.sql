{#
  The mean of integers or decimals as a double: an exact sum, divided once by the count. NULL where there is no value.
  For doubles there is avg_fixed: adding a decimal to a double gives a double, and `skewless check` refuses their sum.
#}
{% macro avg_exact(x, over=none, where=none) %}
  {%- set x = skewless._portable_where(x, where) -%}
  {%- set over = skewless._portable_over(over) -%}
  {{ return(
    '(cast(sum((' ~ x ~ ') + cast(0 as decimal(19, 1)))' ~ over ~ ' as double precision) / nullif('
    ~ skewless._portable_double('count(' ~ x ~ ')' ~ over) ~ ', ' ~ skewless._portable_double(0) ~ '))'
  ) }}
{% endmacro %}
