{# An interval of whole seconds or microseconds: never days or months, whose length a time zone could change. #}
{% macro _pit_interval(us) %}
  {{- return('interval ' ~ (us // 1000000) ~ ' seconds' if us % 1000000 == 0 else 'interval ' ~ us ~ ' microseconds') -}}
{% endmacro %}
