{# How many boundaries of a unit lie between two timestamps, BIGINT; negative where the first is later. #}
{% macro _portable_between(unit, start, end) %}
  {{- return(adapter.dispatch('_portable_between', 'skewless')(unit, start, end)) -}}
{% endmacro %}

{% macro duckdb___portable_between(unit, start, end) %}
  {{- return("date_diff('" ~ unit ~ "', " ~ start ~ ', ' ~ end ~ ')') -}}
{% endmacro %}

{% macro default___portable_between(unit, start, end) %}
  {%- set whole = {'millisecond': 'milliseconds'}.get(unit, unit) -%}
  {%- if unit == 'day' -%}
    {{ return('cast(cast(' ~ end ~ ' as date) - cast(' ~ start ~ ' as date) as bigint)') }}
  {%- elif unit == 'month' -%}
    {%- set months = [] -%}
    {%- for x in (end, start) -%}{%- do months.append('extract(year from ' ~ x ~ ') * 12 + extract(month from ' ~ x ~ ')') -%}{%- endfor -%}
    {{ return('cast((' ~ months[0] ~ ') - (' ~ months[1] ~ ') as bigint)') }}
  {%- elif unit in ('minute', 'hour') -%}
    {%- set between = "date_trunc('" ~ unit ~ "', " ~ end ~ ") - date_trunc('" ~ unit ~ "', " ~ start ~ ')' -%}
    {{ return('cast(extract(epoch from ' ~ between ~ ') / ' ~ {'minute': 60, 'hour': 3600}[unit] ~ ' as bigint)') }}
  {%- endif -%}
  {%- set seconds = "extract(epoch from date_trunc('" ~ whole ~ "', " ~ end ~ ")) - extract(epoch from date_trunc('" ~ whole ~ "', " ~ start ~ "))" -%}
  {{ return('cast((' ~ seconds ~ ') * 1000 as bigint)' if unit == 'millisecond' else 'cast(' ~ seconds ~ ' as bigint)') }}
{% endmacro %}
