{# Start of the window that is computed. Valid SQL of its own (everything); the materialization puts each window's start in its place. #}
{% macro window_start() %}{{ return("timestamp '0001-01-01 00:00:00' /*skw:start*/") }}{% endmacro %}
