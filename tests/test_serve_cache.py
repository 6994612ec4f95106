"""The L1 cache and the cold path: what they answer from, for how long, and that they give way to what is newer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from skewless import embedded, rows
from skewless.audit import audit_view
from skewless.clock import format_instant
from skewless.cold import LIFE_US
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.model import Feature, JoinKey, Registry, View
from skewless.serve.cache import Cache, Shelf
from skewless.serve.cold import Cold
from skewless.sync.batch import sync_view
from tests.history_project import view as history_view
from tests.serve_socket import listen
from tests.test_serve import HOUR_US, NOW_US, Served, encode, refused
from tests.test_sync import NOW, ROWS, Shop

CARRIER = JoinKey("carrier", "string")
KEPT = View(name="kept", entity="carrier", join_keys=(CARRIER,), features=(Feature(name="n", type="int64"),), ttl_us=HOUR_US,
            cache_us=2_000_000)
PLAIN = View(name="plain", entity="carrier", join_keys=(CARRIER,), features=(Feature(name="m", type="int64"),))
BOTH = {"features": ["kept", "plain"], "entities": {"carrier": "UA"}}


@pytest.fixture
def served(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US))
    redis.Redis.from_url(url).flushall()
    served = Served(url, "flights.test")
    served.publish(Registry(project="flights", target="test", views=(KEPT, PLAIN)))
    for view, value in ((KEPT, 1), (PLAIN, 2)):
        served.put(view, ("UA",), encode(view, [value], NOW_US))
    yield served
    served.close()


def ask(served: Served, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    reply = served.post("/online-features", {**BOTH, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()["features"], reply.json()["metadata"]["cache"]


def test_a_row_is_kept_for_its_views_span_and_no_longer(served: Served) -> None:
    assert ask(served) == ({"n": 1, "m": 2}, {"kept": "redis", "plain": "redis"})
    for view, value in ((KEPT, 10), (PLAIN, 20)):
        served.put(view, ("UA",), encode(view, [value], NOW_US))
    assert ask(served) == ({"n": 1, "m": 20}, {"kept": "l1", "plain": "redis"})
    compact = served.post("/online-features", {**BOTH, "format": "compact"}).json()
    assert compact["cache"] == ["l1", "redis"]
    deadline = time.monotonic() + 10
    while ask(served)[0]["n"] != 10:
        assert time.monotonic() < deadline
        served.runner.run(asyncio.sleep(0.1))
    assert ask(served)[1]["kept"] == "l1"


def test_a_kept_row_expires_by_its_event_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(served)
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(NOW_US + HOUR_US + 1))
    reply = served.post("/online-features", BOTH).json()
    assert reply["metadata"]["status"]["n"] == "missing" and reply["metadata"]["cache"]["kept"] == "l1"


def test_absent_rows_are_kept_too_and_null_keys_are_not_asked_for(served: Served) -> None:
    assert ask(served, entities={"carrier": "XX"})[0]["n"] is None
    assert ask(served, entities={"carrier": "XX"})[1] == {"kept": "l1", "plain": "redis"}
    assert served.post("/online-features", {**BOTH, "entities": {"carrier": None}}).json()["metadata"]["status"]["n"] == "missing"


def test_many_at_once_ask_once(served: Served) -> None:
    store, asked = served.app.state.live.store, list[bytes]()
    read = store.read
    store.read = lambda keys: (asked.extend(keys), read(keys))[1]

    async def all_at_once() -> list[Any]:
        body = {"features": ["kept"], "entities": {"carrier": "UA"}}
        return await asyncio.gather(*[served.http.post("/online-features", json=body) for _ in range(50)])

    replies = served.runner.run(all_at_once())
    assert {r.json()["features"]["n"] for r in replies} == {1} and len(asked) == 1
    found = served.get("/metrics").text
    assert 'skewless_cache_rows_total{source="l1"}' in found or 'source="redis"' in found


def test_a_failed_read_is_not_kept(served: Served) -> None:
    store = served.app.state.live.store
    read = store.read

    def broken(keys: Sequence[bytes]) -> Any:
        from skewless.serve.resp import unanswered

        raise unanswered("It is gone.")

    store.read = broken
    refused(served.post("/online-features", BOTH), 503, "SK453")
    store.read = read
    assert ask(served)[0]["n"] == 1 and not served.app.state.cache.flying


def test_entries_are_bounded(served: Served) -> None:
    cache = Cache(entries_max=4)
    plan = served.app.state.live.current().references(("kept",))

    async def read(keys: Sequence[bytes]) -> list[bytes | None]:
        return [None for _ in keys]

    for n in range(10):
        served.runner.run(cache(plan, [b"%d" % n], read))
        kept = [*cache.shelves[2_000_000].old, *cache.shelves[2_000_000].young]
        assert len(kept) <= 4 and kept[-1] == b"%d" % n


def test_rows_whose_time_is_over_are_let_go(served: Served) -> None:
    cache, plan = Cache(), served.app.state.live.current().references(("kept",))

    async def read(keys: Sequence[bytes]) -> list[bytes | None]:
        return [b"row" for _ in keys]

    async def run() -> None:
        await cache(plan, [b"1"], read)
        await asyncio.sleep(2.1)
        await cache(plan, [b"2"], read)

    served.runner.run(run())
    shelf = cache.shelves[2_000_000]
    assert [*shelf.old, *shelf.young] == [b"2"]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 200), st.integers(0, 5)), max_size=60))
def test_a_row_is_never_kept_for_longer_than_its_span(steps: list[tuple[int, int, int]]) -> None:
    """Steps: hundredths of a second until the next lookup, until its row has come, and whose. The span is a second."""
    shelf, asked, coming, now = Shelf(1.0), dict[int, int](), list[tuple[int, int, int]](), 1_000
    for wait, late, who in steps:
        now += wait
        for came, at, one in sorted(c for c in coming if c[0] <= now):
            shelf.look(came / 100, 100)
            shelf.put(b"%d" % one, b"%d" % at, at / 100)
        coming = [c for c in coming if c[0] > now]
        shelf.look(now / 100, 100)
        for half in (shelf.young, shelf.old):
            assert all(now - int(row or b"") < 100 for row in half.values())
        for one, at in asked.items():
            if now - at < 50 and not any(c[2] == one for c in coming):
                assert b"%d" % one in shelf.young or b"%d" % one in shelf.old
        coming.append((now + late, now, who))
        asked[who] = now


def test_who_waits_for_a_lookup_that_is_cancelled_is_told(served: Served) -> None:
    cache, plan = Cache(), served.app.state.live.current().references(("kept",))

    async def run() -> tuple[SkewlessError, list[bytes | None]]:
        first = cache.trip(plan, [b"1", b"1"])
        assert first is not None and first.keys == [b"1"] and cache.trip(plan, [b"2", b"1"], wait=False) is None
        assert [*cache.flying] == [b"1"]
        waiting = asyncio.create_task(cache(plan, [b"1"], lambda keys: asyncio.sleep(0, [None for _ in keys])))
        await asyncio.sleep(0)
        cache.lost(first, asyncio.CancelledError())
        with pytest.raises(SkewlessError) as told:
            await waiting
        second = cache.trip(plan, [b"1", b"1"])
        assert second is not None
        waiting = asyncio.create_task(cache(plan, [b"1"], lambda keys: asyncio.sleep(0, [None for _ in keys])))
        await asyncio.sleep(0)
        return told.value, [*cache.came(second, [b"row"]).rows, *(await waiting).rows]

    error, rows = served.runner.run(run())
    assert error.code == "SK453" and rows == [b"row"] * 3 and not cache.flying


def test_only_lookups_of_kept_views_go_through_the_cache(served: Served) -> None:
    hot, lookups = served.app.state.hot, served.app.state.live.lookups
    assert hot.is_cached(lookups.references(("kept", "plain"))) and not hot.is_cached(lookups.references(("plain",)))


def test_kept_rows_are_answered_on_the_short_way(served: Served) -> None:
    """Over a connection, whether they are there, or are fetched, or stand beside rows that are not kept."""
    passed: list[str] = []
    hot = served.app.state.hot

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await hot(scope, receive, send)

    async def run() -> list[tuple[int, list[str], Any]]:
        server, out = await listen(served.app), []
        served.app.entry = counting
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
            for features in (["kept"], ["kept"], ["kept", "plain"], ["plain"]):
                body = {"features": features, "entities": {"carrier": "UA"}}
                reply = (await client.post("/online-features", json=body)).json()
                out.append((len(passed), list(reply["features"].values()), reply["metadata"].get("cache")))
        server.close()
        return out

    assert served.runner.run(run()) == [
        (0, [1], {"kept": "redis"}), (0, [1], {"kept": "l1"}), (0, [1, 2], {"kept": "l1", "plain": "redis"}), (0, [2], None),
    ]
    served.app.entry = hot


def test_a_snapshot_without_caches_takes_the_hook_away(served: Served) -> None:
    ask(served)
    assert served.app.state.hooks.reads is served.app.state.cache and [*served.app.state.cache.shelves] == [KEPT.cache_us]
    served.publish(Registry(project="flights", target="test", views=(msgspec.structs.replace(KEPT, cache_us=None), PLAIN)))
    assert not served.app.state.cache.shelves and served.app.state.hooks.reads is None and served.app.state.hooks.misses is None
    assert "cache" not in served.post("/online-features", BOTH).json()["metadata"]


# ---- the cold path ----

class House(Shop):
    """A history whose view pushes only what was seen within two days, and the application over it."""

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(root)
        redis.Redis.from_url(url).flushall()
        self.config = Config(root=str(root), project="tiny", online_store=url)
        self.view = history_view(active_within_us=2 * 24 * HOUR_US, cold_path=True, ttl_us=30 * 24 * HOUR_US)
        self.served = Served(url, "tiny.dev", config=self.config)
        self.served.publish(Registry(project="tiny", target="dev", views=(self.view,)))
        cold: Cold = self.served.app.state.cold
        cold.deadline_s = 60.0

    def get(self, key: str) -> tuple[Any, str, str]:
        """(value of a, status, source)."""
        reply = self.served.get(f"/feature-views/events/online-features?entity_id={key}")
        assert reply.status_code == 200, reply.text
        body = reply.json()
        return body["features"]["a"], body["metadata"]["status"]["a"], body["metadata"]["cache"]["events"]

    def raw(self, key: str) -> bytes | None:
        found: bytes | None = self.served.redis.get(rows.row_key("tiny.dev", self.view, [key]))
        return found


@pytest.fixture
def house(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    house = House(tmp_path / "p", url)
    yield house
    house.served.close()
    house.driver.close()
    embedded.release(house.config)


def test_a_miss_is_answered_from_the_history_and_put_online_for_a_while(house: House) -> None:
    house.materialize(ROWS)
    sync_view(house.config, house.view)
    assert house.raw("c|}") is None and house.get("a") == (2, "ok", "redis")
    assert house.get("c%7C%7D") == (4, "ok", "offline")
    assert house.get("c%7C%7D") == (4, "ok", "redis")
    key = rows.row_key("tiny.dev", house.view, ["c|}"])
    assert 0 < house.served.redis.pttl(key) <= LIFE_US // 1000
    assert audit_view(house.config, house.view).clean
    assert house.get("nobody") == (None, "missing", "redis") and house.served.app.state.cold.results["absent"] == 1
    house.get("nobody")
    assert house.served.app.state.cold.results["absent"] == 1        # remembered: the history is not asked again


def test_what_is_older_than_ttl_stays_missing(house: House) -> None:
    house.materialize(ROWS)
    short = msgspec.structs.replace(house.view, ttl_us=3 * 24 * HOUR_US)
    house.served.publish(Registry(project="tiny", target="dev", views=(short,)))
    assert house.get("c%7C%7D") == (None, "missing", "redis") and house.raw("c|}") is None
    assert house.get("a")[::2] == (2, "offline")


def test_a_batch_takes_the_place_of_a_row_that_was_put_online(house: House) -> None:
    house.materialize(ROWS)
    assert house.get("a") == (2, "ok", "offline")
    sync_view(house.config, house.view)                 # the same row, now for its whole life
    assert house.served.redis.pttl(rows.row_key("tiny.dev", house.view, ["a"])) > LIFE_US // 1000
    house.materialize([("a", "2026-03-09T01:00:00", 20, None), *ROWS[2:]])
    sync_view(house.config, house.view)
    assert house.get("a") == (20, "ok", "redis")
    house.materialize(ROWS[2:])                         # a is gone; its tombstone is looked behind, and nothing is there
    sync_view(house.config, house.view)
    assert house.get("a") == (None, "missing", "redis") and audit_view(house.config, house.view).clean


def test_a_look_that_began_before_a_retraction_does_not_bring_it_back(house: House) -> None:
    house.materialize(ROWS)
    from skewless.cold import ColdPath

    path, keys = ColdPath(house.config), [rows.row_key("tiny.dev", house.view, ["a"])]
    put = path._online().backfill
    held: list[Any] = []
    path._online().backfill = lambda *args, **more: held.append((args, more))     # type: ignore[method-assign,assignment]
    assert path.look(house.view, keys)[0] is not None and held
    house.materialize(ROWS[2:])
    sync_view(house.config, house.view)
    for args, more in held:                             # it arrives late
        put(*args, **more)
    raw = house.raw("a")
    assert raw is None or rows.read_header(raw).tombstone or house.get("a")[1] == "missing", "a deleted row came back"


def test_late_and_failed_looks_answer_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.materialize(ROWS)
    cold: Cold = house.served.app.state.cold
    cold.deadline_s = 0.05
    opened = cold._opened()
    look = opened.look

    def slow(*args: Any) -> Any:
        time.sleep(0.5)
        return look(*args)

    monkeypatch.setattr(opened, "look", slow)
    assert house.get("a") == (None, "missing", "redis") and cold.results["late"] == 1
    deadline = time.monotonic() + 30
    while house.raw("a") is None:                       # the look goes on, and the next one finds the row online
        house.served.runner.run(asyncio.sleep(0.05))
        assert time.monotonic() < deadline
    assert house.get("a") == (2, "ok", "redis")

    def fails(*_: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(opened, "look", fails)
    cold.deadline_s = 60.0
    assert house.get("b") == (None, "missing", "redis") and cold.results["failed"] == 1
    monkeypatch.setattr(opened, "look", look)
    assert house.get("b") == (3, "ok", "offline")       # a failure is not remembered as an absence


def test_many_keys_of_a_batch_are_one_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.materialize(ROWS)
    opened = house.served.app.state.cold._opened()
    looks, look = list[int](), opened.look

    def counted(view: View, keys: Sequence[bytes]) -> Any:
        looks.append(len(keys))
        return look(view, keys)

    monkeypatch.setattr(opened, "look", counted)
    asked = [{"k": k} for k in ("a", "b", "c|}", "a", "x", None)]
    reply = house.served.post("/online-features/batch", {"features": ["events:a"], "entities": asked}).json()
    assert [r["features"]["a"] for r in reply["results"]] == [2, 3, 4, 2, None, None] and looks == [4]
    assert [r["metadata"]["cache"]["events"] for r in reply["results"]] == ["offline"] * 4 + ["redis"] * 2


def test_the_hot_path_does_not_load_the_warehouse(tmp_path: Path, url: str) -> None:
    """In a process of its own: a server without cold views has no DuckDB, one with them loads it in a thread."""
    import subprocess
    import sys

    (tmp_path / "skewless.yml").write_text(f"project: flights\ntarget: lean\nonline_store: {url}\n")
    code = """
import asyncio, sys, redis
from skewless.config import read_config
from skewless.registry import snapshot
from skewless.registry.model import Registry
from skewless.serve import create_app
from tests.test_serve_cache import KEPT
config = read_config(sys.argv[1])
registry = Registry(project="flights", target="lean", views=(KEPT,))
snapshot.publish(redis.Redis.from_url(config.online_store), config.namespace, registry)
for name in list(sys.modules):
    if name.split(".")[0] in ("duckdb", "pyarrow", "sqlalchemy"):
        del sys.modules[name]
async def main():
    app = create_app(config)
    async with app.router.lifespan_context(app):
        pass
asyncio.run(main())
print([m for m in ("duckdb", "pyarrow", "sqlalchemy") if m in sys.modules])
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "[]", done.stderr
