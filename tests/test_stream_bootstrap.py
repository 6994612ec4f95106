"""A stream takes over from a history: what the batch has stays the batch's, what comes after it has no gap and no double."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skewless.clock import EPOCH, parse_instant
from skewless.dev.stack import Stack
from skewless.registry.stream_jobs import StreamRecords
from tests.parity_world import VIEWS, World, clock_after, query, sources
from tests.test_parity import assert_equal
from tests.waiting import eventually

HISTORY_UNTIL, UNTIL = datetime(2013, 1, 10), datetime(2013, 1, 14)
LOOKBACKS = dict(zip(VIEWS, (timedelta(hours=1), timedelta(days=7), timedelta(days=1)), strict=True))
FROM_THEN_US = (HISTORY_UNTIL - timedelta(hours=12) - EPOCH) // timedelta(microseconds=1)
SPEED = 900.0       # a quarter of an hour a second: seven minutes to the end, and a night is shorter than the idle timeout
HOUR_US = 3_600_000_000
TOLD = ("carrier_delays",)
"""Views that say how fresh they are to be: `warn` after two hours, `error` after a day."""


def status(made: World) -> dict[str, dict[str, Any]]:
    """View -> what `stream status` says of it."""
    return {shown["view"].partition("@")[0]: shown for shown in json.loads(made.skewless("stream", "status", "--json"))}


def sent(shown: dict[str, dict[str, Any]]) -> int:
    """Events that are in the topics."""
    return sum(sum(one["events"][0]["end"].values()) for one in shown.values())


def test_the_stream_goes_on_where_the_history_ends_while_events_arrive(
    tmp_path: Path, stack: Stack, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = World(tmp_path / "project", stack, valkey, "taken", UNTIL, sources())
    made.apply()
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(UNTIL))
    made.dbt("dev")
    batch = {view: made.slots(view, "dev") for view in VIEWS}
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(HISTORY_UNTIL))
    made.replay(closing=False, to_us=FROM_THEN_US)
    try:
        with ExitStack() as handover:
            handover.enter_context(made.replaying(SPEED, from_us=FROM_THEN_US))
            before = status(made)
            made.skewless("materialize", *VIEWS)
            after = status(made)
            assert sent(after) > sent(before), "no event came while the batch was on its way"
            through_us = {view: made.lake(view).complete_through_us() or 0 for view in VIEWS}
            history = {view: query(f"select * from {made.lake(view).relation()} order by all") for view in VIEWS}
            for view in VIEWS:
                assert (before[view]["complete_through_us"], before[view]["freshness"]) == (None, "empty")
                one, newest_us = after[view], history_newest(history[view])
                assert (one["state"], one["complete_through_us"], one["newest_event_us"]) == (
                    "not submitted", through_us[view], newest_us)
                assert one["lag_us"] == parse_instant(clock_after(HISTORY_UNTIL)) - newest_us and one["rows"] is None
                assert one["freshness"] == ("ok" if view in TOLD else "none")
            monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(UNTIL))

            def meanwhile() -> None:
                eventually(lambda: sent(status(made)) > sent(after))        # and none of them is lost on the way
                handover.close()

            made.stream({view: len(slots) for view, slots in batch.items()}, meanwhile)
        shown = status(made)
        for view in VIEWS:
            assert_equal(made.slots(view, "stream"), batch[view], view)
            assert_equal(*reversed(made.online(view)), f"{view} online")
            start = StreamRecords(made.config()).require(view, 1).start["at_ms"]
            end = EPOCH + timedelta(microseconds=through_us[view])
            assert EPOCH + timedelta(milliseconds=start) == end - LOOKBACKS[view] - timedelta(seconds=6)
            assert HISTORY_UNTIL < end < UNTIL
            kept = query(f"select * from {made.lake(view).relation()} where event_timestamp < '{end}' order by all")
            assert kept == history[view] and kept           # each with the ingested_at that the batch gave it
            one, newest_us = shown[view], history_newest(query(f"select * from {made.lake(view).relation()}"))
            assert (one["state"], one["complete_through_us"]) == ("running", through_us[view])
            assert one["newest_event_us"] == newest_us > through_us[view]
            assert one["lag_us"] == parse_instant(clock_after(UNTIL)) - newest_us < 4 * HOUR_US
            assert one["rows"]["lag"] == 0 and one["rows"]["committed"] == one["rows"]["end"] and not one["late"]
            assert one["freshness"] == ("warn" if view in TOLD else "none")     # of the batch's rows alone it would be error
    finally:
        made.end()


def history_newest(rows: list[tuple[Any, ...]]) -> int:
    """The newest event time of a history, microseconds."""
    return max((at - EPOCH) // timedelta(microseconds=1) for _, at, *_ in rows)
