{# The greatest whole number that is not greater than a number, BIGINT; NULL for NULL, NaN and numbers beyond 2^53. #}
{% macro to_bigint(x) %}
  {%- set double = skewless._portable_double(x) -%}
  {{ return(
    'case when ' ~ double ~ ' between ' ~ skewless._portable_double('-9007199254740992') ~ ' and '
    ~ skewless._portable_double('9007199254740992') ~ ' then cast(floor(' ~ double ~ ') as bigint) end'
  ) }}
{% endmacro %}
