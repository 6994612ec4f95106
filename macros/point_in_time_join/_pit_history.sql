{# The part of a view's history that can be chosen: `columns` of alias h, within the window and, with semi, of the label frame's entities. #}
{% macro _pit_history(view, columns, delay_us, semi) -%}
select {{ columns }} from {{ view.relation }} h
{%- if semi %} semi join __labels l on {{ skewless._pit_on(view, 'l', 'h') }}{% endif %}
where {{ skewless._pit_window(view, delay_us) }}
{%- endmacro %}
