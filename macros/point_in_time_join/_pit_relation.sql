{# The relation that holds a view's rows: current rows, or with mode known_at every version (`<relation>__versions`). .render() keeps dbt's
   --sample and microbatch filters off the history. #}
{% macro _pit_relation(wanted, meta, relations, mode) %}
  {%- set key = meta.name ~ '@' ~ meta.version -%}
  {%- if relations -%}{{ return(relations[key]) }}{%- endif -%}
  {%- set relation = ref(meta.name, v=wanted.version) if meta.get('versioned') and wanted.version is not none else ref(meta.name) -%}
  {%- if mode == 'known_at' -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__versions'}).render()) }}
  {%- endif -%}
  {{ return(relation.render()) }}
{% endmacro %}
