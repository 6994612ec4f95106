{# Rows, rows with a NULL in their slot, and slots with more than one row. #}
{% macro feature_view_check(view) %}
select cast(to_json({
  'rows_in': count(*),
  'nulls': count(*) filter (where {{ view.slot | join(' is null or ') }} is null),
  'doubled': (select count(*) from (select 1 from skw_new group by {{ view.slot | join(', ') }} having count(*) > 1))
}) as varchar) from skw_new
{% endmacro %}

{# A few rows with a NULL in their slot. #}
{% macro feature_view_null_sample(view) %}
select cast(to_json(list(skw_row)) as varchar) from (
  select struct_pack({% for c in view.slot %}{{ c }} := {{ c }}{{ ', ' if not loop.last }}{% endfor %}) as skw_row
  from skw_new where {{ view.slot | join(' is null or ') }} is null order by all limit 3
)
{% endmacro %}

{# A few slots whose rows differ. #}
{% macro feature_view_doubled_sample(view) %}
select cast(to_json(list(skw_row)) as varchar) from (
  select struct_pack({% for c in view.slot %}{{ c }} := {{ c }}, {% endfor %}rows := count(*)) as skw_row
  from skw_new group by {{ view.slot | join(', ') }} having count(*) > 1 order by all limit 3
)
{% endmacro %}
