{# `7d`, `1d12h`, `90m` -> microseconds; none stays none. #}
{% macro _pit_duration_us(text) %}
  {%- if text is none -%}{{ return(none) }}{%- endif -%}
  {%- set units = {'w': 604800000000, 'd': 86400000000, 'h': 3600000000, 'm': 60000000, 's': 1000000, 'ms': 1000, 'us': 1} -%}
  {%- if not modules.re.fullmatch('((\\d+)(us|ms|w|d|h|m|s))+', text | string | trim) -%}
    {{ skewless._pit_refuse('SK103', '"' ~ text ~ '" is not a duration', 'Write it like 7d, 6h, 30m or 1d12h.') }}
  {%- endif -%}
  {%- set total = namespace(us=0) -%}
  {%- for part in modules.re.findall('(\\d+)(us|ms|w|d|h|m|s)', text | string) -%}
    {%- set total.us = total.us + (part[0] | int) * units[part[1]] -%}
  {%- endfor -%}
  {{ return(total.us) }}
{% endmacro %}
