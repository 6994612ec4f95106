{# ` over …` for the name of a window or its text in parentheses, nothing for none. #}
{% macro _portable_over(over) %}{{ return(' over ' ~ over if over else '') }}{% endmacro %}
