{#
  A number as a whole number of units of 10^-digits, BIGINT, rounded half up; NULL for NULL, NaN and numbers of `most` units or more
  (2^53: from there on doubles are further apart than one unit). The same bits on every engine: one multiplication, one addition, FLOOR.
#}
{% macro _portable_units(x, digits, most=9007199254740992) %}
  {%- set power = skewless._portable_power(digits) -%}
  {%- set double = skewless._portable_double(x) -%}
  {%- set limit = most // power - 1 -%}
  {{ return(
    'case when ' ~ double ~ ' between ' ~ skewless._portable_double(-limit) ~ ' and ' ~ skewless._portable_double(limit)
    ~ ' then cast(floor(' ~ double ~ ' * ' ~ skewless._portable_double(power) ~ ' + ' ~ skewless._portable_double('0.5') ~ ') as bigint) end'
  ) }}
{% endmacro %}
