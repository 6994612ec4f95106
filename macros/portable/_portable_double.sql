{# An expression or number as a double. #}
{% macro _portable_double(x) %}{{ return('cast(' ~ x ~ ' as double precision)') }}{% endmacro %}
