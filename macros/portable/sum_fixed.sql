{#
  The sum of a double, exact in units of 10^-digits and the same in any order of addition: each value is rounded to `digits` places (half up),
  the units are added as decimals, the sum becomes a double again. NULL where the group has no value, and where a value is NaN, infinite, or
  2^53 units or more.
#}
{% macro sum_fixed(x, digits, over=none, where=none) %}
  {%- set x = skewless._portable_where(x, where) -%}
  {%- set units = skewless._portable_units(x, digits) -%}
  {%- set over = skewless._portable_over(over) -%}
  {{ return(
    'case when count(' ~ x ~ ')' ~ over ~ ' = count(' ~ units ~ ')' ~ over ~ ' then cast(sum(cast(' ~ units ~ ' as decimal(20, 1)))' ~ over
    ~ ' as double precision) / ' ~ skewless._portable_double(skewless._portable_power(digits)) ~ ' end'
  ) }}
{% endmacro %}
