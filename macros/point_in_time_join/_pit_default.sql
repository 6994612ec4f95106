{# A feature's default as SQL of the feature's type; none when it has none. #}
{% macro _pit_default(feature) %}
  {%- set value = feature.get('default') -%}
  {%- if value is none -%}{{ return(none) }}{%- endif -%}
  {%- if value is sequence and value is not string -%}
    {%- set items = [] -%}
    {%- for one in value -%}{%- do items.append(skewless._pit_literal(one)) -%}{%- endfor -%}
    {{ return('cast([' ~ items | join(', ') ~ '] as ' ~ feature.type ~ ')') }}
  {%- endif -%}
  {%- if feature.type | lower in ('blob', 'bytea', 'binary', 'varbinary', 'bytes') -%}
    {{ return('from_base64(' ~ skewless._pit_literal(value) ~ ')') }}
  {%- endif -%}
  {{ return('cast(' ~ skewless._pit_literal(value) ~ ' as ' ~ feature.type ~ ')') }}
{% endmacro %}
