{# The stream of a source's relation: event_timestamp, arrived_at, lateness_ms. Refuses a source that is none or keeps no arrival time. #}
{% macro _stream_of(source) %}
  {%- set found = namespace(node=none) -%}
  {%- for node in graph.sources.values() if (node.identifier, node.schema) == (source.identifier, source.schema) -%}
    {%- set found.node = node -%}
  {%- endfor -%}
  {%- set meta = (found.node.config.get('meta') or found.node.get('meta') or {}) if found.node else {} -%}
  {%- set stream = (meta.get('skewless') or {}).get('stream') or {} -%}
  {%- set columns = (found.node.columns.keys() | map('lower') | list) if found.node else [] -%}
  {%- set arrived = stream.get('arrived_at') or ('arrived_at' if 'arrived_at' in columns else none) -%}
  {%- if not stream.get('event_timestamp') or not arrived -%}
    {{ exceptions.raise_compiler_error('error[SK139]: nothing says which rows of ' ~ source ~ ' are on time\n  hint: Declare meta.skewless.stream: {topic: …, event_timestamp: …, arrived_at: …} on the dbt source.') }}
  {%- endif -%}
  {{ return({'event_timestamp': stream.event_timestamp, 'arrived_at': arrived, 'lateness_ms': skewless._duration_ms(stream.get('lateness') or '1s')}) }}
{% endmacro %}
