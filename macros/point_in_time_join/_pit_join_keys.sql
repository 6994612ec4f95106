{# The join keys that a skewless block declares, in order; the default is the column named like the entity, else <entity>_id. #}
{% macro _pit_join_keys(block, columns) %}
  {%- set entities = [block.entities] if block.entities is string or block.entities is mapping else block.entities -%}
  {%- set entity = entities[0] -%}
  {%- if entity is mapping and entity.get('join_keys') -%}{{ return(entity.join_keys) }}{%- endif -%}
  {%- set name = entity.name if entity is mapping else entity -%}
  {{ return([name if name in columns else name ~ '_id']) }}
{% endmacro %}
