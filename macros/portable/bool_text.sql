{# 'true', 'false' or NULL. #}
{% macro bool_text(x) %}{{ return("case when " ~ x ~ " then 'true' when not (" ~ x ~ ") then 'false' end") }}{% endmacro %}
