{#
  A condition on the rows of a source that is a stream: those that count, there and here. arrived_at - lateness < event_timestamp
  <= arrived_at + 5 s, with the columns and the lateness of the source's `meta.skewless.stream`. `name`: what the query calls the source.
#}
{% macro on_time(source, name=none) %}
  {%- if not execute -%}{{ return('true') }}{%- endif -%}
  {%- set stream = skewless._stream_of(source) -%}
  {%- set prefix = name ~ '.' if name else '' -%}
  {%- set at, arrived = prefix ~ stream.event_timestamp, prefix ~ stream.arrived_at -%}
  {%- set ms = stream.lateness_ms -%}
  {%- set late = skewless._portable_interval(ms) if ms % 1000 == 0 else "interval '" ~ ms / 1000 ~ "' second" -%}
  {{ return('(' ~ at ~ ' > ' ~ arrived ~ ' - ' ~ late ~ ' and ' ~ at ~ ' <= ' ~ arrived ~ " + interval '5' second)") }}
{% endmacro %}
