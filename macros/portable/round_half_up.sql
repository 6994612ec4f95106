{#
  A double rounded to `digits` places, half up (towards positive infinity): floor(x * 10^digits + 0.5) / 10^digits. Numbers of 2^53 units of
  10^-digits or more, infinities and NaN stay as they are.
#}
{% macro round_half_up(x, digits=0) %}
  {%- set power = skewless._portable_power(digits) -%}
  {%- set double = skewless._portable_double(x) -%}
  {%- set limit = 9007199254740992 // power - 1 -%}
  {{ return(
    'case when ' ~ double ~ ' between ' ~ skewless._portable_double(-limit) ~ ' and ' ~ skewless._portable_double(limit) ~ ' then floor(' ~ double
    ~ ' * ' ~ skewless._portable_double(power) ~ ' + ' ~ skewless._portable_double('0.5') ~ ') / ' ~ skewless._portable_double(power)
    ~ ' else ' ~ double ~ ' end'
  ) }}
{% endmacro %}
