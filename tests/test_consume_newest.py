"""Law 2's winner goes online, however a stream's rows are split into batches: the newest slot's last version, known since its
run of equal values began."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skewless import embedded, rows
from skewless.config import Config
from skewless.online import OnlineStore, connect
from skewless.sync.feature_topic import Rows
from skewless.sync.streamed_online import StreamedOnline, newest
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.pending import Part
from tests.feature_messages import Version, streamed, table_of, winner
from tests.history_project import fetch

SOAK = bool(os.environ.get("SKEWLESS_SOAK"))
ROW = st.tuples(
    st.sampled_from(["a", "b", "c|}", "é"]), st.integers(0, 3), st.none() | st.integers(0, 1),
    st.sampled_from([None, 0.5, float("nan"), 0.0]), st.integers(1, 6),
)


@settings(max_examples=5000 if SOAK else 300)
@example([("a", 2, None, 0.5, 1), ("a", 2, 0, None, 2), ("a", 2, None, 0.5, 2)])
@given(st.lists(ROW, min_size=1, max_size=25))
def test_the_winner_of_each_entity(given_rows: list[tuple[str, int, int | None, float | None, int]]) -> None:
    view = streamed()
    n = len(given_rows)
    batch = Rows(table_of(view, list(given_rows)), np.zeros(n, np.int32), np.arange(n))
    passes = newest("shop.dev", view, batch, 77)
    keys, values = passes[-1]
    found = dict(zip(keys.to_pylist(), values.to_pylist(), strict=True))
    assert all(len({*some.to_pylist()}) == len(some) for some, _ in passes), "a key may come once in a call"
    assert len(found) == len(keys)
    slots: dict[str, dict[int, list[Version]]] = {}
    for offset, (k, at, a, x, ingested) in enumerate(given_rows):
        slots.setdefault(k, {}).setdefault(at, []).append((ingested, offset, (a, x)))
    wanted = {}
    for k, times in slots.items():
        at = max(times)
        won, ingested = winner(times[at])
        wanted[rows.row_key("shop.dev", view, [k])] = rows.encode_row(view, at, ingested, list(won), 77)
    assert found == wanted


NOW = int(time.time()) * 1_000_000
Message = tuple[str, int, int, float, int]      # k, event_timestamp, a, x, ingested_at


class Writer:
    """A stream's writer of its own key space: online, and with `lake` offline too."""

    def __init__(self, client: redis.Redis, namespace: str, folder: Path) -> None:
        self.view, self.lake = streamed(), LakeTable(folder, streamed())
        self.store = OnlineStore(client, namespace)

    def write(self, log: list[Message], start: int, end: int, *, lake: bool = False) -> None:
        table, offsets = table_of(self.view, list(log[start:end])), np.arange(start, end)
        online = StreamedOnline(self.store, self.lake)
        online.look()
        online.write(Rows(table, np.zeros(end - start, np.int32), offsets))
        if lake:
            self.lake.append_parts([Part("topic:0", table, pa.array(offsets), end)])

    def online(self) -> dict[bytes, tuple[int, int, list[object]]]:
        out = {}
        for keys, _ in self.store.scan(self.view):
            for key, raw in zip(keys, self.store.read(keys), strict=True):
                assert raw is not None
                row = rows.decode_row(self.view, raw)
                out[key] = (row.header.event_timestamp_us, row.header.ingested_at_us, list(row.values))
        return out

    def law(self, log: list[Message]) -> dict[bytes, tuple[int, int, list[object]]]:
        """What law 2 says about these messages."""
        slots: dict[tuple[str, int], list[Version]] = {}
        for offset, (k, at, a, x, ingested) in enumerate(log):
            slots.setdefault((k, at), []).append((ingested, offset, (a, x)))
        out: dict[bytes, tuple[int, int, list[object]]] = {}
        for (k, at), versions in sorted(slots.items()):
            values, ingested = winner(versions)
            out[rows.row_key(self.store.namespace, self.view, [k])] = (at, ingested, list(values))
        return out


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    folder = Path(tempfile.mkdtemp(prefix="newest"))
    config = Config(root=str(folder), project="p")
    yield connect(config)
    embedded.release(config)
    shutil.rmtree(folder)


@pytest.mark.parametrize("cuts", [(3,), (1, 3), (2, 3), (1, 2, 3)])
def test_values_that_come_back_are_a_version_of_their_own_in_both_stores(
    client: redis.Redis, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    writer = Writer(client, f"aba.t{len(cuts)}{cuts[0]}", tmp_path)
    log = [("k", NOW, 1, 0.5, NOW + 1000), ("k", NOW, 2, 0.5, NOW + 2000), ("k", NOW, 1, 0.5, NOW + 3000)]
    for again in ((), (3,), (1, 3), (2, 3), (1, 2, 3)):
        for start, end in itertools.pairwise((0, *(again or cuts))):
            writer.write(log, start, end, lake=True)
        (offline,) = fetch(f"select epoch_us(ingested_at), a from {writer.lake.relation()}")
        assert offline == (NOW + 3000, 1)
        assert writer.online() == writer.law(log) and [(i, v[0]) for _, i, v in writer.online().values()] == [offline]


LOG = st.lists(st.tuples(st.sampled_from("aab"), st.sampled_from([0, 1, 1]), st.integers(0, 1)), min_size=1, max_size=8)


@settings(max_examples=2000 if SOAK else 150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LOG, st.data())
def test_however_messages_are_split_read_again_or_read_by_two(
    client: redis.Redis, given_log: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    client.flushdb()
    writer = Writer(client, "split.dev", Path("absent"))
    log = [(k, NOW + at * 1000, a, 0.5, NOW + n * 1000) for n, (k, at, a) in enumerate(given_log)]
    places, rewinds = [0] * data.draw(st.integers(1, 2), "writers"), data.draw(st.lists(st.integers(0, 3), max_size=2), "rewinds")
    while any(place < len(log) for place in places):
        who = data.draw(st.sampled_from([w for w, place in enumerate(places) if place < len(log)]), "who")
        end = data.draw(st.integers(places[who] + 1, len(log)), "reads to")
        writer.write(log, places[who], end)
        places[who] = max(0, end - rewinds.pop()) if rewinds else end
    assert writer.online() == writer.law(log)
