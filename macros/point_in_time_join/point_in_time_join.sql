{#
  The training set of a label frame as one query: the label frame's columns, then the requested features as of each label, in the label
  frame's order. Rows out = rows in (law 6): a view with two rows for one (join keys, event_timestamp) fails the query.

  labels           relation, ref(...) or a subquery in parentheses
  features         list of `view`, `view@2`, `view@2:feature`, `view@2:feature as name`; without a version the latest
  label_timestamp  the label frame's column that says when the prediction is made; NULL gives missing
  mode             'as_of' (event time) or 'known_at' (what one could have known: needs the versions of each view)
  statuses         true adds `<view>__status` ('ok' or 'missing') for each view
  full_names       true calls features `view__feature`
  relations        {"view@1": relation} instead of ref(view); in mode known_at the relation of all versions
  metadata         {"view@1": what feature_view_metadata returns} instead of the project's graph; its key `backfill` names a relation of
                   the commits that loaded the past: r, covered_from, covered_to; see _pit_known_from
  shape            'narrow' chooses each label's row by key and time first and fetches features for the chosen rows only;
                   'wide' carries the features through the as-of join: faster for few features and many labels
  semi             true reads only the history of entities that the label frame holds
#}
{% macro point_in_time_join(labels, features, label_timestamp='label_timestamp', mode='as_of', statuses=false, full_names=false,
                            relations=none, metadata=none, shape='narrow', semi=true) %}
  {%- set views = skewless._pit_request(features, full_names, relations, metadata, mode, statuses) -%}
  {%- if not execute -%}{{ return('select 1 as not_rendered_while_parsing') }}{%- endif -%}
  {{- return(adapter.dispatch('point_in_time_join', 'skewless')(labels, views, label_timestamp, mode, shape, semi)) -}}
{% endmacro %}

{% macro default__point_in_time_join(labels, views, label_timestamp, mode, shape, semi) %}
  {{ skewless._pit_refuse('SK709', 'point_in_time_join has no form for the adapter "' ~ target.type ~ '" yet', 'There is one for duckdb.') }}
{% endmacro %}

{% macro duckdb__point_in_time_join(labels, views, label_timestamp, mode, shape, semi) %}
with __labels as materialized (
    {{ skewless._pit_labels(labels, label_timestamp) }}
)
{%- for view in views %}
{%- for cte in skewless._pit_view(view, mode, shape, semi) %},
{{ cte.name }} as {{ 'materialized ' if cte.materialized }}(
    {{ cte.sql | indent(4) }}
)
{%- endfor %}
{%- endfor %}
select
    l.* exclude (__row_id, __at)
    {%- for column in skewless._pit_columns(views) %},
    {{ column }}
    {%- endfor %}
from __labels l
{%- for view in views %}
join {{ view.stage }} on {{ view.stage }}.__row_id = l.__row_id
{%- endfor %}
{%- set checks = skewless._pit_checks(views, mode, shape) %}
{%- if checks %}
where {{ checks | join('\n  and ') }}
{%- endif %}
order by l.__row_id
{%- endmacro %}
