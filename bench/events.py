"""A project of three streamed views over one topic, the events, and the same features in hand-written Flink SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.project import ROOT

TOPIC = "events"
USERS = 10_000
PARTITIONS = 2
LATENESS_MS = 1_000
VIEWS = ("user_hour", "user_minute", "user_sliding")
_OVER = "over (partition by user_id order by at range between interval 1 hour preceding and current row)"
_WINDOW = """select user_id, window_end as event_timestamp, count(*) as events, sum(amount) as amount
from {{{{ skewless.{macro} }}}} as w group by user_id, window_start, window_end
"""
_MODELS = {
    "user_hour": f"select user_id, at as event_timestamp, count(*) {_OVER} as events, sum(amount) {_OVER} as amount\n"
    "from {{ source('app', 'events') }}\n",
    "user_minute": _WINDOW.format(macro="tumble(source('app', 'events'), 'at', '1 minute')"),
    "user_sliding": _WINDOW.format(macro="hop(source('app', 'events'), 'at', '1 minute', '10 seconds')"),
}
_SOURCES = f"""sources:
  - name: app
    schema: main
    tables:
      - name: events
        config: {{meta: {{skewless: {{stream: {{topic: {TOPIC}, event_timestamp: at, lateness: {LATENESS_MS}ms}}}}}}}}
        columns:
          - {{name: user_id, data_type: varchar, data_tests: [not_null]}}
          - {{name: at, data_type: timestamp}}
          - {{name: arrived_at, data_type: timestamp}}
          - {{name: amount, data_type: bigint, config: {{meta: {{skewless: {{range: [0, 1000]}}}}}}}}
"""
_VIEW = """  - name: {name}
    config:
      materialized: feature_view
      contract: {{enforced: true}}
      meta:
        skewless:
          entities: [{{name: user, join_keys: [user_id]}}]
          begin: 2025-01-01
          ttl: 7d
          input_lookback: 1h
          stream: {{enabled: true, only: true}}
    columns:
      - {{name: user_id, data_type: varchar}}
      - {{name: event_timestamp, data_type: timestamp}}
      - {{name: events, data_type: bigint}}
      - {{name: amount, data_type: bigint}}
"""
_NAIVE = {
    "user_hour": "SELECT user_id, `at`, COUNT(*) OVER w, SUM(amount) OVER w FROM ev WINDOW w AS "
    "(PARTITION BY user_id ORDER BY `at` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)",
    "user_minute": "SELECT user_id, window_end, COUNT(*), SUM(amount) FROM TABLE(TUMBLE(TABLE ev, DESCRIPTOR(`at`), "
    "INTERVAL '1' MINUTE)) GROUP BY user_id, window_start, window_end",
    "user_sliding": "SELECT user_id, window_end, COUNT(*), SUM(amount) FROM TABLE(HOP(TABLE ev, DESCRIPTOR(`at`), "
    "INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) GROUP BY user_id, window_start, window_end",
}


def create(root: Path, settings: str = "") -> None:
    """Write the project; `settings` are more lines of skewless.yml."""
    (root / "models").mkdir(parents=True)
    (root / "dbt_project.yml").write_text("name: bench\nversion: '1.0'\nprofile: bench\n")
    (root / "packages.yml").write_text(f"packages: [{{local: {ROOT}}}]\n")
    (root / "skewless.yml").write_text(f"project: bench\n{settings}")
    (root / "profiles.yml").write_text(
        f"bench:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: {root}/bench.duckdb\n"
        "      settings: {TimeZone: UTC}\n      plugins: [{module: skewless.warehouse.plugin, alias: skewless}]\n"
    )
    (root / "models" / "sources.yml").write_text(_SOURCES)
    views = "".join(_VIEW.format(name=name) for name in VIEWS)
    (root / "models" / "views.yml").write_text(f"models:\n{views}")
    for name, sql in _MODELS.items():
        (root / "models" / f"{name}.sql").write_text(sql)


def naive(view: str, brokers: str, topic: str) -> list[str]:
    """What one writes by hand for the view's features; the last starts the job.

    A plain watermark, no filter, no dead letters, and Flink's own settings: ours say 50 ms between watermarks and 10 for buffers.
    """
    kafka = f"'connector'='kafka','properties.bootstrap.servers'='{brokers}'"
    return [
        "CREATE TABLE ev (user_id STRING, `at` TIMESTAMP(3), amount BIGINT, "
        f"WATERMARK FOR `at` AS `at` - INTERVAL '{LATENESS_MS // 1000}' SECOND) WITH ({kafka},'topic'='{TOPIC}',"
        f"'properties.group.id'='{topic}','scan.startup.mode'='earliest-offset','format'='json',"
        "'json.timestamp-format.standard'='ISO-8601')",
        "CREATE TABLE out_ (user_id STRING NOT NULL, `at` TIMESTAMP(3) NOT NULL, events BIGINT, amount BIGINT) "
        f"WITH ({kafka},'topic'='{topic}',"
        "'format'='avro','avro.timestamp_mapping.legacy'='false','key.format'='json','key.fields'='user_id')",
        f"INSERT INTO out_ {_NAIVE[view]}",
    ]


def event(number: int, at_us: int, user: str = "") -> bytes:
    """The message of one event."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    who = user or f"u{number * 7919 % USERS}"
    return b'{"user_id": "%b", "at": "%b", "amount": %d}' % (who.encode(), at.encode(), number % 1000)


def paced(rate: int, seconds: float, stop: Callable[[], bool] = lambda: False) -> Iterator[int]:
    """Numbers 0, 1, … at so many a second, in steps of some milliseconds; late ones follow at once."""
    started, sent = time.monotonic(), 0
    while sent < rate * seconds and not stop():
        due = min(int((time.monotonic() - started) * rate), int(rate * seconds))
        yield from range(sent, due)
        sent = max(sent, due)
        time.sleep(0.002)
