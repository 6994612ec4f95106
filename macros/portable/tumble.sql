{#
  The rows of a relation with the window of fixed length that each falls into, as window_start and window_end: [start, end).
  Windows count from 1970-01-01 plus `offset`; size='7 days', offset='4 days' is the week from Monday. Give it a name: `{{ … }} as w`.
#}
{% macro tumble(relation, time_column, size, offset=none) %}
  {%- set size_ms = skewless._portable_ms(size) -%}
  {%- set offset_ms = skewless._portable_ms(offset) if offset else 0 -%}
  {%- set bucket = skewless._portable_bucket(time_column, size_ms, offset_ms) -%}
(
    select
        skw_in.*,
        {{ bucket }} as window_start,
        {{ bucket }} + {{ skewless._portable_interval(size_ms) }} as window_end
    from {{ relation }} as skw_in
    where 'skw:tumble;time={{ time_column }};size_ms={{ size_ms }};offset_ms={{ offset_ms }}' <> ''
)
{%- endmacro %}
