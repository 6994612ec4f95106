{# Stops with an error in the form that skewless prints everywhere. #}
{% macro _portable_refuse(code, fact, hint='') %}
  {{ exceptions.raise_compiler_error('error[' ~ code ~ ']: ' ~ fact ~ ('\n  hint: ' ~ hint if hint else '')) }}
{% endmacro %}
