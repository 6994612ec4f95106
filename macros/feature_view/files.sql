{# One partition's current rows: the changed ones, and of the files that this one replaces those that did not change. #}
{% macro feature_view_current_file(view) %}
{%- set cells = view.columns | join(', ') ~ ', ingested_at' -%}
copy (
  select {{ cells }}, cast(null as timestamp) as superseded_at from (
    select {% for c in view.columns %}n.{{ c }}, {% endfor %}__skw_stamp__ as ingested_at
    from (__skw_wanted__) n join skw_delta d on {{ skewless.feature_view_on_slot(view, 'n', 'd') }}
    where d.__op in ('i', 'c') and d.event_date = __skw_day__
    __skw_kept__
    union all
    select {{ cells }} from (__skw_files__) f anti join (select * from skw_delta where event_date = __skw_day__) d
    on {{ skewless.feature_view_on_slot(view, 'f', 'd') }}
  ) order by event_timestamp, {{ view.join_keys | join(', ') }}
) to __skw_path__ (format parquet, compression zstd)
{% endmacro %}

{# One partition's versions that this commit ends. #}
{% macro feature_view_superseded_file(view) %}
{%- set cells = view.columns | join(', ') ~ ', ingested_at' -%}
copy (
  select {{ cells }}, superseded_at from (
    select {% for c in view.columns %}b.{{ c }}, {% endfor %}b.ingested_at, __skw_stamp__ as superseded_at
    from (__skw_before__) b join skw_delta d on {{ skewless.feature_view_on_slot(view, 'b', 'd') }}
    where d.__op in ('c', 'r') and d.event_date = __skw_day__
    __skw_gone__
  ) order by event_timestamp, {{ view.join_keys | join(', ') }}, ingested_at
) to __skw_path__ (format parquet, compression zstd)
{% endmacro %}
