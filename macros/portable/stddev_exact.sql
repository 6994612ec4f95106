{# The square root of var_exact. #}
{% macro stddev_exact(x, digits, over=none, where=none, sample=false) %}
  {{- return('sqrt(' ~ skewless.var_exact(x, digits, over, where, sample) ~ ')') -}}
{% endmacro %}
