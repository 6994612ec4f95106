{# The model's rows of one window; rows with a NULL event_timestamp are in no window, so they are taken along to be refused. #}
{% macro feature_view_rows(view) %}
create or replace temp table skw_new as
select {{ view.select | join(', ') }} from (
__skw_model__
) as skw_model
where (event_timestamp >= __skw_start__ and event_timestamp < __skw_end__) or event_timestamp is null
{% endmacro %}
