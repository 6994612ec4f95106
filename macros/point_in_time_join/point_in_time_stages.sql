{#
  The same training set as statements, as JSON: [{"stage": name, "sql": statement}, …], to be run in this order on one connection.
  With `staged` (the rule: from three views on) each view is a temporary table ordered by __row_id; the statement `assert` gives one boolean
  that must be true, and `result` puts the tables side by side by position. Without it there is one statement, `result`.
  Arguments as of point_in_time_join; `shape` and `semi` may also be {"view@1": value}.
#}
{% macro point_in_time_stages(labels, features, label_timestamp='label_timestamp', mode='as_of', statuses=false, full_names=false,
                              relations=none, metadata=none, shape='narrow', semi=true, staged=true) %}
  {%- set views = skewless._pit_request(features, full_names, relations, metadata, mode, statuses) -%}
  {%- if not execute -%}{{ return('[]') }}{%- endif -%}
  {{- return(tojson(adapter.dispatch('point_in_time_stages', 'skewless')(labels, views, label_timestamp, mode, shape, semi, staged))) -}}
{% endmacro %}

{% macro default__point_in_time_stages(labels, views, label_timestamp, mode, shape, semi, staged) %}
  {{ skewless._pit_refuse('SK709', 'point_in_time_stages has no form for the adapter "' ~ target.type ~ '" yet', 'There is one for duckdb.') }}
{% endmacro %}

{% macro duckdb__point_in_time_stages(labels, views, label_timestamp, mode, shape, semi, staged) %}
  {%- if not staged -%}
    {{ return([{'stage': 'result', 'sql': skewless.duckdb__point_in_time_join(labels, views, label_timestamp, mode, shape, semi)}]) }}
  {%- endif -%}
  {%- set out = [{'stage': '__labels', 'sql': 'create or replace temp table __labels as\n' ~ skewless._pit_labels(labels, label_timestamp)}] -%}
  {%- for view in views -%}
    {%- set ctes = skewless._pit_view(view, mode, shape, semi) -%}
    {%- set parts = [] -%}
    {%- for cte in ctes[:-1] -%}
      {%- do parts.append(cte.name ~ ' as ' ~ ('materialized ' if cte.materialized else '') ~ '(\n    ' ~ cte.sql | indent(4) ~ '\n)') -%}
    {%- endfor -%}
    {%- set head = 'with ' ~ parts | join(',\n') ~ '\n' if parts else '' -%}
    {%- set checks = skewless._pit_checks([view], mode, shape) -%}
    {%- set guard = '\nwhere ' ~ checks | join('\n  and ') if checks else '' -%}
    {%- do out.append({'stage': view.stage, 'sql': 'create or replace temp table ' ~ view.stage ~ ' as\n' ~ head
                       ~ ctes[-1].sql ~ guard ~ '\norder by __row_id'}) -%}
  {%- endfor -%}
  {%- set side_by_side -%}
from (select * from __labels order by __row_id) l
{%- for view in views %}
positional join {{ view.stage }}
{%- endfor %}
  {%- endset -%}
  {%- set equal = [] -%}
  {%- for view in views -%}{%- do equal.append('l.__row_id is not distinct from ' ~ view.stage ~ '.__row_id') -%}{%- endfor -%}
  {%- do out.append({'stage': 'assert', 'sql': 'select coalesce(bool_and(' ~ equal | join(' and ') ~ '), true)\n' ~ side_by_side}) -%}
  {%- do out.append({'stage': 'result', 'sql': 'select\n    l.* exclude (__row_id, __at),\n    '
                     ~ skewless._pit_columns(views) | join(',\n    ') ~ '\n' ~ side_by_side}) -%}
  {{ return(out) }}
{% endmacro %}
