{#
  The views of a request, in order of first mention: feature_view_metadata plus {ref, relation, stage, selected: [{name, feature, output,
  position}], status}. Calls ref() for each view while parsing too, which is how dbt learns the edges. `view@1` means the only version of an
  unversioned model, hence no v= in its ref while parsing.
#}
{% macro _pit_request(features, full_names, relations, metadata, mode, statuses) %}
  {%- set parsed = [] -%}
  {%- for text in features -%}{%- do parsed.append(skewless._pit_reference(text)) -%}{%- endfor -%}
  {%- if not execute -%}
    {%- for wanted in parsed if not relations -%}
      {%- set _ = ref(wanted.view, v=wanted.version) if wanted.version is not none and wanted.version > 1 else ref(wanted.view) -%}
    {%- endfor -%}
    {{ return([]) }}
  {%- endif -%}
  {%- if not parsed -%}{{ skewless._pit_refuse('SK702', 'no features were asked for') }}{%- endif -%}
  {%- if mode not in ('as_of', 'known_at') -%}
    {{ skewless._pit_refuse('SK702', 'mode "' ~ mode ~ '" does not exist', 'There are as_of and known_at.') }}
  {%- endif -%}
  {%- set views = {} -%}
  {%- set outputs = {} -%}
  {%- for wanted in parsed -%}
    {%- set pinned = wanted.view ~ '@' ~ wanted.version if wanted.version is not none else wanted.view -%}
    {%- set meta = metadata[pinned] if metadata else skewless.feature_view_metadata(wanted.view, wanted.version) -%}
    {%- set key = meta.name ~ '@' ~ meta.version -%}
    {%- if key not in views -%}
      {%- set view = dict(meta) -%}
      {%- do view.update({'ref': key, 'selected': [], 'stage': '__v' ~ (views | length + 1),
                          'relation': skewless._pit_relation(wanted, meta, relations, mode)}) -%}
      {%- do views.update({key: view}) -%}
    {%- endif -%}
    {%- set names = [] -%}
    {%- for feature in meta.features if wanted.feature is none or feature.name == wanted.feature -%}
      {%- set output = wanted.alias or (meta.name ~ '__' ~ feature.name if full_names else feature.name) -%}
      {%- if output | lower in outputs -%}
        {{ skewless._pit_refuse('SK105', 'two features are called "' ~ output ~ '": ' ~ outputs[output | lower] ~ ' and ' ~ key ~ ':' ~ feature.name,
           'Give one an alias ("view:feature as name"), or ask for full_names.') }}
      {%- endif -%}
      {%- do outputs.update({output | lower: key ~ ':' ~ feature.name}) -%}
      {%- do names.append(feature.name) -%}
      {%- do views[key].selected.append({'name': feature.name, 'feature': feature, 'output': output, 'position': outputs | length}) -%}
    {%- endfor -%}
    {%- if not names -%}
      {{ skewless._pit_refuse('SK404', 'feature "' ~ wanted.feature ~ '" of "' ~ key ~ '" does not exist',
         'There are: ' ~ meta.features | map(attribute='name') | join(', ') ~ '.') }}
    {%- endif -%}
  {%- endfor -%}
  {%- set view_names = views.values() | map(attribute='name') | list -%}
  {%- for view in views.values() -%}
    {%- set twice = view_names | select('equalto', view.name) | list | length > 1 -%}
    {%- do view.update({'status': (view.name ~ ('_v' ~ view.version if twice else '') ~ '__status') if statuses else none}) -%}
  {%- endfor -%}
  {{ return(views.values() | list) }}
{% endmacro %}
