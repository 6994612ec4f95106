{# Ten to the power of `digits`, 0 to 9; SK241 for anything else. #}
{% macro _portable_power(digits) %}
  {%- if digits is not integer or digits < 0 or digits > 9 -%}
    {{ skewless._portable_refuse('SK241', '"' ~ digits ~ '" digits after the point are not possible', 'Choose 0 to 9.') }}
  {%- endif -%}
  {{ return(10 ** digits) }}
{% endmacro %}
