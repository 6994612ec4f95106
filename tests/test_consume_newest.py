"""Of a batch of streamed rows, law 2's winner goes online: the newest slot's last version, known since its run began."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skewless import rows
from skewless.sync.feature_topic import Rows
from skewless.sync.streamed_online import newest
from tests.feature_messages import Version, streamed, table_of, winner

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
    keys, values = newest("shop.dev", view, batch, 77)
    found = dict(zip(keys.to_pylist(), values.to_pylist(), strict=True))
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
