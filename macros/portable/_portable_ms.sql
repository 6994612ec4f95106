{# A duration ('1 hour', '15 minutes', '7d', '1d12h') in milliseconds. Months and years have no fixed length: SK240. #}
{% macro _portable_ms(duration) %}
  {%- set text = duration | string | lower | trim -%}
  {%- set names = {
    'w': 604800000, 'week': 604800000, 'd': 86400000, 'day': 86400000, 'h': 3600000, 'hour': 3600000, 'm': 60000, 'min': 60000,
    'minute': 60000, 's': 1000, 'sec': 1000, 'second': 1000,
  } -%}
  {%- set parts = modules.re.findall('([0-9]+) *([a-z]+)', text) -%}
  {%- set total = namespace(ms=0, known=(parts | length > 0 and modules.re.fullmatch('([0-9]+ *[a-z]+ *)+', text) is not none)) -%}
  {%- for number, unit in parts -%}
    {%- set one = unit if unit in names else unit[:-1] if unit | length > 3 and unit[-1] == 's' else '' -%}
    {%- if one in names -%}
      {%- set total.ms = total.ms + number | int * names[one] -%}
    {%- else -%}
      {%- set total.known = false -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if 'month' in text or 'year' in text -%}
    {{ skewless._portable_refuse('SK240', 'month windows have no streaming form', "Use days: '30 days'.") }}
  {%- elif not total.known or total.ms == 0 -%}
    {{ skewless._portable_refuse('SK240', '"' ~ duration ~ '" is not the length of a window', "Write it like '1 hour', '15 minutes' or '7d'.") }}
  {%- endif -%}
  {{ return(total.ms) }}
{% endmacro %}
