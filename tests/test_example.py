"""The outcome of the demo on real flights, held to the package's CSV files by brute force, and to figures that must not move."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from bisect import bisect_right
from datetime import timedelta
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.config import read_config
from skewless.registry.model import Registry
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable
from tests.example import ROOT, Example, copy_project
from tests.flights_oracle import Oracle, departures, rows, scheduled_at

FLIGHTS = 336_776
ROWS = {
    "carrier_delays": 310_573, "plane_rotation": 327_346, "airport_weather": 26_115, "route_delays": 326_411,
    "airport_departures_1h": 250_712,
}
TTL = {
    "carrier_delays": timedelta(days=7), "plane_rotation": timedelta(days=30),
    "airport_weather": timedelta(hours=3), "route_delays": timedelta(days=30),
}
KEYS = {
    "carrier_delays": ["carrier"], "plane_rotation": ["tailnum"], "airport_weather": ["origin"],
    "route_delays": ["origin", "dest"],
}
LABEL_COLUMNS = ["carrier", "flight", "tailnum", "origin", "dest", "label_timestamp", "late"]
FEATURES = {
    "carrier_delays": ["carrier_landings_24h", "carrier_late_24h", "carrier_mean_arr_delay_24h", "carrier_landings_7d"],
    "plane_rotation": ["plane_last_landed_at", "plane_last_airport", "plane_last_arr_delay", "plane_landings_24h"],
    "airport_weather": ["temp", "wind_speed", "wind_gust", "precip", "pressure", "visib"],
    "route_delays": ["route_landings_30d", "route_mean_arr_delay_30d"],
}
OTHERS = {"airport_departures_1h": ["airport_departures_1h", "airport_mean_dep_delay_1h", "airport_longest_dep_delay_1h"]}
DEFAULTS = dict.fromkeys(
    ("carrier_landings_24h", "carrier_late_24h", "carrier_landings_7d", "plane_landings_24h", "route_landings_30d"), 0
)
SAMPLE = 300


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="module")
def registry(example: Example) -> Registry:
    return Store(read_config(example.project)).applied()


@pytest.fixture(scope="module")
def train(example: Example) -> pa.Table:
    return pq.read_table(example.out / "train.parquet")


def history(example: Example, registry: Registry, view: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Slot -> features, as the lake has them."""
    found = registry.view(view)
    columns = ", ".join([*found.key_names, "event_timestamp", *found.feature_names])
    relation = LakeTable(read_config(example.project).lake_root, found).relation()
    read = duckdb.connect().execute(f"select {columns} from {relation}").fetchall()
    width = len(found.key_names) + 1
    return {row[:width]: row[width:] for row in read}


@pytest.mark.parametrize("view", ROWS)
def test_a_view_holds_what_its_definition_says(example: Example, registry: Registry, oracle: Oracle, view: str) -> None:
    held = history(example, registry, view)
    assert len(held) == ROWS[view]
    assert held.keys() == oracle.slots(view)
    assert list(registry.view(view).feature_names) == (FEATURES | OTHERS)[view]
    for slot in random.Random(2013).sample(sorted(held), SAMPLE):
        assert held[slot] == oracle.features(view, slot), slot


def test_the_labels_are_the_flights(example: Example) -> None:
    labels = pq.read_table(example.out / "labels.parquet")
    assert labels.column_names == LABEL_COLUMNS and labels.num_rows == FLIGHTS
    columns = [labels[name].to_pylist() for name in LABEL_COLUMNS]
    for flight, label in zip(rows("flights"), zip(*columns, strict=True), strict=True):
        late = None if flight["arr_delay"] is None else int(flight["arr_delay"]) >= 30
        identity = (flight["carrier"], int(flight["flight"]), flight["tailnum"], flight["origin"], flight["dest"])
        assert label == (*identity, scheduled_at(flight), late)


def test_the_training_set_is_the_label_frame_with_the_features_behind(example: Example, train: pa.Table) -> None:
    labels = pq.read_table(example.out / "labels.parquet")
    assert train.column_names == LABEL_COLUMNS + [name for names in FEATURES.values() for name in names]
    assert train.select(LABEL_COLUMNS).cast(labels.schema).equals(labels)
    assert (example.out / "train.manifest.json").exists()


def test_every_feature_is_as_of_its_label(train: pa.Table, oracle: Oracle) -> None:
    """A sample of labels, each answered by brute force: the newest row at or before the label and within ttl."""
    places = sorted(random.Random(7).sample(range(train.num_rows), SAMPLE))
    slots = {view: by_entity(oracle, view) for view in KEYS}
    for row in train.take(places).to_pylist():
        for view, keys in KEYS.items():
            entity, at = tuple(row[key] for key in keys), row["label_timestamp"]
            moments = slots[view].get(entity, [])
            place = bisect_right(moments, at)
            expected = [DEFAULTS.get(name) for name in FEATURES[view]]
            if place and at - moments[place - 1] <= TTL[view]:
                expected = list(oracle.features(view, (*entity, moments[place - 1])))
            assert [row[name] for name in FEATURES[view]] == expected, (view, entity, at)


def by_entity(oracle: Oracle, view: str) -> dict[tuple[Any, ...], list[Any]]:
    """Entity -> its instants, oldest first."""
    out: dict[tuple[Any, ...], list[Any]] = {}
    for *keys, at in sorted(oracle.slots(view), key=lambda slot: slot[-1]):
        out.setdefault(tuple(keys), []).append(at)
    return out


LEAKS = {  # as of each label, and two leaks: rows with another value, rows told of the future, late flights foretold
    "skewless: as of each label": ("0", "0", "25.0%"),
    "a join to the newest row": ("336,776", "336,776", "21.4%"),
    "a join on the same day": ("334,105", "333,908", "64.6%"),
}


@pytest.mark.parametrize("join", LEAKS)
def test_the_leaky_joins_differ_in_as_many_rows_as_ever(example: Example, join: str) -> None:
    (line,) = [line for line in example.text.splitlines() if line.strip().startswith(join)]
    assert tuple(line.split()[-3:]) == LEAKS[join]


def test_the_weather_is_missing_on_new_years_day_and_the_carrier_is_not(example: Example) -> None:
    """The last observation is of 30 December and lives three hours: the lookup says so instead of hiding it."""
    done = example.skewless("get", "late_flights", "carrier=UA", "tailnum=N14228", "origin=EWR", "dest=IAH", "--json")
    assert done.returncode == 0, done.stderr
    assert "missing" in done.stdout and "ok" in done.stdout


def test_its_views_are_portable(example: Example) -> None:
    done = example.skewless("check", "--strict", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["error"], found["warning"]) == (0, 0, 0), done.stdout + done.stderr
    assert {f["code"] for f in found["findings"]} <= {"SK133"}, found       # that a windowed value does not decay is told only


def test_online_equals_offline(example: Example) -> None:
    done = example.skewless("audit")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_process_is_left(example: Example) -> None:
    left = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        info = process.info
        if str(example.project) in " ".join(info["cmdline"] or []) or (info["cwd"] or "").startswith(str(example.project)):
            left.append(info)
    assert not left


@pytest.mark.parametrize(("name", "at"), [("departures", "departed_at"), ("landings", "landed_at")])
def test_the_events_are_the_flights_and_all_in_time(example: Example, oracle: Oracle, name: str, at: str) -> None:
    events = pq.read_table(example.project / "data" / f"{name}.parquet")
    expected = departures() if name == "departures" else oracle.landings
    assert sorted(events[at].to_pylist()) == sorted(getattr(event, at) for event in expected)
    arrivals = events["arrived_at"].to_pylist()
    assert arrivals == sorted(arrivals)
    delays = {arrived - happened for arrived, happened in zip(arrivals, events[at].to_pylist(), strict=True)}
    assert min(delays) >= timedelta(milliseconds=20) and max(delays) < timedelta(seconds=1) and len(delays) > 700


def test_the_sources_are_the_same_bytes_each_time(example: Example, tmp_path: Any) -> None:
    argv = [sys.executable, str(ROOT / "dbt_project" / "prepare.py"), str(tmp_path), str(tmp_path / "labels.parquet")]
    subprocess.run(argv, check=True, capture_output=True)
    for name in ("departures", "landings", "weather"):
        assert (tmp_path / f"{name}.parquet").read_bytes() == (example.project / "data" / f"{name}.parquet").read_bytes()
    assert (tmp_path / "labels.parquet").read_bytes() == (example.out / "labels.parquet").read_bytes()


def test_what_the_demo_does_can_be_repeated(example: Example) -> None:
    """Over unchanged sources a second run registers nothing, writes no row and pushes none."""
    assert "Nothing changes" in (done := example.skewless("plan")).stdout + done.stderr
    done = example.skewless("materialize")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {view: rows_of(example, view) for view in ROWS} == ROWS
    for view in ROWS:
        assert re.search(rf"{view}@1: \d+ windows, 0 rows inserted, 0 corrected, 0 retracted", done.stdout)
        assert f"{view}@1: 0 rows pushed, 0 retracted" in done.stdout


def rows_of(example: Example, view: str) -> int:
    config = read_config(example.project)
    return int(LakeTable(config.lake_root, Store(config).applied().view(view)).statistics()["current"])


def test_the_demo_says_how_long_each_step_took(example: Example) -> None:
    headings = [line for line in example.text.splitlines() if line.startswith("== ")]
    seconds = re.findall(r"^   \((\d+\.\d) s\)$", example.text, flags=re.MULTILINE)
    assert len(headings) == len(seconds) >= 9


def test_the_copy_for_tests_carries_no_state(tmp_path: Any) -> None:
    project = copy_project(tmp_path)
    names = {path.name for path in project.iterdir()}
    assert names == {
        "dbt_project.yml", "packages.yml", "profiles.yml", "skewless.yml", "models", "prepare.py", "demo.py", "demo_stream.py",
        "leak.py",
    }
