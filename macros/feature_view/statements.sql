{# Every statement of the materialization, rendered once for a view. The places `__skw_…__` are bound for each window. #}
{% macro feature_view_statements(view) %}
{{ return({
  'earliest': skewless.feature_view_earliest(view), 'rows': skewless.feature_view_rows(view),
  'check': skewless.feature_view_check(view), 'null_sample': skewless.feature_view_null_sample(view),
  'doubled_sample': skewless.feature_view_doubled_sample(view), 'collapse': skewless.feature_view_collapse(view),
  'difference': skewless.feature_view_difference(view), 'touched': skewless.feature_view_touched(view),
  'known': skewless.feature_view_known(view), 'pending': skewless.feature_view_pending(view),
  'visible': skewless.feature_view_visible(view), 'gone': skewless.feature_view_gone(view),
  'pending_file': skewless.feature_view_pending_file(view), 'current_file': skewless.feature_view_current_file(view),
  'superseded_file': skewless.feature_view_superseded_file(view), 'delta_sample': skewless.feature_view_delta_sample(view)
}) }}
{% endmacro %}
