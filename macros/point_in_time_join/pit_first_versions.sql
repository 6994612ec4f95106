{# The stamp of the first version of every slot that has been superseded; a slot that is not here has one version only. #}
{% macro pit_first_versions(view) -%}
select {{ skewless.pit_keys(view, 'h') }}, h.event_timestamp, min(h.ingested_at) as ingested_at
from {{ view.relation }} h
where h.superseded_at is not null and {{ skewless.pit_window(view, 0) }}
group by {{ skewless.pit_keys(view, 'h') }}, h.event_timestamp
{%- endmacro %}
