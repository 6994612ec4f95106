{# `view@2:feature as name` -> {view, version, feature, alias}; version, feature and alias may be none. #}
{% macro _pit_reference(text) %}
  {%- set found = modules.re.match('^\\s*([A-Za-z_]\\w*)(?:@(\\d+))?(?::([A-Za-z_]\\w*))?(?:\\s+as\\s+([A-Za-z_]\\w*))?\\s*$', text) -%}
  {%- if not found or (found.group(4) and not found.group(3)) -%}
    {{ skewless._pit_refuse('SK104', '"' ~ text ~ '" is not a feature reference', 'Write view, view@2, view@2:feature or view@2:feature as name.') }}
  {%- endif -%}
  {{ return({'view': found.group(1), 'version': found.group(2) | int if found.group(2) else none, 'feature': found.group(3),
             'alias': found.group(4)}) }}
{% endmacro %}
