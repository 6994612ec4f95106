{#
  Since when a version (alias h) counts as known: its ingested_at. The first version of a slot that a backfill commit wrote counts as known at
  event_timestamp + availability_delay; later versions are corrections, which nobody knew before they were made. `view.backfill` is a
  relation of their stamps (column r).
#}
{% macro pit_known_from(view) %}
  {%- if not view.get('backfill') -%}{{ return('h.ingested_at') }}{%- endif -%}
  {%- set known = 'h.event_timestamp + ' ~ skewless.pit_interval(view.get('availability_delay_us') or 0) -%}
  {{ return('case when h.ingested_at in (select r from ' ~ view.backfill ~ ') and (f.ingested_at is null or f.ingested_at = h.ingested_at) then least(h.ingested_at, '
            ~ known ~ ') else h.ingested_at end') }}
{% endmacro %}
