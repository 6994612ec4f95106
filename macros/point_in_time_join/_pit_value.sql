{#
  One selected feature as SQL. `chosen` is the chosen row's event time (NULL when there is none), `at` the label's instant, `value` the column;
  `loose` says that `value` may come from a row that was not chosen because it is too old.
  A default replaces missing, never NULL (law 4); with `missing: null` or `missing: error` there is no default. A feature's own ttl, inclusive
  like the view's, makes this feature alone missing.
#}
{% macro _pit_value(view, item, chosen, at, value, loose=false) %}
  {%- set default = skewless._pit_default(item.feature) if view.get('missing', 'default') == 'default' else none -%}
  {%- set ttl = item.feature.get('ttl_us') -%}
  {%- if ttl is none and default is none and not loose -%}{{ return(value) }}{%- endif -%}
  {%- set there = chosen ~ ' >= ' ~ at ~ ' - ' ~ skewless._pit_interval(ttl) if ttl is not none else chosen ~ ' is not null' -%}
  {{ return('case when ' ~ there ~ ' then ' ~ value ~ (' else ' ~ default if default is not none else '') ~ ' end') }}
{% endmacro %}
