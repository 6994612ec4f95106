"""Every path gives the same bytes: the short way over a socket, the application over our own connection, over redis-py, and an
implementation that makes each reply value by value."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import orjson
import pyarrow as pa
import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless import rows
from skewless.clock import format_instant
from skewless.config import Config
from skewless.online import OnlineStore
from skewless.online.newest import newest_key
from skewless.registry import snapshot
from skewless.registry.model import Feature, FeatureRef, JoinKey, Registry, View, select
from skewless.rows.values import json_encoder
from skewless.serve import create_app
from skewless.serve.requests import query_pairs
from skewless.serve.tally import AGES_US, Spread
from skewless.serve.topology import RedisPyStore
from tests.serve_socket import listen
from tests.test_serve import HOUR_US, NOW_US, SOAK, Served, encode, view, worlds

WEEK_US = 7 * 24 * HOUR_US


@pytest.fixture(scope="module")
def module_paths(url: str) -> Iterator[tuple[Served, httpx.AsyncClient]]:
    """The application over our own connection, and a client of the same over redis-py, in one event loop."""
    served = Served(url, "flights.test")
    other = create_app(
        Config(project="flights", target="test", online_store=url),
        connect=lambda config: RedisPyStore(redis.asyncio.Redis.from_url(config.online_store)),
    )
    life = other.router.lifespan_context(other)
    served.runner.run(life.__aenter__())
    served.other = other                                    # type: ignore[attr-defined]
    client = httpx.AsyncClient(transport=httpx.ASGITransport(other, raise_app_exceptions=False), base_url="http://other")
    listening = served.runner.run(listen(served.app))
    served.port = listening.sockets[0].getsockname()[1]     # type: ignore[attr-defined]
    served.wire = httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}")     # type: ignore[attr-defined]
    yield served, client
    served.runner.run(served.wire.aclose())                 # type: ignore[attr-defined]
    listening.close()
    served.runner.run(client.aclose())
    served.runner.run(life.__aexit__(None, None, None))
    served.close()


@pytest.fixture
def paths(module_paths: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Served, httpx.AsyncClient]:
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US))
    module_paths[0].redis.flushall()
    return module_paths


def publish(paths: tuple[Served, httpx.AsyncClient], registry: Registry) -> None:
    paths[0].publish(registry)
    paths[0].runner.run(paths[0].other.state.live.refresh())    # type: ignore[attr-defined]


def both(paths: tuple[Served, httpx.AsyncClient], method: str, path: str, **options: Any) -> httpx.Response:
    """The reply, after a look that both stores, and a connection, gave the same."""
    served, client = paths
    first = served.call(method, path, **options)
    second = served.runner.run(client.request(method, path, **options))
    third = served.runner.run(served.wire.request(method, path, **options))     # type: ignore[attr-defined]
    assert third.headers.pop("date")
    for reply in (first, second, third):
        reply.headers.pop("x-request-id", None)
    assert (first.status_code, first.content, first.headers) == (second.status_code, second.content, second.headers)
    assert (first.status_code, first.content, first.headers.raw) == (third.status_code, third.content, third.headers.raw)
    return first


# ---- the naive implementation: one value at a time, by laws 3 and 4 ----

@dataclass
class Form:
    compact: bool
    int64_as_string: bool


NEWEST: dict[str, int] = {}         # newest event time by view, as far as it is known


class Refused(Exception):
    """The code, and the features that are the reason."""


def value_text(type_: str, value: Any, form: Form, *, default: bool = False) -> str:
    if value is None:
        return "null"
    if form.int64_as_string and type_ == "int64":
        return json.dumps(str(value)) if not isinstance(value, str) else json.dumps(value)
    if form.int64_as_string and type_ == "array<int64>" and isinstance(value, list):
        return json.dumps([None if v is None else str(v) for v in value], separators=(",", ":"))
    return orjson.dumps(value).decode() if default else json_encoder(type_)(value).decode()


def one_feature(v: View, f: Feature, raw: bytes | None, form: Form) -> tuple[str, str, str]:
    """Value, status and detail."""
    header = rows.read_header(raw) if raw is not None else None
    if header is None or header.tombstone or header.event_timestamp_us > NOW_US:
        return value_text(f.type, f.default if v.missing == "default" else None, form, default=True), "missing", ""
    age = NOW_US - header.event_timestamp_us
    if any(age > ttl for ttl in (v.ttl_us, f.ttl_us) if ttl is not None):
        return value_text(f.type, f.default if v.missing == "default" else None, form, default=True), "missing", "expired"
    known = NEWEST.get(v.ref)
    lag = age if known is None else NOW_US - known
    stale = v.error_after_us is not None and age > v.error_after_us and lag > v.error_after_us
    if stale and v.stale == "default":
        return value_text(f.type, f.default, form, default=True), "stale", ""
    value = rows.decode_row(v, raw).values[v.feature_names.index(f.name)]       # type: ignore[arg-type]
    return value_text(f.type, value, form), "stale" if stale else "null" if value is None else "ok", ""


def age_and_time(raw: bytes | None) -> tuple[str, str]:
    header = rows.read_header(raw) if raw is not None else None
    if header is None or header.tombstone or header.event_timestamp_us > NOW_US:
        return "null", "null"
    return str((NOW_US - header.event_timestamp_us) // 1000), json.dumps(format_instant(header.event_timestamp_us))


def key_of(v: View, entities: dict[str, Any]) -> bytes:
    return rows.row_key("flights.test", v, [rows.parse_key(k.type, entities[k.name]) for k in v.join_keys])


def answer(registry: Registry, stored: dict[bytes, bytes], refs: Any, entities: dict[str, Any], form: Form) -> dict[str, Any]:
    """The parts of one entity's reply, as texts."""
    selected = select(registry, refs)
    views = list({item.view.ref: item.view for item in selected}.values())
    names = [v.name for v in views]
    labels = {v.ref: v.name if names.count(v.name) == 1 else v.ref for v in views}
    raws = {v.ref: stored.get(key_of(v, entities)) for v in views}
    found = {item.name: one_feature(item.view, item.feature, raws[item.view.ref], form) for item in selected}
    by_view = [item for v in views for item in selected if item.view.ref == v.ref]
    for status, code, refuses in (("missing", "SK422", lambda v: v.missing == "error"),
                                  ("stale", "SK423", lambda v: v.stale == "error")):
        named = [item.name for item in by_view if found[item.name][1] == status and refuses(item.view)]
        if named:
            raise Refused(code, named)
    whole = [item.name for item in by_view if found[item.name][2]]
    times = {labels[v.ref]: age_and_time(raws[v.ref]) for v in views}
    gone = {
        labels[v.ref]: {n: None if us is None else format_instant(us)
                        for n, us in (("deprecated_at", v.deprecated_at_us), ("sunset_at", v.sunset_at_us))}
        for v in views if v.deprecated_at_us is not None
    }
    return {"found": found, "detail": dict.fromkeys(whole, "expired"), "times": times,
            "version": {labels[v.ref]: v.version for v in views}, "deprecation": gone}


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def mapping(pairs: Any) -> str:
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{text}" for name, text in pairs) + "}"


def full(a: dict[str, Any], entity_id: str = "") -> str:
    event = f',"event_timestamp":{list(a["times"].values())[0][1]}' if entity_id else ""
    head = f'{{"entity_id":{entity_id},' if entity_id else "{"
    tail = f',"deprecation":{compact_json(a["deprecation"])}' if a["deprecation"] else ""
    return (
        f'{head}"features":{mapping((n, f[0]) for n, f in a["found"].items())}{event},"metadata":{{'
        f'"freshness_ms":{mapping((n, t[0]) for n, t in a["times"].items())},'
        f'"status":{mapping((n, json.dumps(f[1])) for n, f in a["found"].items())},"detail":{compact_json(a["detail"])},'
        f'"event_timestamp":{mapping((n, t[1]) for n, t in a["times"].items())},"version":{compact_json(a["version"])}{tail}}}}}'
    )


def compact(a: dict[str, Any]) -> tuple[str, str]:
    """What comes once, and what comes for each entity."""
    tail = f',"deprecation":{compact_json(a["deprecation"])}' if a["deprecation"] else ""
    head = (f'"names":{compact_json(list(a["found"]))},"views":{compact_json(list(a["times"]))},'
            f'"version":{compact_json(list(a["version"].values()))}{tail}')
    values, statuses = ",".join(f[0] for f in a["found"].values()), compact_json([f[1] for f in a["found"].values()])
    body = (f'"values":[{values}],"status":{statuses},"freshness_ms":[{",".join(t[0] for t in a["times"].values())}],'
            f'"event_timestamp":[{",".join(t[1] for t in a["times"].values())}]')
    return head, body + (f',"detail":{compact_json(a["detail"])}' if a["detail"] else "")


def body_one(a: dict[str, Any], form: Form, entity_id: str = "") -> bytes:
    if not form.compact:
        return full(a, entity_id).encode()
    head, body = compact(a)
    return ("{" + (f'"entity_id":{entity_id},' if entity_id else "") + f"{head},{body}}}").encode()


def body_many(answers: list[dict[str, Any]], form: Form) -> bytes:
    if not form.compact:
        return ('{"results":[' + ",".join(map(full, answers)) + "]}").encode()
    results = ",".join("{" + compact(a)[1] + "}" for a in answers)
    return f'{{{compact(answers[0])[0]},"results":[{results}]}}'.encode()


def entity_text(v: View, entities: dict[str, Any], form: Form) -> str:
    def one(k: JoinKey) -> Any:
        return str(entities[k.name]) if k.type == "int64" and form.int64_as_string else entities[k.name]

    return compact_json(one(v.join_keys[0]) if len(v.join_keys) == 1 else {k.name: one(k) for k in v.join_keys})


# ---- the property ----

@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """What a view's definition may add to `worlds`."""
    return {
        "missing": draw(st.sampled_from(["default", "null", "null", "error"])),
        "stale": draw(st.sampled_from(["serve", "default", "error"])),
        "error_after_us": draw(st.sampled_from([None, 0, HOUR_US, WEEK_US])),
        "newest": draw(st.sampled_from([None, NOW_US, NOW_US - HOUR_US, NOW_US - HOUR_US - 1])),
        "deprecated_at_us": draw(st.sampled_from([None, None, NOW_US - HOUR_US])),
    }


FORMS = st.builds(Form, st.booleans(), st.booleans())


@settings(max_examples=3_000 if SOAK else 200, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.lists(rules(), min_size=3, max_size=3), FORMS)
def test_every_path_gives_the_same_bytes(paths: Any, world: Any, more: Any, form: Form) -> None:
    registry, entities, stored, refs = world
    some = [extra.pop("newest") for extra in more]
    views = tuple(msgspec.structs.replace(v, **extra) for v, extra in zip(registry.views, more, strict=False))
    registry = msgspec.structs.replace(registry, views=views)
    paths[0].redis.flushall()
    NEWEST.clear()
    for v, newest_us in zip(views, some, strict=False):
        if newest_us is not None:
            NEWEST[v.ref] = newest_us
            paths[0].redis.set(newest_key("flights.test", v), newest_us)
    publish(paths, registry)
    there: dict[bytes, bytes] = {}
    for now, writer, values, event_us in stored:
        raw = rows.tombstone(now, event_us, event_us, event_us) if values is None else encode(writer, values, event_us)
        there[key_of(now, entities)] = raw
    if there:
        paths[0].redis.mset(there)
    options = {"format": "compact" if form.compact else "full", "int64_as_string": form.int64_as_string}
    body = {"features": [str(ref) for ref in refs], **options}
    same(lambda: body_one(answer(registry, there, refs, entities, form), form),
         both(paths, "POST", "/online-features", json={**body, "entities": entities}))
    same(lambda: body_many([answer(registry, there, refs, entities, form)] * 2, form),
         both(paths, "POST", "/online-features/batch", json={**body, "entities": [entities, entities]}))
    for v in views:
        texts = {k.name: str(entities[k.name]).lower() if k.type == "bool" else str(entities[k.name]) for k in v.join_keys}
        texts |= {"format": options["format"], "int64_as_string": str(form.int64_as_string).lower()}
        whole = (FeatureRef(view=v.name),)
        same(lambda v=v, w=whole: body_one(answer(registry, there, w, entities, form), form, entity_text(v, entities, form)),
             both(paths, "GET", f"/feature-views/{v.name}/online-features", params=texts))


def test_the_short_way_is_taken(paths: Any) -> None:
    """What is plain never reaches the application; what is not does, and gets its answer there."""
    served = paths[0]
    v, old = view("v", CARRIER, NUMBERS, missing="error"), view("old", CARRIER, NUMBERS, deprecated_at_us=NOW_US)
    publish(paths, registry_of(v, old))
    served.put(v, ("UA",), encode(v, [3, None], NOW_US))
    hot, passed = served.app.direct, []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await hot(scope, receive, send)

    def short(method: str, path: str, **options: Any) -> tuple[int, int]:
        """The status, and how many requests the application got."""
        reply = served.runner.run(served.wire.request(method, path, **options))
        seen = len(passed)
        passed.clear()
        return reply.status_code, seen

    served.app.entry = counting
    try:
        plain = {"features": ["v"], "entities": {"carrier": "UA"}}
        assert short("POST", "/online-features", json=plain) == (200, 0)
        assert short("POST", "/online-features/batch", json={**plain, "entities": [plain["entities"]] * 400}) == (200, 0)
        assert short("GET", "/feature-views/v/online-features?entity_id=UA&format=compact") == (200, 0)
        assert short("POST", "/online-features?", json=plain) == (200, 1)
        assert short("POST", "/online-features", json=plain, headers={"Connection": "close"}) == (200, 1)
        assert short("POST", "/online-features", json={**plain, "entities": {"carrier": None}}) == (422, 1)
        assert short("POST", "/online-features", json={**plain, "entities": {"carrier": "XX"}}) == (422, 0)
        assert short("POST", "/online-features", json={**plain, "features": ["old"]}) == (200, 1)
        assert short("POST", "/online-features", content=b"[") == (400, 1)
        assert short("POST", "/online-features", content=b" " * (2 * 1024 * 1024 + 1)) == (413, 1)
    finally:
        served.app.entry = hot
    assert hot.in_flight == 0


def test_requests_that_come_at_once_are_answered_in_order(paths: Any) -> None:
    served = paths[0]
    v = view("v", CARRIER, NUMBERS)
    publish(paths, registry_of(v))
    for n in range(9):
        served.put(v, (f"c{n}",), encode(v, [n, None], NOW_US))
    head = b"GET /feature-views/v/online-features?entity_id=c%d HTTP/1.1\r\nHost: x\r\n"
    asked = b"\r\n".join(head % n for n in range(9)) + b"Connection: close\r\n\r\n"

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(asked)
        return await asyncio.wait_for(reader.read(), 10)

    replies = served.runner.run(ask()).split(b"HTTP/1.1 ")[1:]
    assert [json.loads(r.split(b"\r\n\r\n")[1])["entity_id"] for r in replies] == [f"c{n}" for n in range(9)]


def test_a_client_that_hangs_up_leaves_nothing_behind(paths: Any) -> None:
    served = paths[0]
    publish(paths, registry_of(view("v", CARRIER, NUMBERS)))

    async def leave() -> None:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET /feature-views/v/online-features?entity_id=UA HTTP/1.1\r\nHost: x\r\n\r\n")
            writer.transport.abort()
        await asyncio.sleep(0.2)

    served.runner.run(leave())
    assert served.app.direct.in_flight == 0
    assert served.runner.run(served.wire.get("/feature-views/v/online-features?entity_id=UA")).status_code == 200


def same(expected: Any, reply: httpx.Response) -> None:
    try:
        wanted = expected()
    except Refused as refusal:
        code, features = refusal.args
        assert (reply.status_code, reply.json()["code"], reply.json()["features"]) == (422, code, features)
        return
    assert reply.status_code == 200, reply.text
    assert reply.content == wanted
    orjson.loads(reply.content)


# ---- what a definition and a request may say ----

CARRIER = (JoinKey("carrier", "string"),)
NUMBERS = (Feature(name="landings", type="int64", default=7), Feature(name="mean", type="float64"))


def registry_of(*views: View) -> Registry:
    return Registry(project="flights", target="test", views=views)


@pytest.mark.parametrize(("stale", "expected"), [
    ("serve", {"landings": 3, "mean": None}), ("default", {"landings": 7, "mean": None}), ("error", None),
])
def test_a_broken_sla_is_said(paths: Any, stale: str, expected: Any) -> None:
    """A row exactly as old as error_after keeps the SLA."""
    v = view("v", CARRIER, NUMBERS, stale=stale, error_after_us=HOUR_US)
    publish(paths, registry_of(v))
    paths[0].put(v, ("UA",), encode(v, [3, None], NOW_US - HOUR_US))
    fresh = both(paths, "GET", "/feature-views/v/online-features?entity_id=UA").json()
    assert fresh["metadata"]["status"] == {"landings": "ok", "mean": "null"} and fresh["features"]["landings"] == 3
    paths[0].put(v, ("UA",), encode(v, [3, None], NOW_US - HOUR_US - 1))
    reply = both(paths, "GET", "/feature-views/v/online-features?entity_id=UA")
    if expected is None:
        problem = reply.json()
        assert (reply.status_code, problem["code"], problem["features"]) == (422, "SK423", ["landings", "mean"])
    else:
        assert reply.json()["features"] == expected
        assert reply.json()["metadata"]["status"] == {"landings": "stale", "mean": "stale"}


def test_an_old_row_of_a_fresh_view_is_not_stale(paths: Any) -> None:
    """The SLA is the view's: what counts is the newest event time that was pushed, and the row's own where none is known."""
    v = view("v", CARRIER, NUMBERS, stale="error", error_after_us=HOUR_US)
    publish(paths, registry_of(v))
    served, key = paths[0], newest_key("flights.test", v)
    served.put(v, ("UA",), encode(v, [3, None], NOW_US - 9 * HOUR_US))
    store = OnlineStore(served.redis, "flights.test")
    for newest_us, status in ((None, 422), (NOW_US - HOUR_US, 200), (NOW_US - HOUR_US - 1, 422)):
        served.redis.delete(key)
        if newest_us is not None:
            raw = encode(v, [1, 2.0], newest_us)
            store.write_rows(v, pa.array([rows.row_key("flights.test", v, ("AA",))]), pa.array([raw]))
            assert int(served.redis.get(key)) == newest_us
        publish(paths, registry_of(v))
        assert both(paths, "GET", "/feature-views/v/online-features?entity_id=UA").status_code == status
        batch = {"features": ["v"], "entities": [{"carrier": "UA"}] * 2}
        assert both(paths, "POST", "/online-features/batch", json=batch).status_code == status
    served.redis.set(key, NOW_US)
    store.write_rows(v, pa.array([rows.row_key("flights.test", v, ("AA",))]), pa.array([encode(v, [1, 2.0], NOW_US - HOUR_US)]))
    assert int(served.redis.get(key)) == NOW_US


def test_a_deprecated_version_says_so_and_names_the_next(paths: Any) -> None:
    at, end = NOW_US - 24 * HOUR_US, NOW_US + 24 * HOUR_US
    first = view("v", CARRIER, NUMBERS, deprecated_at_us=at, sunset_at_us=end)
    publish(paths, registry_of(first, view("v", CARRIER, NUMBERS, version=2)))
    reply = both(paths, "POST", "/online-features", json={"features": ["v@1"], "entities": {"carrier": "UA"}})
    assert reply.json()["metadata"]["deprecation"] == {
        "v": {"deprecated_at": "2013-12-31T12:00:00Z", "sunset_at": "2014-01-02T12:00:00Z"}
    }
    assert reply.headers["deprecation"] == f"@{at // 1_000_000}" and reply.headers["sunset"] == "Thu, 02 Jan 2014 12:00:00 GMT"
    assert reply.headers["link"] == '</feature-views/v@2>; rel="successor-version"'
    latest = both(paths, "POST", "/online-features", json={"features": ["v@2"], "entities": {"carrier": "UA"}})
    assert "deprecation" not in latest.headers and "deprecation" not in latest.json()["metadata"]


def test_int64_as_string_keeps_every_digit(paths: Any) -> None:
    v = view("v", (JoinKey("n", "int64"),), (Feature(name="a", type="int64", default=0), Feature(name="b", type="array<int64>"),
                                             Feature(name="c", type="int32")))
    publish(paths, registry_of(v))
    big = 2**63 - 1
    paths[0].put(v, (big,), encode(v, [big, [big, None], 5], NOW_US))
    reply = both(paths, "GET", f"/feature-views/v/online-features?entity_id={big}&int64_as_string=true").json()
    assert reply["entity_id"] == str(big) and reply["features"] == {"a": str(big), "b": [str(big), None], "c": 5}
    body = {"features": ["v"], "entities": {"n": 1}, "int64_as_string": True, "format": "compact"}
    assert both(paths, "POST", "/online-features", json=body).json()["values"] == ["0", None, None]


def test_a_join_key_called_like_an_option_is_a_join_key(paths: Any) -> None:
    v = view("v", (JoinKey("format", "string"), JoinKey("features", "string")), NUMBERS)
    publish(paths, registry_of(v))
    reply = both(paths, "GET", "/feature-views/v/online-features?format=compact&features=x").json()
    assert reply["entity_id"] == {"format": "compact", "features": "x"} and "features" in reply


@pytest.mark.parametrize("query", ["format=short", "int64_as_string=1", "format=compact&format=full"])
def test_options_that_do_not_exist(paths: Any, query: str) -> None:
    publish(paths, registry_of(view("v", CARRIER, NUMBERS)))
    reply = both(paths, "GET", f"/feature-views/v/online-features?entity_id=UA&{query}")
    assert reply.status_code == 400 and reply.json()["code"] == "SK400"


def test_queries_are_read_as_the_standard_library_does() -> None:
    def pairs(read: Any) -> Any:
        try:
            return read()
        except ValueError:                  # bytes that are not UTF-8
            return None

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["&", "=", "a", "b=1", "%41", "+", "%", ";", "#", "%zz", "%aa"]), max_size=12).map("".join))
    def same_pairs(text: str) -> None:
        expected = pairs(lambda: parse_qsl(text, keep_blank_values=True, errors="strict"))
        assert pairs(lambda: query_pairs(text)) == expected

    same_pairs()


def test_commas_quotes_and_brackets_inside_values_are_values(paths: Any) -> None:
    """Rows are cut at their commas; those inside of texts and arrays are not cuts."""
    v = view("v", CARRIER, tuple(Feature(name=n, type=t) for n, t in (("a", "string"), ("b", "array<string>"), ("c", "string"))))
    publish(paths, registry_of(v))
    rows_ = (['a,b"],[', ["x,y", '"', None], "null"], ["", [], ","], ["null", None, "\\,\\"], [None, [""], "é☃,"],
             ["null", None, "[null]"], ["nullnull", [None], "null"], [None, None, "null "], ["a", None, None], [None, None, "a"],
             ["null", None, "null"], ["null", None, None], [None, None, "null"], ["nu", None, "ll"], ["t", None, "true"])
    texts = view("texts", CARRIER, (Feature(name="x", type="string"), Feature(name="y", type="string")))
    publish(paths, registry_of(v, texts))
    for i, (x, _, y) in enumerate(rows_):
        paths[0].put(texts, (f"c{i}",), encode(texts, [x, y], NOW_US))
    alike = [i for i, (x, _, y) in enumerate(rows_) if all(value is None or value.isalpha() for value in (x, y))]
    for some in (range(len(rows_)), alike):
        reply = both(paths, "POST", "/online-features/batch", json={
            "features": ["texts"], "entities": [{"carrier": f"c{i}"} for i in some], "format": "compact"}).json()
        for i, found in zip(some, reply["results"], strict=True):
            expected = [rows_[i][0], rows_[i][2]]
            assert found["values"] == expected and found["status"] == ["null" if x is None else "ok" for x in expected]
    for values in rows_:
        paths[0].put(v, ("UA",), encode(v, values, NOW_US))
        reply = both(paths, "GET", "/feature-views/v/online-features?entity_id=UA").json()
        assert list(reply["features"].values()) == values
        assert list(reply["metadata"]["status"].values()) == ["null" if value is None else "ok" for value in values]


VALUES = {
    "string": st.none() | st.sampled_from(["null", "n,ull", '"', "\\", "\\n", "nul", "ü☃", ""]) | st.text(max_size=6),
    "int64": st.none() | st.integers(-(2**63), 2**63 - 1), "bool": st.none() | st.booleans(),
    "float64": st.none() | st.floats(), "array<string>": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[tuple[View, ...], list[list[Any]], Form]:
    """Two views, and for each of up to 30 entities a row of each: values and age, a tombstone, or nothing."""
    views, stored = [], []
    for name in ("a", "b"):
        kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))
        features = tuple(Feature(name=f"{name}{i}", type=kind) for i, kind in enumerate(kinds))
        limits = {"ttl_us": draw(st.sampled_from([None, HOUR_US])), "error_after_us": draw(st.sampled_from([None, HOUR_US // 2]))}
        views.append(view(name, (JoinKey("n", "int64"),), features, codec=draw(st.sampled_from(["json", "msgpack"])), **limits))
        values = st.tuples(*[VALUES[kind] for kind in kinds])
        ages = st.sampled_from([-1, 0, 1, 999_000, HOUR_US // 2, HOUR_US // 2 + 1, HOUR_US, HOUR_US + 1])
        rare = st.none() if draw(st.booleans()) else values
        stored.append(draw(st.lists(st.tuples(values | rare, ages) | rare, min_size=1, max_size=30)))
    return tuple(views), stored, draw(FORMS)


@settings(max_examples=2_000 if SOAK else 120, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns())
def test_a_batch_is_its_entities_one_by_one(paths: Any, world: Any) -> None:
    """Columns of rows are read at a glance where they are alike; each entity's part is that of its own lookup."""
    views, stored, form = world
    n = min(map(len, stored))
    served = paths[0]
    served.redis.flushall()
    publish(paths, registry_of(*views))
    for v, column in zip(views, stored, strict=True):
        for i, row in enumerate(column[:n]):
            if row is not None and len(row) == 2 and isinstance(row[0], tuple):
                served.put(v, (i,), encode(v, list(row[0]), NOW_US - row[1]))
            elif row is not None:
                served.put(v, (i,), rows.tombstone(v, NOW_US, NOW_US, NOW_US))
    body = {"features": ["a", "b"], "format": "compact" if form.compact else "full", "int64_as_string": form.int64_as_string}
    batch = both(paths, "POST", "/online-features/batch", json={**body, "entities": [{"n": i} for i in range(n)]})
    assert batch.status_code == 200, batch.text
    shown = batch.json()["results"]
    for i in range(n):
        one = served.post("/online-features", {**body, "entities": {"n": i}}).json()
        for name in ("names", "views", "version"):
            assert not form.compact or batch.json()[name] == one.pop(name)
        assert shown[i] == one


def test_histograms_take_many_at_once() -> None:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, 10**14) | st.sampled_from(AGES_US), max_size=40))
    def same_as_one_by_one(values: list[int]) -> None:
        many, each = Spread(AGES_US), Spread(AGES_US)
        many.add_all(values)
        for value in values:
            each.add(value)
        assert (many.counts, many.total) == (each.counts, each.total)

    same_as_one_by_one()


def test_msgpack_rows_read_as_json_rows_do() -> None:
    """The text of a number does not depend on how its row is stored."""
    types = ("float64", "float64", "float32", "decimal(10,2)", "date", "timestamp", "bytes", "array<float64>", "string", "int64")
    packed = view("v", CARRIER, tuple(Feature(name=f"f{i}", type=t) for i, t in enumerate(types)), codec="msgpack")
    plain = msgspec.structs.replace(packed, codec="json")
    odd = [0.0, -0.0, 1.0, -3.0, 1e-5, -1e-5, 9.9e-6, 1e10, -1e10, 9_999_999_999.0, 9_999_999_999.5, 2.0**53, 1e16, 5e-324,
           1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), 0.1, -2.5e-7, None]
    for i, value in enumerate(odd):
        single = value if value is None or value != value or abs(value) < 1e38 else float("inf")
        values = [value, odd[i - 1], single if single is None else float(f"{single:.3g}"), Decimal("1.50"), date(1999, 1, 2),
                  datetime(1999, 1, 2, 3, 4, 5, 6), b"ab", [value, 1.0], 'a,"b', 2**63 - 1]
        values = values if i % 3 else [*values[:3], *[None] * 7]
        values[2] = None if values[2] is None else struct.unpack("f", struct.pack("f", values[2]))[0]
        assert rows.values_json(packed, encode(packed, values, NOW_US)) == encode(plain, values, NOW_US)[rows.HEADER_SIZE :]


def test_a_row_of_a_newer_schema_makes_the_server_look_for_its_snapshot(paths: Any) -> None:
    """Between apply and the next look for a snapshot a sync may already have written."""
    served = paths[0]
    old = view("v", CARRIER, NUMBERS[:1])
    new = view("v", CARRIER, NUMBERS, past_schemas=(old.schema,))
    publish(paths, registry_of(old))
    snapshot.publish(served.redis, served.namespace, registry_of(new))
    served.put(new, ("UA",), encode(new, [1, 2.5], NOW_US))
    reply = served.get("/feature-views/v/online-features?entity_id=UA")
    assert reply.status_code == 200 and reply.json()["features"] == {"landings": 1, "mean": 2.5}


def test_plans_of_hostile_shapes_do_not_pile_up(paths: Any) -> None:
    """Each request asks for another shape; what is kept for them is bounded."""
    publish(paths, registry_of(view("v", CARRIER, NUMBERS)))
    lookups = paths[0].app.state.live.lookups

    async def ask() -> None:
        for n in range(1_300):
            name = f"n{n}" + "x" * (900 if n % 100 == 0 else 0)
            body = {"features": [f"v:landings as {name}"], "entities": {"carrier": "UA"}}
            await paths[0].http.post("/online-features", json=body)

    paths[0].runner.run(ask())
    assert len(lookups._plans) <= 1_000 and lookups._bytes == sum(plan.size for plan in lookups._plans.values())
