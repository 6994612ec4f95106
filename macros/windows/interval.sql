{# A duration such as 7d, 6h or 1d12h as a SQL interval in its largest whole unit. #}
{% macro interval(duration) %}
  {%- set seconds = {'w': 604800, 'd': 86400, 'h': 3600, 'm': 60, 's': 1} -%}
  {%- set parts = modules.re.findall('([0-9]+)([wdhms])', duration | string) -%}
  {%- if not parts or parts | map('join') | join != duration | string -%}
    {{ exceptions.raise_compiler_error('error[SK103]: "' ~ duration ~ '" is not a duration\n  hint: Write it like 7d, 6h, 30m or 1d12h.') }}
  {%- endif -%}
  {%- set total = namespace(value=0) -%}
  {%- for number, unit in parts -%}{%- set total.value = total.value + number | int * seconds[unit] -%}{%- endfor -%}
  {%- for unit, name in [('d', 'day'), ('h', 'hour'), ('m', 'minute'), ('s', 'second')] -%}
    {%- if total.value % seconds[unit] == 0 -%}{{ return("interval '" ~ total.value // seconds[unit] ~ "' " ~ name) }}{%- endif -%}
  {%- endfor -%}
{% endmacro %}
