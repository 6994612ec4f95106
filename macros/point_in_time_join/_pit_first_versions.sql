{# The stamp of the first version of every slot that has been superseded; a slot that is not here has one version only. #}
{% macro _pit_first_versions(view) -%}
select {{ skewless._pit_keys(view, 'h') }}, h.event_timestamp, min(h.ingested_at) as ingested_at
from {{ view.relation }} h
where h.superseded_at is not null and {{ skewless._pit_window(view, 0) }}
group by {{ skewless._pit_keys(view, 'h') }}, h.event_timestamp
{%- endmacro %}
