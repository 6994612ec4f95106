{# 1, 0 or NULL. MIN of it is BOOL_AND, MAX of it BOOL_OR. #}
{% macro bool_int(x) %}{{ return('case when ' ~ x ~ ' then 1 when not (' ~ x ~ ') then 0 end') }}{% endmacro %}
