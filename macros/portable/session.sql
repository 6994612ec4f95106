{#
  The rows of a relation with the session that each belongs to, as window_start (its first row) and window_end (its last row plus
  `gap`). A row that follows its predecessor by more than `gap` opens a session; at exactly `gap` it still belongs.
  `partition_by` lists the key columns; a row where one of them is NULL belongs to no session and is left out.
  Give it a name: `{{ … }} as w`.
#}
{% macro session(relation, time_column, gap, partition_by) %}
  {%- set gap_ms = skewless._portable_ms(gap) -%}
  {%- set interval = skewless._portable_interval(gap_ms) -%}
  {%- set keys = [partition_by] if partition_by is string else partition_by -%}
  {%- set over = 'partition by ' ~ keys | join(', ') ~ ' order by ' ~ time_column -%}
(
    select
        skw_in.*,
        skw_sessions.window_start,
        skw_sessions.window_end
    from {{ relation }} as skw_in
    join (
        select distinct
            {{ keys | join(', ') }}, {{ time_column }},
            min({{ time_column }}) over (partition by {{ keys | join(', ') }}, skw_number) as window_start,
            max({{ time_column }}) over (partition by {{ keys | join(', ') }}, skw_number) + {{ interval }} as window_end
        from (
            select
                {{ keys | join(', ') }}, {{ time_column }},
                sum(skw_first) over ({{ over }} range between unbounded preceding and current row) as skw_number
            from (
                select
                    {{ keys | join(', ') }}, {{ time_column }},
                    case when {{ time_column }} > lag({{ time_column }}) over ({{ over }}) + {{ interval }} then 1 else 0 end as skw_first
                from {{ relation }} as skw_in
            ) as skw_marked
        ) as skw_numbered
    ) as skw_sessions
        on {% for key in keys %}skw_in.{{ key }} = skw_sessions.{{ key }} and {% endfor %}skw_in.{{ time_column }} = skw_sessions.{{ time_column }}
    where 'skw:session;time={{ time_column }};gap_ms={{ gap_ms }};keys={{ keys | join(',') }}' <> ''
)
{%- endmacro %}
