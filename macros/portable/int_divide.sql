{# The quotient of two integers, cut towards zero; NULL where the divisor is 0. #}
{% macro int_divide(numerator, denominator) %}
  {{- return(adapter.dispatch('int_divide', 'skewless')(numerator, denominator)) -}}
{% endmacro %}

{% macro default__int_divide(numerator, denominator) %}
  {{- return('((' ~ numerator ~ ') / nullif(' ~ denominator ~ ', 0))') -}}
{% endmacro %}

{% macro duckdb__int_divide(numerator, denominator) %}
  {{- return('((' ~ numerator ~ ') // nullif(' ~ denominator ~ ', 0))') -}}
{% endmacro %}
