{#
  Since when a version (alias h) counts as known: its ingested_at. The first version of a slot that a backfill commit wrote counts as known at
  event_timestamp + availability_delay; later versions are corrections, which nobody knew before they were made. b is `view.backfill`: the
  stamps (r) of backfill commits and the event times [covered_from, covered_to) that each was the first to cover.
#}
{% macro _pit_known_from(view) %}
  {%- if not view.get('backfill') -%}{{ return('h.ingested_at') }}{%- endif -%}
  {%- set known = 'h.event_timestamp + ' ~ skewless._pit_interval(view.get('availability_delay_us') or 0) -%}
  {{ return('case when b.r is not null and (f.ingested_at is null or f.ingested_at = h.ingested_at)\n        then least(h.ingested_at, '
            ~ known ~ ') else h.ingested_at end') }}
{% endmacro %}
