{# An argument of an aggregate, NULL where `where` does not hold. #}
{% macro _portable_where(x, where) %}{{ return('case when ' ~ where ~ ' then ' ~ x ~ ' end' if where else x) }}{% endmacro %}
