{# Calls the plugin: `op` with a JSON document, and gives its answer. Its refusals become dbt errors. #}
{% macro lake(op, arguments) %}
  {%- set document = tojson(dict(arguments, target=target.name)) | replace("'", "''") -%}
  {%- set answer = fromjson(skewless.one_value("select skewless_lake('" ~ op ~ "', '" ~ document ~ "')")) -%}
  {%- if answer.error -%}{{ exceptions.raise_compiler_error(answer.error) }}{%- endif -%}
  {{ return(answer) }}
{% endmacro %}

{# Runs a query and gives the first value of its first row, none without rows. #}
{% macro one_value(sql) %}
  {%- call statement('skewless_value', fetch_result=True, auto_begin=False) -%}{{ sql }}{%- endcall -%}
  {%- set rows = load_result('skewless_value')['data'] -%}
  {{ return(rows[0][0] if rows | length else none) }}
{% endmacro %}

{# Runs a statement that gives nothing. #}
{% macro execute_statement(sql) %}
  {%- call statement(none, auto_begin=False) -%}{{ sql }}{%- endcall -%}
{% endmacro %}
