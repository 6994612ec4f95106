{# Points dbt's relations at the files that are live now. A package hook runs it at the start of every run, so a new or old .duckdb file sees the lake as it is. #}
{% macro refresh_feature_views() %}
  {%- if execute and target.type == 'duckdb' and flags.WHICH in ('run', 'build', 'test', 'show', 'snapshot', 'docs', 'run-operation', 'retry') -%}
    {%- for node in graph.get('nodes', {}).values() if node.resource_type == 'model' and node.config.materialized == 'feature_view' -%}
      {%- set told = skewless.lake('relations', {'model': node}) -%}
      {%- if told.relations -%}
        {%- set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias, type='view') -%}
        {%- set there = load_relation(relation) -%}
        {%- if there is none or there.is_view -%}
          {% do skewless.execute_statement('create schema if not exists ' ~ relation.without_identifier()) %}
          {%- for sql in skewless.feature_view_relations(relation, told.relations) -%}{% do skewless.execute_statement(sql) %}{%- endfor -%}
        {%- endif -%}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{% endmacro %}
