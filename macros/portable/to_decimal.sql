{# A number as decimal(18, digits), rounded half up; NULL where it has more than 15 digits or is no finite number. #}
{% macro to_decimal(x, digits) %}
  {%- set unit = 'cast(' ~ ('1' if digits == 0 else '0.' ~ '0' * (digits - 1) ~ '1') ~ ' as decimal(' ~ [digits, 1] | max ~ ', ' ~ digits ~ '))' -%}
  {{ return(
    'cast(cast(' ~ skewless._portable_units(x, digits, 10 ** 15) ~ ' as decimal(19, 0)) * ' ~ unit ~ ' as decimal(18, ' ~ digits ~ '))'
  ) }}
{% endmacro %}
