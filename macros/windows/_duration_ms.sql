{# A duration such as 1s, 1500ms or 1m30s in milliseconds. #}
{% macro _duration_ms(duration) %}
  {%- set lengths = {'w': 604800000, 'd': 86400000, 'h': 3600000, 'm': 60000, 's': 1000, 'ms': 1} -%}
  {%- set parts = modules.re.findall('([0-9]+)(ms|[wdhms])', duration | string) -%}
  {%- if not parts or parts | map('join') | join != duration | string -%}
    {{ exceptions.raise_compiler_error('error[SK103]: "' ~ duration ~ '" is not a duration\n  hint: Write it like 1s, 500ms or 1m30s.') }}
  {%- endif -%}
  {%- set total = namespace(value=0) -%}
  {%- for number, unit in parts -%}{%- set total.value = total.value + number | int * lengths[unit] -%}{%- endfor -%}
  {{ return(total.value) }}
{% endmacro %}
