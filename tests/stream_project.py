"""A dbt project with streamed views over topics of every type, for the tests of streams."""

from __future__ import annotations

SOURCES = """
sources:
  - name: airport
    schema: main
    tables:
      - name: landings
        config: {meta: {skewless: {stream: {topic: landings, event_timestamp: landed_at, lateness: 1500ms, idle_timeout: 0s}}}}
        columns:
          - {name: tailnum, data_type: varchar, data_tests: [not_null]}
          - {name: landed_at, data_type: timestamp}
          - {name: arrived_at, data_type: timestamp}
          - {name: delay, data_type: bigint, config: {meta: {skewless: {range: [-1440, 14400]}}}}
          - {name: gate, data_type: integer}
          - {name: diverted, data_type: boolean}
          - {name: weight, data_type: double}
          - {name: fare, data_type: "decimal(10,2)"}
          - {name: day, data_type: date}
          - {name: scheduled_at, data_type: timestamp}
      - name: packed_landings
        config: {meta: {skewless: {stream: {topic: packed, format: avro, event_timestamp: landed_at, idle_timeout: 0s}}}}
        columns:
          - {name: tailnum, data_type: varchar, data_tests: [not_null]}
          - {name: landed_at, data_type: timestamp}
          - {name: arrived_at, data_type: timestamp}
          - {name: delay, data_type: bigint, config: {meta: {skewless: {range: [-1440, 14400]}}}}
          - {name: picture, data_type: blob}
"""
VIEW = """
  - name: {name}
    config:
      materialized: view
      contract: {{enforced: true}}
      meta: {{skewless: {{entities: [{{name: plane, join_keys: [tailnum]}}], stream: {{enabled: true}}}}}}
    columns:
      - {{name: tailnum, data_type: varchar}}
      - {{name: event_timestamp, data_type: timestamp}}
"""
EVERY = """
      - {name: delay, data_type: bigint}
      - {name: gate, data_type: integer}
      - {name: diverted, data_type: boolean}
      - {name: weight, data_type: double}
      - {name: fare, data_type: "decimal(10,2)"}
      - {name: day, data_type: date}
      - {name: scheduled_at, data_type: timestamp}
      - {name: landed_at, data_type: timestamp}
"""
COUNT = "      - {name: landings_1h, data_type: bigint}\n"
OVER = "over (partition by tailnum order by landed_at range between interval 1 hour preceding and current row)"
YAMLS = {
    "sources.yml": SOURCES,
    "views.yml": "models:" + VIEW.format(name="last_landing") + EVERY.lstrip("\n") + VIEW.format(name="rotation") + COUNT
    + VIEW.format(name="packed") + COUNT + VIEW.format(name="keyless") + COUNT,
}
SQLS = {
    "last_landing": "select tailnum, landed_at as event_timestamp, delay, gate, diverted, weight, fare, day, scheduled_at,\n"
    "landed_at "
    "from {{ source('airport', 'landings') }}",
    "stg_on_time": "select tailnum, landed_at, delay from {{ source('airport', 'landings') }} where delay < 600",
    "rotation": f"select tailnum, landed_at as event_timestamp, count(*) {OVER} as landings_1h from {{{{ ref('stg_on_time') }}}}",
    "packed": f"select tailnum, landed_at as event_timestamp, count(*) {OVER} as landings_1h\n"
    "from {{ source('airport', 'packed_landings') }} where tailnum is not null",
    "keyless": f"select nullif(tailnum, 'x') as tailnum, landed_at as event_timestamp, count(*) {OVER} as landings_1h\n"
    "from {{ source('airport', 'landings') }}",
}
