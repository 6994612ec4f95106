{# The feature and status columns of the result: features in the order they were asked for, then one status a view. #}
{% macro _pit_columns(views) %}
  {%- set columns = [] -%}
  {%- for view in views -%}
    {%- for item in view.selected -%}
      {%- do columns.append({'position': item.position, 'sql': view.stage ~ '.' ~ adapter.quote(item.output)}) -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- set out = columns | sort(attribute='position') | map(attribute='sql') | list -%}
  {%- for view in views if view.status -%}{%- do out.append(view.stage ~ '.' ~ adapter.quote(view.status)) -%}{%- endfor -%}
  {{ return(out) }}
{% endmacro %}
