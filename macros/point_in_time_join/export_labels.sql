{# Run by `skewless training-set --labels ref:<model>`: writes a model's rows, in the relation's order, to a Parquet file. #}
{% macro export_labels(model, path, v=none) %}
  {%- set relation = ref(model, v=v) if v is not none else ref(model) -%}
  {%- do adapter.dispatch('export_labels', 'skewless')(relation.render(), path) -%}
{% endmacro %}

{% macro default__export_labels(relation, path) %}
  {{ skewless._pit_refuse('SK709', 'label frames from dbt models are read on duckdb only', 'Write the model to a Parquet file.') }}
{% endmacro %}

{% macro duckdb__export_labels(relation, path) %}
  {%- do run_query("copy (select * from " ~ relation ~ ") to '" ~ path | replace("'", "''") ~ "' (format parquet)") -%}
{% endmacro %}
