{# The views over one lake table: current rows, all versions, the ledger. `relations` maps a suffix to its select. #}
{% macro feature_view_relations(target, relations) %}
  {%- set out = [] -%}
  {%- for suffix, select in relations.items() -%}
    {%- set relation = target.incorporate(path={'identifier': target.identifier ~ suffix}) -%}
    {%- do out.append('create or replace view ' ~ relation ~ ' as ' ~ select) -%}
  {%- endfor -%}
  {{ return(out) }}
{% endmacro %}
