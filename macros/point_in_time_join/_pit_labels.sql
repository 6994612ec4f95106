{# The label frame with __row_id (its order) and __at (label_timestamp as naive UTC, whatever the session's time zone). #}
{% macro _pit_labels(labels, label_timestamp) -%}
select row_number() over () as __row_id, make_timestamp(epoch_us(l.{{ adapter.quote(label_timestamp) }})) as __at, l.* from {{ labels }} l
{%- endmacro %}
