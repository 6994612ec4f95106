{#
  The rows of `left`, each with columns of the newest row of `right` that has the same keys and is not later than it. Give it a name:
  `{{ … }} as j`.

  keys        columns that both have, or {left column: right column}
  left_time   the time column of `left`; right_time that of `right` (default: the same name)
  columns     columns of `right` to add, or {right column: name in the result}
  inner       true leaves rows of `left` out that find nothing; else their added columns are NULL
#}
{% macro as_of_join(left, right, keys, left_time, columns, right_time=none, inner=false) %}
  {%- set pairs = [] -%}
  {%- for key in ([keys] if keys is string else keys) -%}{%- do pairs.append((key, keys[key] if keys is mapping else key)) -%}{%- endfor -%}
  {%- set added = [] -%}
  {%- for name in ([columns] if columns is string else columns) -%}{%- do added.append((name, columns[name] if columns is mapping else name)) -%}{%- endfor -%}
  {%- set marked = [] -%}
  {%- for part in [pairs, added] -%}
    {%- set texts = [] -%}{%- for a, b in part -%}{%- do texts.append(a ~ ':' ~ b) -%}{%- endfor -%}{%- do marked.append(texts | join(',')) -%}
  {%- endfor -%}
  {%- set right_time = right_time or left_time -%}
(
    select
        skw_left.*{% for name, output in added %},
        skw_right.{{ name }} as {{ output }}{% endfor %}
    from {{ left }} as skw_left
    {{ adapter.dispatch('_portable_as_of', 'skewless')(right, pairs, left_time, right_time, inner) | trim }}
    where 'skw:as_of_join;keys={{ marked[0] }};left_time={{ left_time }};right_time={{ right_time }};join={{ 'inner' if inner else 'left' }};columns={{ marked[1] }}' <> ''
)
{%- endmacro %}

{% macro default___portable_as_of(right, pairs, left_time, right_time, inner) %}
    {{ 'join' if inner else 'left join' }} lateral (
        select skw_right_in.*
        from {{ right }} as skw_right_in
        where {% for a, b in pairs %}skw_right_in.{{ b }} = skw_left.{{ a }} and {% endfor %}skw_right_in.{{ right_time }} <= skw_left.{{ left_time }}
        order by skw_right_in.{{ right_time }} desc
        limit 1
    ) as skw_right on true
{%- endmacro %}

{% macro duckdb___portable_as_of(right, pairs, left_time, right_time, inner) %}
    asof {{ 'join' if inner else 'left join' }} {{ right }} as skw_right
        on {% for a, b in pairs %}skw_left.{{ a }} = skw_right.{{ b }} and {% endfor %}skw_left.{{ left_time }} >= skw_right.{{ right_time }}
{%- endmacro %}
