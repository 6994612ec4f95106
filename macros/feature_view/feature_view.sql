{# `materialized: feature_view`: every row version of the model, in the lake. docs/history.md says what a run does. #}
{% materialization feature_view, adapter='duckdb' %}
  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='view') -%}
  {%- if not (config.get('contract') and config.get('contract').enforced) -%}
    {{ exceptions.raise_compiler_error("error[SK510]: " ~ model.name ~ " is a feature view without an enforced contract\n  hint: Add contract: {enforced: true} and a data_type for each column.") }}
  {%- endif -%}
  {%- set told = skewless.lake('describe', {'model': model}) -%}
  {%- if not told.view.only -%}{{ get_assert_columns_equivalent(compiled_code) }}{%- endif -%}

  {%- if flags.EMPTY or invocation_args_dict.get('sample') -%}
    {% do log('skewless: ' ~ model.name ~ ': the contract holds; --empty and --sample write nothing', info=true) %}
    {% call noop_statement('main', 'CHECKED') %}{{ compiled_code }}{% endcall %}
    {{ return({'relations': []}) }}
  {%- endif -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {%- set asked = {
    'model': model, 'sql': compiled_code, 'statements': skewless.feature_view_statements(told.view), 'run_id': invocation_id,
    'start': invocation_args_dict.get('event_time_start') | string if invocation_args_dict.get('event_time_start') else var('skewless_start', none),
    'end': invocation_args_dict.get('event_time_end') | string if invocation_args_dict.get('event_time_end') else var('skewless_end', none),
    'full_refresh': flags.FULL_REFRESH, 'allow_retract': var('skewless_allow_retract', false)
  } -%}
  {%- set state = namespace(reply=skewless.lake('begin', asked)) -%}
  {%- for i in range(100000) -%}
    {%- for line in state.reply.say -%}{% do log('skewless: ' ~ line, info=true) %}{%- endfor -%}
    {%- if state.reply.done -%}{%- break -%}{%- endif -%}
    {%- set answer = namespace(value=none) -%}
    {%- if state.reply.fetch -%}
      {%- set answer.value = skewless.one_value(state.reply.sql) -%}
    {%- else -%}
      {% do skewless.execute_statement(state.reply.sql) %}
    {%- endif -%}
    {%- set state.reply = skewless.lake('next', {'model': model.unique_id, 'value': answer.value}) -%}
  {%- endfor -%}

  {%- if state.reply.canary -%}
    {% call noop_statement('main', 'CANARY') %}{{ compiled_code }}{% endcall %}
    {{ return({'relations': []}) }}
  {%- endif -%}

  {%- if existing is not none and not existing.is_view -%}{% do adapter.drop_relation(existing) %}{%- endif -%}
  {%- for view_sql in skewless.feature_view_relations(target, state.reply.relations) -%}
    {%- call statement(none) -%}{{ view_sql }}{%- endcall -%}
  {%- endfor -%}
  {% do persist_docs(target, model) %}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do adapter.commit() %}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {% call noop_statement('main', state.reply.message, 'HISTORY', state.reply.rows) %}{{ compiled_code }}{% endcall %}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
