{# How often `part` fits into `whole` (both in milliseconds); SK240 where it does not fit exactly. #}
{% macro _portable_multiple(whole, part, names) %}
  {%- if whole % part != 0 -%}
    {{ skewless._portable_refuse(
      'SK240', 'the ' ~ names[0] ~ ' of a window is not a multiple of its ' ~ names[1], 'Choose a ' ~ names[1] ~ ' that divides the ' ~ names[0] ~ '.',
    ) }}
  {%- endif -%}
  {{ return(whole // part) }}
{% endmacro %}
