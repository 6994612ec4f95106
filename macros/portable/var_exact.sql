{#
  The variance of numbers that have `digits` places after the point, from exact sums: (n * sum(x^2) - sum(x)^2) / n^2 in decimals, one division of
  doubles. `sample` divides by n * (n - 1). NULL where there is no value, a value is no finite number or has 10^15 units of 10^-digits or more, and
  where the sum has 10^18 or the sum of squares 10^27 units or more.
#}
{% macro var_exact(x, digits, over=none, where=none, sample=false) %}
  {%- set power = skewless._portable_power(digits) -%}
  {%- set x = skewless._portable_where(x, where) -%}
  {%- set over = skewless._portable_over(over) -%}
  {%- set units = skewless._portable_units(x, digits, 10 ** 15) -%}
  {%- set n = 'count(' ~ x ~ ')' ~ over -%}
  {%- set total = 'sum(cast(' ~ units ~ ' as decimal(19, 0)))' ~ over -%}
  {%- set squares = 'sum(cast(' ~ units ~ ' as decimal(19, 0)) * cast(' ~ units ~ ' as decimal(15, 0)))' ~ over -%}
  {%- set most = "cast('" ~ '9' * 18 ~ "' as decimal(18, 0))" -%}
  {%- set double_n = skewless._portable_double(n) -%}
  {%- set divisor = double_n ~ ' * ' ~ ('(' ~ double_n ~ ' - ' ~ skewless._portable_double(1) ~ ')' if sample else double_n) -%}
  {{ return(
    'case when ' ~ n ~ ' = count(' ~ units ~ ')' ~ over ~ ' and ' ~ n ~ ' <= 9999999999 and ' ~ total ~ ' between -' ~ most ~ ' and ' ~ most
    ~ ' and ' ~ squares ~ " <= cast('" ~ '9' * 27 ~ "' as decimal(27, 0))"
    ~ ' then cast(cast(abs(cast(' ~ n ~ ' as decimal(10, 0)) * cast(' ~ squares ~ ' as decimal(27, 0)) - cast(' ~ total
    ~ ' as decimal(19, 0)) * cast(' ~ total ~ ' as decimal(18, 0))) as decimal(38, 1)) as double precision) / nullif(' ~ divisor ~ ' * '
    ~ skewless._portable_double(power * power) ~ ', ' ~ skewless._portable_double(0) ~ ') end'
  ) }}
{% endmacro %}
