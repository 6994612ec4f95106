"""`skewless check --flink`: a real Flink plans the views of a dbt project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skewless.config import read_config
from skewless.conformance.engines import Flink
from skewless.registry.finding import Finding
from skewless.registry.inputs import Inputs
from skewless.registry.manifest import read_definitions
from skewless.registry.model import View
from skewless.stream import view_gate
from skewless.stream.view_gate import gate_views
from tests.registry_project import compiled, write_project

YAML = """
sources:
  - name: raw
    schema: main
    tables:
      - name: orders
        config: {meta: {skewless: {stream: {topic: orders, event_timestamp: ordered_at}}}}
        columns:
          - {name: customer, data_type: bigint}
          - {name: amount, data_type: "decimal(10,2)"}
          - {name: ordered_at, data_type: timestamp}
models:
MODELS
"""
MODEL = """
  - name: NAME
    config:
      materialized: view
      contract: {enforced: true}
      meta: {skewless: {entities: [customer], online: false, EXTRA}}
    columns:
      - {name: customer, data_type: bigint, constraints: [{type: not_null}]}
      - {name: event_timestamp, data_type: timestamp}
      - {name: n, data_type: bigint}
"""
SQL = {
    "windowed": """
        select customer, ordered_at as event_timestamp, count(*) over (
            partition by customer order by ordered_at range between interval '1' hour preceding and current row) as n
        from {{ source('raw', 'orders') }}""",
    "piled": """
        select customer, max(ordered_at) as event_timestamp, count(*) as n
        from {{ source('raw', 'orders') }} group by customer""",
    "formless": """
        select customer, ordered_at as event_timestamp,
            count(*) over (partition by customer order by ordered_at range between interval '1' hour preceding and current row)
            + count(*) over (partition by customer order by ordered_at range between interval '2' hour preceding and current row)
            as n
        from {{ source('raw', 'orders') }} group by customer, ordered_at""",
    "batch": """
        select customer, max(ordered_at) as event_timestamp, count(*) as n
        from {{ source('raw', 'orders') }} group by customer""",
    "unread": "select customer, ordered_at as event_timestamp, nix as n from {{ source('raw', 'orders') }}",
}
NO_DATA = ") WITH ('connector'='datagen')"
STREAMS = "stream: {enabled: true}"
STREAM = {"windowed": STREAMS, "piled": "portable: true", "formless": "portable: true", "batch": "ttl: 1d", "unread": STREAMS}


def project(root: Path, *names: str) -> None:
    models = "".join(MODEL.replace("NAME", name).replace("EXTRA", STREAM[name]) for name in names)
    write_project(root, {"shop.yml": YAML.replace("MODELS", models)}, {name: SQL[name] for name in names})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, View]]:
    root = tmp_path_factory.mktemp("shop")
    project(root, *SQL)
    config = read_config(root)
    manifest = compiled(config)
    return manifest, {view.name: view for view in read_definitions(config, manifest)[0].views}


def test_plans_that_exist_and_append_are_no_findings(flink: Flink, shop: tuple[dict[str, Any], dict[str, View]]) -> None:
    """Of these, `piled` may take rows back, since it does not stream, and `unread` does not get to Flink."""
    manifest, views = shop
    assert gate_views(manifest, [v for name, v in views.items() if name != "formless"], flink.session) == []


def test_sql_without_a_form_in_flink_is_found(flink: Flink, shop: tuple[dict[str, Any], dict[str, View]]) -> None:
    """The rules allow each part of it; several windows beside GROUP BY have no form."""
    manifest, views = shop
    (finding,) = gate_views(manifest, [views["formless"]], flink.session)
    assert finding.code == "SK821" and isinstance(finding, Finding) and finding.file == "models/formless.sql" and finding.hint


def test_a_streamed_plan_that_takes_rows_back_is_found(
    flink: Flink, shop: tuple[dict[str, Any], dict[str, View]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules refuse it before Flink does: here they are told that it does not stream."""
    manifest, views = shop
    monkeypatch.setattr(view_gate, "Inputs", lambda manifest, dialect, stream: Inputs(manifest, dialect, stream=False))
    streamed = msgspec.structs.replace(views["piled"], streamed=True)
    (finding,) = gate_views(manifest, [streamed], flink.session)
    assert isinstance(finding, Finding) and finding.code == "SK811" and finding.file == "models/piled.sql"
    assert "from GroupAggregate(groupBy=[customer]" in finding.fact and "piled" in finding.subject


def test_a_view_without_a_plan_is_found(
    flink: Flink, shop: tuple[dict[str, Any], dict[str, View]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source whose event time Flink does not know."""
    manifest, views = shop
    table = view_gate._table
    monkeypatch.setattr(view_gate, "_table", lambda source: table(source).partition(", WATERMARK")[0] + NO_DATA)
    (finding,) = gate_views(manifest, [views["windowed"]], flink.session)
    assert finding.code == "SK810" and "time attribute" in finding.fact


def test_the_command_asks_flink_only_when_a_view_is_for_it(flink: Flink, tmp_path: Path) -> None:
    project(tmp_path, "batch", "windowed")
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] == 0 and "asking Flink for the plans of 1 view" in done.stderr
    other = tmp_path / "other"
    project(other, "batch")
    assert "nothing to ask Flink" in check(other).stderr


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "skewless.cli", "check", "--flink", "--json", "--project-dir", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True)
