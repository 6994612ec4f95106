{# The first event time, in microseconds, of a model whose block gives no `begin`. #}
{% macro feature_view_earliest(view) %}
select cast(min(epoch_us(skw_model.event_timestamp)) as varchar) from (
__skw_model__
) as skw_model
{% endmacro %}
