{#
  What the join needs to know about a feature view: {name, version, versioned, join_keys, ttl_us, availability_delay_us, missing,
  features: [{name, type, default, ttl_us}]}. `v` none means the latest version. The one place that reads dbt's graph, so that a unit
  test, where the graph is empty, can override it: `overrides: {macros: {skewless.feature_view_metadata: {…}}}`.
#}
{% macro feature_view_metadata(name, v=none) %}
  {%- set found = [] -%}
  {%- for node in graph.get('nodes', {}).values() -%}
    {%- if node.resource_type == 'model' and node.name == name
           and (node.version is none or (v is none and node.version == node.latest_version) or v == node.version)
           and (node.version is not none or v is none or v == 1) -%}
      {%- do found.append(node) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set ref = name ~ ('@' ~ v if v is not none else '') -%}
  {%- if not found -%}
    {{ skewless._pit_refuse('SK404', 'feature view "' ~ ref ~ '" does not exist in this project') }}
  {%- endif -%}
  {%- set node = found[0] -%}
  {%- set block = node.config.meta.get('skewless') -%}
  {%- if not block or 'entities' not in block -%}
    {{ skewless._pit_refuse('SK404', 'model "' ~ ref ~ '" is not a feature view', 'A feature view has config.meta.skewless.entities.') }}
  {%- endif -%}
  {%- set keys = skewless._pit_join_keys(block, node.columns.keys() | list) -%}
  {%- set features = [] -%}
  {%- for column in node.columns.values() if column.name not in keys and column.name != 'event_timestamp' -%}
    {%- set own = column.get('config', {}).get('meta', {}).get('skewless', {}) -%}
    {%- do features.append({'name': column.name, 'type': column.data_type, 'default': own.get('default'),
                            'ttl_us': skewless._pit_duration_us(own.get('ttl'))}) -%}
  {%- endfor -%}
  {{ return({'name': name, 'version': (node.version or 1) | int, 'versioned': node.version is not none, 'join_keys': keys,
             'ttl_us': skewless._pit_duration_us(block.get('ttl')),
             'availability_delay_us': skewless._pit_duration_us(block.get('availability_delay')) or 0,
             'missing': block.get('missing', 'default'), 'features': features}) }}
{% endmacro %}
