{# A condition on an input's time column: the rows that the window being computed needs, `lookback` (default: the block's input_lookback) before it included. #}
{% macro input_window(column, lookback=none) %}
  {%- set block = (config.get('meta') or {}).get('skewless') or {} -%}
  {%- set back = lookback or (block.get('input_lookback') if block is mapping else none) -%}
  {%- set start = skewless.window_start() ~ (' - ' ~ skewless.interval(back) if back else '') -%}
  {{ return('(' ~ column ~ ' >= ' ~ start ~ ' and ' ~ column ~ ' < ' ~ skewless.window_end() ~ ')') }}
{% endmacro %}
