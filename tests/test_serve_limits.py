"""A server at its limits: slow requests, slow routes, crashes, more lookups than may wait. Nothing of the inside is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from skewless.registry import snapshot
from skewless.registry.model import Registry
from skewless.serve import front, hot, protocol
from skewless.serve.auth import gate_of
from skewless.serve.front import Front
from tests.serve_socket import listen
from tests.test_serve import DELAYS, NOW_US, Served, encode, flights, refused

BODY = {"features": ["delays@1"], "entities": {"carrier": "UA"}}
SECRET = "postgresql://admin:hunter2@10.0.0.7/registry"


@pytest.fixture
def served(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("SKEWLESS_CLOCK", "2014-01-01T12:00:00Z")
    made = Served(url, "flights.limits")
    made.publish(flights())
    made.put(DELAYS, ("UA",), encode(DELAYS, [1, 1.0], NOW_US))
    yield made
    made.close()


async def over_a_socket(served: Served, sent: bytes) -> bytes:
    """What the server answers until it closes the connection."""
    server = await listen(served.app)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    server.close()
    return answer


@pytest.mark.parametrize("begun", [
    b"POST /online-features HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /online-features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    b"POST /online-features/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
])
def test_a_request_that_takes_too_long_to_arrive_is_408(served: Served, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.3)
    monkeypatch.setattr(protocol, "LOOK_S", 0.1)
    answer = served.runner.run(over_a_socket(served, begun))
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"SK408"' in answer and b"application/problem+json" in answer


def test_a_route_that_takes_too_long_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(20)

    monkeypatch.setattr(front, "HANDLER_S", 0.1)
    transport = httpx.ASGITransport(Front(slow, gate_of(served.config)))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://served") as client:
            return await client.get("/feature-views")

    reply = served.runner.run(ask())
    refused(reply, 503, "SK458")
    assert reply.headers["retry-after"]


def test_a_crash_tells_nothing_of_the_inside(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a lookup, on both ways, and of another route."""
    def crash(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"could not connect to {SECRET}")

    monkeypatch.setattr(hot, "shape_of", crash)
    monkeypatch.setattr("skewless.serve.direct.shape_of", crash)
    reply = served.post("/online-features", BODY)
    refused(reply, 500, "SK900")
    text = msgspec.json.encode(BODY)
    head = b"POST /online-features HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nConnection: " % len(text)
    answers = [served.runner.run(over_a_socket(served, head + b"close\r\n\r\n" + text))]
    monkeypatch.setattr(type(served.app.state.live), "current", crash)
    other = served.get("/feature-views")
    assert other.status_code == 500
    answers += [reply.content, other.content]
    assert all(b"SK900" in answer for answer in answers)
    assert not any(word in answer for answer in answers for word in (b"hunter2", b"RuntimeError(", b"Traceback", b".py"))


def test_more_lookups_than_may_wait_are_503_and_say_when_to_ask_again(served: Served) -> None:
    """On both ways; those that wait are answered, and so is who asks again."""
    store = served.app.state.live.store
    before, store.keys_waiting_max = store.keys_waiting_max, 1

    async def burst(base: str, transport: Any) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await asyncio.gather(*[client.post("/online-features", json=BODY) for _ in range(30)])

    async def run() -> list[list[httpx.Response]]:
        server = await listen(served.app)
        host, port = server.sockets[0].getsockname()
        replies = [await burst("http://served", httpx.ASGITransport(served.app)), await burst(f"http://{host}:{port}", None)]
        server.close()
        return replies

    try:
        for replies in served.runner.run(run()):
            busy = [reply for reply in replies if reply.status_code != 200]
            assert busy and len(busy) < len(replies)
            for reply in busy:
                refused(reply, 503, "SK455")
                assert reply.headers["retry-after"]
    finally:
        store.keys_waiting_max = before
    assert served.post("/online-features", BODY).status_code == 200 and store.keys_waiting == 0


def test_a_swap_under_load_never_mixes_two_snapshots(served: Served) -> None:
    """Versions and values of an answer are those of one of them."""
    both = flights()
    one = msgspec.structs.replace(both, views=tuple(v for v in both.views if v.ref != "delays@2"))
    body = {"features": ["delays"], "entities": {"carrier": "UA"}}
    wanted = {1: names_of(served, one, body), 2: names_of(served, both, body)}      # by the latest version
    assert wanted[1] != wanted[2]

    async def run() -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for turn in range(40):
            snapshot.publish(served.redis, served.namespace, both if turn % 2 else one)
            asked = [asyncio.create_task(served.http.post("/online-features", json=body)) for _ in range(20)]
            await served.app.state.live.refresh()
            asked += [asyncio.create_task(served.http.post("/online-features", json=body)) for _ in range(5)]
            out += [(await reply).json() for reply in asked]
        return out

    seen = set()
    for answer in served.runner.run(run()):
        (version,) = answer["metadata"]["version"].values()
        assert set(answer["features"]) == set(answer["metadata"]["status"]) == wanted[version]
        seen.add(version)
    assert seen == {1, 2}


def names_of(served: Served, registry: Registry, body: dict[str, Any]) -> set[str]:
    """The features that are answered with that snapshot."""
    served.publish(registry)
    return set(served.post("/online-features", body).json()["features"])
