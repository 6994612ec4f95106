{# End, exclusive, of the window that is computed. #}
{% macro window_end() %}{{ return("timestamp '9999-01-01 00:00:00' /*skw:end*/") }}{% endmacro %}
