"""A stream takes over from a history: what the batch has stays the batch's, what comes after it has no gap and no double."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbt_project import prepare
from skewless.cli.stream_project import positions
from skewless.clock import EPOCH
from skewless.dev.stack import Stack
from skewless.registry.stream_jobs import StreamRecords
from tests.parity_world import VIEWS, World, clock_after, query
from tests.test_parity import assert_equal

HISTORY_UNTIL, UNTIL = datetime(2013, 1, 10), datetime(2013, 1, 12)
LOOKBACKS = dict(zip(VIEWS, (timedelta(hours=1), timedelta(days=7), timedelta(days=1)), strict=True))


def test_the_stream_goes_on_where_the_history_ends(
    tmp_path: Path, stack: Stack, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flights = prepare.flights()
    tables = {"departures": prepare.departures(flights), "landings": prepare.landings(flights), "weather": prepare.weather()}
    made = World(tmp_path / "project", stack, valkey, "taken", UNTIL, tables)
    made.apply()
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(HISTORY_UNTIL))
    made.dbt("stream")
    synced = subprocess.run([sys.executable, "-m", "skewless.cli", "sync", *VIEWS], cwd=made.root, capture_output=True, text=True)
    assert synced.returncode == 0, synced.stderr
    through_us = {view: made.lake(view).complete_through_us() or 0 for view in VIEWS}
    history = {view: query(f"select * from {made.lake(view).relation()} order by all") for view in VIEWS}
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(UNTIL))
    made.dbt("dev")
    batch = {view: made.slots(view, "dev") for view in VIEWS}
    made.replay()
    try:
        made.stream({view: len(slots) for view, slots in batch.items()})
        for view in VIEWS:
            assert_equal(made.slots(view, "stream"), batch[view], view)
            assert_equal(*reversed(made.online(view)), f"{view} online")
            start = StreamRecords(made.config()).require(view, 1).start["at_ms"]
            end = EPOCH + timedelta(microseconds=through_us[view])
            assert EPOCH + timedelta(milliseconds=start) == end - LOOKBACKS[view] - timedelta(seconds=6)
            assert HISTORY_UNTIL < end < UNTIL
            kept = query(f"select * from {made.lake(view).relation()} where event_timestamp < '{end}' order by all")
            assert kept == history[view] and kept           # each with the ingested_at that the batch gave it
        shown = {p.view: p for p in positions(made.config(), [], "")}
        for view in VIEWS:
            one = shown[f"{view}@1"]
            assert (one.state, one.complete_through_us) == ("running", through_us[view])
            assert one.newest_event_us and one.newest_event_us > through_us[view]
            assert one.rows is not None and one.rows.lag == 0 and one.rows.committed == one.rows.end
    finally:
        made.end()
