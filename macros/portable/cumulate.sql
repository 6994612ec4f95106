{#
  The rows of a relation, each once for every window that has begun before it: windows of length `size` that are read every `step`
  while they fill. `size` is a multiple of `step`. Columns window_start and window_end are added: [start, end).
  Give it a name: `{{ … }} as w`.
#}
{% macro cumulate(relation, time_column, size, step) %}
  {%- set size_ms = skewless._portable_ms(size) -%}
  {%- set step_ms = skewless._portable_ms(step) -%}
  {%- set steps = skewless._portable_multiple(size_ms, step_ms, ('size', 'step')) -%}
  {%- set bucket = skewless._portable_bucket(time_column, size_ms) -%}
  {%- set end = bucket ~ ' + skw_step.n * ' ~ skewless._portable_interval(step_ms) -%}
(
    select
        skw_in.*,
        {{ bucket }} as window_start,
        {{ end }} as window_end
    from {{ relation }} as skw_in
    cross join generate_series(1, {{ steps }}) as skw_step(n)
    where 'skw:cumulate;time={{ time_column }};step_ms={{ step_ms }};size_ms={{ size_ms }}' <> ''
        and skw_in.{{ time_column }} < {{ end }}
)
{%- endmacro %}
