{# Rows that are equal in every column are one row. #}
{% macro feature_view_collapse(view) %}
create or replace temp table skw_new as select distinct * from skw_new
{% endmacro %}
