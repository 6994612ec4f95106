"""The join inside dbt models, over a lake that dbt wrote: both modes, versions of history, unit tests; and the HTTP client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from skewless import Client, FeatureStore, SkewlessError
from skewless.client import HTTPError
from tests.history_project import Project
from tests.test_training import EVENTS, FEATURES, LABELS, PAIRS_SQL, PAIRS_YAML, WANT, apply

UNIT_TEST = """unit_tests:
  - name: newest_valid_row
    model: train
    overrides:
      macros:
        skewless.feature_view_metadata:
          {name: events, version: 1, join_keys: [k], ttl_us: null, features: [{name: a, type: bigint}]}
    given:
      - input: ref('labels')
        rows: [{k: u, label_timestamp: "2026-01-02 00:00:00"}, {k: u, label_timestamp: "2026-01-01 23:59:59"}]
      - input: ref('events')
        rows: [{k: u, event_timestamp: "2026-01-02 00:00:00", a: 5}]
    expect:
      rows: [{k: u, label_timestamp: "2026-01-02 00:00:00", a: 5}, {k: u, label_timestamp: "2026-01-01 23:59:59", a: null}]
"""


def test_models_and_unit_tests(tmp_path: Path) -> None:
    import duckdb
    import pyarrow.parquet as pq

    project = Project(tmp_path / "p")
    pq.write_table(LABELS, project.root / "frame.parquet")
    project.write("models/pairs.sql", PAIRS_SQL)
    project.write("models/pairs.yml", PAIRS_YAML)
    project.write("models/labels.sql", f"select * from read_parquet('{project.root}/frame.parquet')")
    join = "{{ skewless.point_in_time_join(labels=ref('labels'), features=" + json.dumps(FEATURES) + ", statuses=true MODE) }}"
    project.write("models/train_full.sql", "{{ config(materialized='table') }}" + join.replace("MODE", ""))
    project.write("models/train_known.sql", "{{ config(materialized='table') }}" + join.replace("MODE", ", mode='known_at'"))
    project.write("models/train.sql", "{{ skewless.point_in_time_join(labels=ref('labels'), features=['events@1:a']) }}")
    project.write("models/unit.yml", UNIT_TEST)
    project.rows(EVENTS)
    run = project.run(command="build")
    assert run.ok, "\n".join(run.lines)
    assert {r["unique_id"].split(".")[0] for r in run.run_results["results"]} >= {"model", "unit_test"}
    with duckdb.connect(str(project.root / "dev.duckdb")) as con:
        assert con.sql("from train_full").to_arrow_table().select(list(WANT)).to_pydict() == WANT
        known = con.sql("select distinct events__status from train_known").fetchall()
        assert known == [("missing",)], "all was loaded after the labels"
    apply(project)
    with FeatureStore(project.root) as store, store.training_set(LABELS, features=FEATURES, statuses=True) as made:
        assert made.arrow().select(list(WANT)).to_pydict() == WANT


class Replies(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked["entities"] != {"k": "?"}
        problem = {"title": "a request is malformed", "detail": "no such key", "code": "SK400", "status": 400}
        self.reply(200 if known else 400, {"path": self.path, "asked": asked} if known else problem)

    def do_GET(self) -> None:
        self.reply(503, {})

    def reply(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Replies)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_client_errors_are_typed(url: str) -> None:
    client = Client(url)
    assert client.get("s", {"k": 1}) == {"path": "/online-features", "asked": {"feature_service": "s", "entities": {"k": 1}}}
    assert client.get_batch("s", [{"k": 1}])["path"] == "/online-features/batch"
    with pytest.raises(HTTPError) as error:
        client.get_features(["v"], {"k": "?"})
    assert (error.value.code, error.value.status, error.value.fact) == ("SK400", 400, "no such key")
    assert client.ready() is False
    with pytest.raises(SkewlessError, match="SK461"):
        Client("http://127.0.0.1:9").ready()
