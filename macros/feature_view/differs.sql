{# A condition: the row n has another value than the row c. An `approximate` feature may move by that share of its size. #}
{% macro feature_view_differs(view) %}
  {%- set parts = [] -%}
  {%- for f in view.features -%}
    {%- set n, c = 'n.' ~ f.name, 'c.' ~ f.name -%}
    {%- set part = n ~ ' is distinct from ' ~ c -%}
    {%- if f.approximate -%}
      {%- set near = 'isfinite(' ~ n ~ ') and isfinite(' ~ c ~ ') and abs(' ~ n ~ ' - ' ~ c ~ ') <= ' ~ f.approximate ~ ' * greatest(abs(' ~ n ~ '), abs(' ~ c ~ '))' -%}
      {%- set part = '(' ~ part ~ ' and not coalesce(' ~ near ~ ', false))' -%}
    {%- endif -%}
    {%- do parts.append(part) -%}
  {%- endfor -%}
  {{ return('(' ~ parts | join(' or ') ~ ')' if parts else 'false') }}
{% endmacro %}
