"""Lookups on the short way, over sockets, while their Redis is cut off and stopped: answers reach who asked, and none is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from skewless import rows
from skewless.config import Config
from skewless.registry import snapshot
from skewless.registry.model import Feature, JoinKey, Registry, View
from skewless.serve import create_app
from tests.serve_socket import listen
from tests.test_serve import SOAK
from tests.test_serve_store import Node

ENTITIES, CLIENTS = 300, 40
LOOKUPS, HARMS = (1_000_000, 500) if SOAK else (6_000, 25)
VIEWS = tuple(
    View(name=name, entity="n", join_keys=(JoinKey("n", "int64"),), features=(Feature(name=f"{name}_tag", type="string"),))
    for name in ("a", "b")
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    one = Node(tmp_path / "node", "--appendonly", "yes")
    try:
        client = one.client()
        snapshot.publish(client, "shop.dev", Registry(project="shop", target="dev", views=VIEWS))
        for view in VIEWS:
            client.mset({rows.row_key("shop.dev", view, [n]): encoded(view, n) for n in range(ENTITIES)})
        yield one
    finally:
        one.kill()


def encoded(view: View, n: int) -> bytes:
    return rows.encode_row(view, 1, 1, [tag(view, n)], 1)


def tag(view: View, n: int) -> str:
    """What only this row holds; of many lengths."""
    return f"{view.name}{n}" + "x" * (n % 97)


def request(asked: list[int], kind: str) -> bytes:
    if kind == "get":
        return b"GET /feature-views/a/online-features?n=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % asked[0]
    entities: Any = [{"n": n} for n in asked] if kind == "batch" else {"n": asked[0]}
    body = orjson.dumps({"features": ["a", "b"], "entities": entities, "format": "compact"})
    path = b"/online-features/batch" if kind == "batch" else b"/online-features"
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def is_right(asked: list[int], kind: str, body: dict[str, Any]) -> bool:
    if kind == "get":
        return bool(body["features"] == {"a_tag": tag(VIEWS[0], asked[0])} and body["entity_id"] == asked[0])
    found = [one["values"] for one in body["results"]] if kind == "batch" else [body["values"]]
    return found == [[tag(view, n) for view in VIEWS] for n in (asked if kind == "batch" else asked[:1])]


def test_answers_on_the_short_way_are_never_mixed(node: Node) -> None:
    seen = {"right": 0, "wrong": 0, "refused": 0, "harmed": 0}

    async def lookups(port: int, dice: random.Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (seen["right"] < LOOKUPS or seen["harmed"] < HARMS) and not seen["wrong"]:
            kind = dice.choice(["one", "one", "get", "batch"])
            asked = [dice.randrange(ENTITIES) for _ in range(dice.choice([2, 40, 200]) if kind == "batch" else 1)]
            writer.write(request(asked, kind))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = orjson.loads(await asyncio.wait_for(reader.readexactly(length), 20))
            if head.startswith(b"HTTP/1.1 503") and body["code"] == "SK453":
                seen["refused"] += 1
                await asyncio.sleep(0.002)
            else:
                seen["right" if head.startswith(b"HTTP/1.1 200") and is_right(asked, kind, body) else "wrong"] += len(asked)
        writer.close()

    async def run() -> None:
        app = create_app(Config(project="shop", target="dev", online_store=node.url))
        async with app.router.lifespan_context(app):
            app.state.live.store.deadline_s = 0.1
            server = await listen(app)
            ended = asyncio.Event()
            harming = asyncio.create_task(node.harm(ended, seen))
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(*(lookups(port, random.Random(n)) for n in range(CLIENTS)))
            ended.set()
            await harming
            server.close()
            hot, store = app.state.hot, app.state.live.store
            assert hot.turn > seen["right"] / 100 and hot.in_flight == 0
            while store.keys_waiting:           # the snapshot's watch may be asking
                await asyncio.sleep(0.01)

    uvloop.run(run())
    assert seen["wrong"] == 0 and seen["right"] >= LOOKUPS and seen["refused"] > 0, seen
