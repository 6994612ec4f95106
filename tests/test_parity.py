"""A stream equals its batch: the flights through real Kafka, Flink and Valkey, against `dbt run` over the same events."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skewless.dev.events import KINDS
from skewless.dev.stack import Stack
from tests.parity_world import SECONDS_MAX, VIEWS, World, clock_after, query, sources
from tests.test_example import ROWS
from tests.test_stream_jobs import kill
from tests.waiting import eventually

SOAK = os.environ.get("SKEWLESS_SOAK") == "1"
CLEAN_UNTIL = datetime(2014, 1, 2) if SOAK else datetime(2013, 2, 1)
FAULTY_UNTIL = datetime(2013, 2, 1) if SOAK else datetime(2013, 1, 8)
KILLED = (("taskmanager",), ("jobmanager", "taskmanager", "gateway"), ("kafka",))
ROUNDS = 5 if SOAK else 1
KILLED_UNTIL, KILLED_SECONDS = datetime(2013, 1, 16), 450      # a night in much less than the idle timeout
NOTHING = re.compile(r"(\d+) rows in \d+ windows: 0 inserted, 0 corrected, 0 retracted")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Stack(tmp_path_factory.mktemp("valkey"), ("valkey",)) as stack:
        yield stack.endpoints["valkey"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return sources()


def world(folder: Path, stack: Stack, valkey: str, name: str, until: datetime, tables: dict[str, pa.Table]) -> World:
    made = World(folder, stack, valkey, name, until, tables)
    made.apply()
    return made


def test_the_stream_of_all_flights_has_the_rows_of_the_batch(
    tmp_path: Path, stack: Stack, valkey: str, tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month of them; all 336 776 with SKEWLESS_SOAK."""
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(CLEAN_UNTIL))
    made = world(tmp_path, stack, valkey, "clean", CLEAN_UNTIL, tables)
    sent = made.replay()
    for topic in ("departures", "landings"):
        assert sent["topics"][f"clean_{topic}"]["event"] == query(f"select count(*) from '{made.file(topic)}'")[0][0] > 20_000
    try:
        counts = agree(made)
    finally:
        made.end()
    assert not SOAK or counts == {view: ROWS[view] for view in VIEWS}
    assert all(made.dead_letters(view).total() == 2 for view in VIEWS)          # what ended the last windows


def test_what_is_late_is_dropped_by_both_and_what_is_no_event_is_a_dead_letter(
    tmp_path: Path, stack: Stack, valkey: str, tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A twentieth too late, some twice, some in 2100, and all that is no event; the warehouse loads what the topics hold."""
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(FAULTY_UNTIL))
    made = world(tmp_path, stack, valkey, "faulty", FAULTY_UNTIL, tables)
    sent = made.replay(late=0.05, duplicates=0.02, malformed=6 * len(KINDS))
    made.load(tables)
    try:
        agree(made)
    finally:
        made.end()
    for view in VIEWS:
        topic = "departures" if view == "airport_departures_1h" else "landings"
        assert check_letters(made, view)["late"] >= sent["topics"][f"faulty_{topic}"]["late"]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_what_is_killed_while_it_streams_changes_no_row(
    tmp_path: Path, stack: Stack, valkey: str, tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch, round_: int
) -> None:
    """The TaskManager, all of Flink, and the broker, each as soon as rows of the moment are in the history of every view.

    Events go on coming meanwhile: late ones, some twice, and what is no event. The sources have their `idle_timeout` of 30 s.
    """
    monkeypatch.setenv("SKEWLESS_CLOCK", clock_after(KILLED_UNTIL))
    made = world(tmp_path, stack, valkey, f"killed{round_}", KILLED_UNTIL, tables)
    made.create_topics()
    speed = (KILLED_UNTIL - datetime(2013, 1, 1)).total_seconds() / KILLED_SECONDS
    batch: dict[str, dict[bytes, bytes]] = {}
    expected: dict[str, int] = dict.fromkeys(VIEWS, 0)

    def kill_each() -> None:
        with made.replaying(speed, late=0.05, duplicates=0.02, malformed=20 * len(KINDS)):
            held = dict.fromkeys(VIEWS, 0)

            def more_came() -> bool:
                return all(made.rows(view) > held[view] for view in VIEWS)

            for names in KILLED:
                eventually(more_came, SECONDS_MAX)
                kill(stack, *names)
                held.update({view: made.rows(view) for view in VIEWS})
            eventually(more_came, SECONDS_MAX)
        made.load(tables)
        made.dbt("dev")
        batch.update({view: made.slots(view, "dev") for view in VIEWS})
        expected.update({view: len(slots) for view, slots in batch.items()})

    try:
        with made.kept_alive():
            made.stream(expected, kill_each)
        sent_again = 0
        for view in VIEWS:
            assert_equal(made.slots(view, "stream"), batch[view], view)
            assert_equal(*reversed(made.online(view)), f"{view} online")        # with its ingested_at
            sent_again += check_first_arrivals(made, view)
            check_letters(made, view)
        assert sent_again, "no job was killed between a row and its checkpoint"
    finally:
        made.end()


def check_letters(made: World, view: str) -> Counter[str]:
    """What is no event, or late, has a dead letter, and nothing else has; the warehouse's copy has as many late ones."""
    topic, at = ("departures", "departed_at") if view == "airport_departures_1h" else ("landings", "landed_at")
    found = made.dead_letters(view)
    assert found == reasons(made, topic, at)
    dropped = f"select count(*) from '{made.file(topic)}' where {at} <= arrived_at - interval 1 second"
    assert query(dropped)[0][0] == found["late"] > 100 and found["in the future"] > 0
    return found


def check_first_arrivals(made: World, view: str) -> int:
    """Each row of the history has the time of its first message; the others say the same again. How many of these there are."""
    arrivals, names = made.arrivals(view), ", ".join((*made.view(view).key_names, "event_timestamp", "ingested_at"))
    found = {tuple(slot): at for *slot, at in query(f"select {names} from {made.lake(view).relation()}")}
    assert found == {slot: sent[0][0] for slot, sent in arrivals.items()}, view
    assert all(len({value for _, value in sent}) == 1 for sent in arrivals.values()), view
    return sum(len(sent) - 1 for sent in arrivals.values())


def agree(made: World) -> dict[str, int]:
    """Streams, computes, compares: the history's rows in both targets, the online store, and what a run then finds to correct."""
    made.dbt("dev")
    batch = {view: made.slots(view, "dev") for view in VIEWS}
    made.stream({view: len(slots) for view, slots in batch.items()})
    arrivals = {}
    for view in VIEWS:
        assert_equal(made.slots(view, "stream"), batch[view], view)
        assert_equal(*reversed(made.online(view)), f"{view} online")
        arrivals[view] = query(f"select * from {made.lake(view).relation()} order by all")
    said = made.dbt("stream")
    assert all(NOTHING.search(text) for text in said.values()), said
    for view in VIEWS:
        assert made.lake(view).statistics()["pending"] == 0
        assert query(f"select * from {made.lake(view).relation()} order by all") == arrivals[view]
    for command in (["sync"], ["audit"]):
        made.skewless(*command, *VIEWS)
    for view in VIEWS:
        assert_equal(*reversed(made.online(view)), f"{view} online, after the batch")
    return {view: len(slots) for view, slots in batch.items()}


def assert_equal(found: dict[bytes, bytes], expected: dict[bytes, bytes], what: str) -> None:
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    different = [key for key in expected.keys() & found.keys() if found[key] != expected[key]]
    example: Any = next(iter([*missing, *extra, *different]), b"")
    shown = (example, found.get(example), expected.get(example))
    assert (len(missing), len(extra), len(different)) == (0, 0, 0), (what, len(expected), shown)


def reasons(made: World, topic: str, at: str) -> Counter[str]:
    """Why each message of a topic is no event, by the rules in words."""
    out = Counter[str]()
    for *_, arrived, value in made.read(f"{made.name}_{topic}"):
        reason = reason_of(arrived, value, at)
        out.update([reason] if reason else [])
    return out


def reason_of(arrived: datetime, value: bytes | None, at: str) -> str:
    if value is None:
        return "tombstone"
    try:
        body = json.loads(value)
    except ValueError:
        return "not a JSON object"
    if isinstance(body, list):
        return "an array: its objects count"
    if body.get(at) is None:
        return f"{at} is missing"
    if body[at] == "yesterday":
        return f"{at} is not of type timestamp"
    if body["flight"] == "many":
        return "flight is not of type int64"
    ahead = (datetime.fromisoformat(body[at]).replace(tzinfo=None) - arrived).total_seconds()
    return "late" if ahead <= -1 else "in the future" if ahead > 5 else ""
