{#
  The rows of a relation, each once for every window of length `size` that it falls into; a window starts every `slide`.
  `size` is a multiple of `slide`. Columns window_start and window_end are added: [start, end). Give it a name: `{{ … }} as w`.
#}
{% macro hop(relation, time_column, size, slide) %}
  {%- set size_ms = skewless._portable_ms(size) -%}
  {%- set slide_ms = skewless._portable_ms(slide) -%}
  {%- set steps = skewless._portable_multiple(size_ms, slide_ms, ('size', 'slide')) -%}
  {%- set start = skewless._portable_bucket(time_column, slide_ms) ~ ' - skw_step.n * ' ~ skewless._portable_interval(slide_ms) -%}
(
    select
        skw_in.*,
        {{ start }} as window_start,
        {{ start }} + {{ skewless._portable_interval(size_ms) }} as window_end
    from {{ relation }} as skw_in
    cross join generate_series(0, {{ steps - 1 }}) as skw_step(n)
    where 'skw:hop;time={{ time_column }};slide_ms={{ slide_ms }};size_ms={{ size_ms }}' <> ''
)
{%- endmacro %}
