{# Rows of streams that this commit takes into the history. Late: older than what was complete, so they never counted. #}
{% macro feature_view_pending(view) %}
create or replace temp table skw_pending as
select *, event_timestamp < __skw_complete__ as __late from (__skw_pending__)
{% endmacro %}

{# The successive versions of every slot that the run compares, resolved by law 2. #}
{% macro feature_view_visible(view) %}
create or replace temp table skw_visible as __skw_versions__
{% endmacro %}

{# Versions that were replaced before this run and are not stored as such yet, and late rows, which counted at no time. #}
{% macro feature_view_gone(view) %}
{%- set cells = view.columns | join(', ') ~ ', ingested_at' -%}
create or replace temp table skw_gone as
select {{ cells }}, superseded_at, {{ view.event_date }} as event_date from skw_visible where superseded_at is not null and __skw_unstored__
union all
select distinct {{ cells }}, ingested_at, {{ view.event_date }} from skw_pending where __late
{% endmacro %}

{# Stream rows that still lie ahead of the batch. #}
{% macro feature_view_pending_file(view) %}
copy (
  select *, cast(null as timestamp) as superseded_at from (__skw_pending__)
  order by event_timestamp, {{ view.join_keys | join(', ') }}, ingested_at
) to __skw_path__ (format parquet, compression zstd)
{% endmacro %}
