"""Sync and audit over a real lake written by real dbt runs, into a real Valkey."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless import embedded, rows
from skewless.audit import audit_view
from skewless.clock import format_instant, parse_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import OnlineStore, SyncRecord, SyncRecords, connect
from skewless.registry.model import Feature, View
from skewless.sync.batch import sync, sync_view
from skewless.warehouse.lake import LakeTable
from tests.history_driver import Driver
from tests.history_project import fetch, view

NOW = "2026-03-10T13:00:00Z"
ROWS: list[Any] = [
    ("a", "2026-03-08T01:00:00", 1, 0.5), ("a", "2026-03-09T01:00:00", 2, None), ("b", "2026-03-09", 3, -0.0),
    ("c|}", "2026-03-07", 4, 1e300),
]


class Shop:
    """A history with its online store. The clock of runs goes on by a minute each; that of syncs stands at NOW."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.config = Config(root=str(root), project="tiny")
        self.driver = Driver(self.config.lake_root, "month", allow_retract=True, chunk_us=31 * 86_400_000_000)
        self.minute = 0

    @property
    def table(self) -> LakeTable:
        return self.driver.table

    def materialize(self, events: list[Any]) -> None:
        """A run over the whole of 2026 so far with these events as the source."""
        self.driver.con.execute("delete from source").fetchall()
        for k, seen, a, x in events:
            self.driver.con.execute("insert into source values (?, ?, ?, ?)", [k, seen, a, x]).fetchall()
        self.minute += 1
        os.environ["SKEWLESS_CLOCK"] = format_instant(parse_instant("2026-03-10T12:20:00Z") + self.minute * 60_000_000)
        window = {"start_us": parse_instant("2026-02-20"), "end_us": parse_instant("2026-03-10T12:00:00Z")}
        self.driver.run(run_id=f"run {self.minute}", **window)
        os.environ["SKEWLESS_CLOCK"] = NOW

    @property
    def store(self) -> OnlineStore:
        return OnlineStore(connect(self.config), self.config.namespace)

    def online(self, view: View) -> dict[str, tuple[Any, ...]]:
        """key -> (event_timestamp, ingested_at, values) of every row that is not a tombstone."""
        out = {}
        for keys, _ in self.store.scan(view):
            for key, raw in zip(keys, self.store.read(keys), strict=True):
                assert raw is not None
                row = rows.decode_row(view, raw)
                if not row.header.tombstone:
                    out[key.decode()] = (row.header.event_timestamp_us, row.header.ingested_at_us, *row.values)
        return out

    def offline(self, view: View) -> dict[str, tuple[Any, ...]]:
        """The same from the history."""
        found = fetch(
            f"select k, epoch_us(event_timestamp), epoch_us(ingested_at), a, x from {self.table.relation()} "
            "qualify row_number() over (partition by k order by event_timestamp desc) = 1"
        )
        return {rows.row_key("tiny.dev", view, [k]).decode(): tuple(rest) for k, *rest in found}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    shop = Shop(tmp_path / "p")
    yield shop
    shop.driver.close()
    embedded.release(shop.config)


def test_inserts_corrections_and_deletions_reach_the_store(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    first = sync_view(shop.config, v)
    assert (first.rows, first.full) == (3, True) and shop.online(v) == shop.offline(v)
    assert sync_view(shop.config, v)[1:4] == (0, 0, 0)

    shop.materialize([("a", "2026-03-09T01:00:00", 20, 0.25), *ROWS[2:], ("d", "2026-03-10", 5, 2.0)])
    second = sync_view(shop.config, v)
    assert not second.full and second.rows == 2
    assert shop.online(v) == shop.offline(v)

    shop.materialize([ROWS[0], ("d", "2026-03-10", 5, 2.0)])
    sync_view(shop.config, v)
    assert shop.online(v) == shop.offline(v)
    result = audit_view(shop.config, v)
    assert result.clean and result.entities == result.equal == len(shop.offline(v)) and not result.behind


def test_a_lost_store_a_new_ttl_and_full_push_everything(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    assert sync_view(shop.config, v).full
    connect(shop.config).flushall()
    assert sync_view(shop.config, v).rows == 3 and shop.online(v) == shop.offline(v)
    assert not sync_view(shop.config, v).full
    longer = view(ttl_us=30 * 86_400_000_000)
    assert sync_view(shop.config, longer).full
    key = rows.row_key("tiny.dev", v, ["b"])
    assert connect(shop.config).pttl(key) > 30 * 86_400_000
    assert sync_view(shop.config, longer, full=True).rows == 3


def test_expiry_is_relative_to_the_clock(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    v = view(ttl_us=3_600_000_000)
    shop.materialize(ROWS)
    sync_view(shop.config, v, full=True)
    key = rows.row_key("tiny.dev", v, ["b"])
    expected = (parse_instant("2026-03-09") + 3_600_000_000 + 7 * 86_400_000_000 - parse_instant(NOW)) / 1000
    assert abs(connect(shop.config).pttl(key) - expected) < 60_000
    assert audit_view(shop.config, v).entities == 0
    monkeypatch.setenv("SKEWLESS_CLOCK", "2026-04-10T13:00:00Z")
    connect(shop.config).flushall()
    assert sync_view(shop.config, v, full=True).rows == 0 and shop.online(v) == {}


def test_a_full_sync_removes_what_is_gone(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    sync_view(shop.config, v)
    stray = rows.row_key("tiny.dev", v, ["stray"])
    shop.store.write_stream(v, [stray], [rows.encode_row(v, 1, 1, [1, 1.0], 0)])
    assert audit_view(shop.config, v).unexpected == 1
    shop.materialize([*ROWS, ("d", "2026-03-10", 5, 2.0)])
    sync_view(shop.config, v, full=True)
    assert shop.online(v) == shop.offline(v) and audit_view(shop.config, v).clean


def test_an_old_batch_after_a_full_sync_changes_nothing(shop: Shop) -> None:
    """An entity that came and went between two syncs: the batch that has it is still on its way when a full sync ends."""
    v = view()
    shop.materialize([*ROWS, ("ghost", "2026-03-09", 9, 9.0)])
    old = shop.table.changes(None)
    shop.materialize(ROWS)
    sync_view(shop.config, v, full=True)
    for full in (True, False):
        keys, values = rows.encode_keys("tiny.dev", v, old.rows), rows.encode_rows(v, old.rows, old.position.r_us)
        shop.store.write_rows(v, keys, values, full=full)
        assert shop.online(v) == shop.offline(v)


def test_a_stream_may_be_ahead_of_the_history(shop: Shop) -> None:
    v = view(streamed=True, begin_us=parse_instant("2026-02-20"))
    shop.materialize(ROWS)
    through = LakeTable(shop.config.lake_root, v).complete_through_us()
    assert through == parse_instant("2026-03-10T12:00:00Z")
    sync_view(shop.config, v)
    for entity, at in (("a", through + 1), ("new", through), ("lost", through - 1)):
        raw = rows.encode_row(v, at, at, [1, 1.0], 2**62)
        shop.store.write_stream(v, [rows.row_key("tiny.dev", v, [entity])], [raw])
    result = audit_view(shop.config, v)
    assert (result.ahead, result.unexpected, result.different, result.missing) == (2, 1, 0, 0)


def test_a_row_beyond_a_gap_that_went_after_a_first_sync_had_died(shop: Shop) -> None:
    """Where a stream's rows count nothing is removed by its absence: the versions that went are told by name."""
    v = view(streamed=True)
    shop.materialize(ROWS)
    assert shop.table.complete_through_us() is None

    def die(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync_view(shop.config, v, on_progress=die)
    assert len(shop.online(v)) == 3
    shop.materialize([ROWS[0], ROWS[3]])
    assert sync_view(shop.config, v).full
    assert shop.online(v) == shop.offline(v) and len(shop.online(v)) == 2


def test_suspects_are_repaired(shop: Shop) -> None:
    v = view(streamed=True, begin_us=parse_instant("2026-02-20"))
    shop.materialize(ROWS)
    sync_view(shop.config, v)
    keys = [rows.row_key("tiny.dev", v, [entity]) for entity in ("a", "c|}", "never there")]
    at = parse_instant("2026-03-10T11:00:00Z")
    shop.store.write_stream(v, keys, [rows.encode_row(v, at, at, [1, 1.0], 2**62)] * 3)
    assert shop.online(v) != shop.offline(v)
    shop.store.suspect(v, keys)
    sync_view(shop.config, v)
    assert shop.online(v) == shop.offline(v) and shop.store.suspects(v) == []


def test_a_history_started_anew_under_a_standing_clock(shop: Shop) -> None:
    v = view()
    for _ in range(3):
        shop.materialize(ROWS)
    sync_view(shop.config, v)
    shutil.rmtree(shop.table.path)
    shop.minute = -20
    shop.materialize(ROWS[:2])
    assert sync_view(shop.config, v).full
    assert shop.online(v) == shop.offline(v) and len(shop.online(v)) == 1
    shop.materialize([*ROWS[:2], ("e", "2026-03-10T01:00:00", 9, 9.0)])
    assert not sync_view(shop.config, v).full
    assert shop.online(v) == shop.offline(v)


def test_an_additive_feature_leaves_old_rows_readable(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    sync_view(shop.config, v)
    features = tuple(Feature(name=n, type=t) for n, t in (("x", "float64"), ("n", "string"), ("a", "int64")))
    wider = view(features=features, past_schemas=(v.schema,))
    raw = shop.store.read([rows.row_key("tiny.dev", v, ["b"])])[0]
    assert raw is not None and rows.decode_row(wider, raw).values == [0.0, None, 3]


def test_active_within_pushes_only_the_active(shop: Shop) -> None:
    v = view(active_within_us=2 * 86_400_000_000)
    shop.materialize(ROWS)
    sync_view(shop.config, v)
    assert {key for key in shop.online(v)} == {rows.row_key("tiny.dev", v, [k]).decode() for k in ("a", "b")}
    assert audit_view(shop.config, v).clean


def test_the_audit_tells_what_differs(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    sync_view(shop.config, v)
    client = connect(shop.config)
    key = rows.row_key("tiny.dev", v, ["a"])
    client.set(key, client.get(key).replace(b"[2,", b"[3,"))
    client.delete(rows.row_key("tiny.dev", v, ["b"]))
    result = audit_view(shop.config, v)
    assert (result.equal, result.different, result.missing, result.unexpected) == (1, 1, 1, 0)
    assert {e.kind: e.features for e in result.examples} == {"different": ("a",), "missing": ()}


def test_views_that_cannot_be_pushed(shop: Shop) -> None:
    skipped: list[str] = []
    assert sync(shop.config, [view(), view(online=False)], on_skip=lambda v, why: skipped.append(why)) == []
    assert skipped == ["it has no history yet", "it is not online"]
    with pytest.raises(SkewlessError, match="SK605"):
        sync_view(shop.config, view(online=False))
    with pytest.raises(SkewlessError, match="SK506"):
        sync_view(shop.config, view())


def test_a_second_sync_of_a_view_is_refused(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    with SyncRecords(connect(shop.config), "tiny.dev").lock(v), pytest.raises(SkewlessError, match="SK603"):
        sync_view(shop.config, v, wait_seconds=0.2)
    assert sync_view(shop.config, v).rows == 3


def test_the_rate_is_kept(shop: Shop) -> None:
    v = view()
    shop.materialize([(f"e{i}", "2026-03-09", i, None) for i in range(60)])
    started = time.monotonic()
    seen: list[tuple[int, int]] = []
    sync_view(shop.config, v, rows_per_second_max=40, on_progress=lambda done, total: seen.append((done, total)))
    assert time.monotonic() - started >= 0.9 and seen == [(40, 60), (60, 60)]


def test_a_store_that_goes_away_is_an_error_and_nothing_is_recorded(shop: Shop) -> None:
    v = view()
    shop.materialize([(f"e{i}", "2026-03-09", i, None) for i in range(60)])
    server = connect(shop.config).info("server")["process_id"]

    def stop(done: int, total: int) -> None:
        if done == 20:
            os.kill(server, signal.SIGKILL)

    with pytest.raises(SkewlessError, match="SK600"):
        sync_view(shop.config, v, rows_per_second_max=20, on_progress=stop)
    assert shop.store.position(v) is None
    assert sync_view(shop.config, v).full and shop.online(v) == shop.offline(v)


SYNC = """
import sys
from tests.history_project import view
from skewless.config import Config
from skewless.sync.batch import sync_view
print("ready", flush=True)
print(sync_view(Config(root=sys.argv[1], project="tiny"), view(), rows_per_second_max=float(sys.argv[2])), flush=True)
"""


def start_sync(shop: Shop, rate: float) -> subprocess.Popen[str]:
    other = subprocess.Popen(
        [sys.executable, "-c", SYNC, shop.config.root, str(rate)], cwd=Path(__file__).parents[1], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert other.stdout and other.stdout.readline() == "ready\n"
    return other


def test_kill_9_of_sync_at_random_points_converges(shop: Shop) -> None:
    v = view()
    chance = random.Random(7)
    events = {f"e{i}": (f"e{i}", "2026-03-09", i, None) for i in range(400)}
    shop.materialize(list(events.values()))
    connect(shop.config)
    for turn in range(200 if os.environ.get("SKEWLESS_SOAK") else 10):
        other = start_sync(shop, 800)
        time.sleep(chance.uniform(0.0, 1.0))
        other.kill()
        other.communicate()
        if turn % 4 == 3:
            for name in chance.sample(sorted(events), 40):
                events[name] = (name, "2026-03-09", turn * 1000, 0.5)
            del events[chance.choice(sorted(events))]
            shop.materialize(list(events.values()))
    sync_view(shop.config, v, rows_per_second_max=0)
    assert shop.online(v) == shop.offline(v) and audit_view(shop.config, v).clean


def test_two_syncs_at_once_never_mix(shop: Shop) -> None:
    v = view()
    shop.materialize([(f"e{i}", "2026-03-09", i, None) for i in range(200)])
    connect(shop.config)
    both = [start_sync(shop, 400) for _ in range(2)]
    ends = [other.communicate(timeout=60) for other in both]
    assert [other.returncode for other in both] == [0, 0], ends
    assert sorted("full=True" in out for out, _ in ends) == [False, True]
    assert shop.online(v) == shop.offline(v)


def test_the_lock_is_renewed_and_a_stolen_one_is_noticed(shop: Shop) -> None:
    v = view()
    shop.materialize(ROWS)
    client = connect(shop.config)
    records = SyncRecords(client, "tiny.dev")
    with records.lock(v):
        client.set("tiny.dev:sync:events@1:lock", "another")
        with pytest.raises(SkewlessError, match="SK603"):
            records.write(v, SyncRecord(position=("t", 1, 1), at_us=1), token="mine")
    assert client.get("tiny.dev:sync:events@1:lock") == b"another"
