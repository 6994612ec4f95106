"""kill -9 of real commands at random points, over a source that changes and a stream beside it.

What a reader sees in between is never mixed, every past state replays, and the run after the last kill ends where an undisturbed
one does (laws 2, 7 and 8 through dbt itself; `tests/test_sync.py` does the same to `sync`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skewless import embedded
from skewless.audit import audit_view
from skewless.clock import format_instant, parse_instant
from skewless.project import apply_plan, make_plan
from skewless.warehouse.dbt import command, environment
from tests.history_project import CURRENT, NOW, Project, Row, expected, fetch

ROUNDS = 200 if os.environ.get("SKEWLESS_SOAK") else 10
HOUR = 3_600_000_000
BEGIN = parse_instant("2026-02-01")
Slot = tuple[str, int]
Values = tuple[int | None, float | None]


class House:
    """A project whose source changes by chance, and what its history must be."""

    def __init__(self, root: Path, seed: int) -> None:
        self.project = Project(root, block=", chunk: 10d, overlap: 60d, retract_limit: 1")
        self.chance = random.Random(seed)
        self.now = parse_instant(NOW)
        self.source: dict[Slot, Values] = {}
        self.stream: dict[Slot, Values] = {}
        self.ever: set[Any] = set()
        self.states: dict[int, list[Any]] = {}
        for _ in range(200):
            self.source[self.slot()] = self.values()
        self.write()

    def slot(self) -> Slot:
        hours = (self.now - BEGIN) // HOUR
        return f"k{self.chance.randrange(7)}", BEGIN + self.chance.randrange(hours) * HOUR

    def values(self) -> Values:
        return self.chance.choice([None, *range(9)]), self.chance.choice([None, 0.0, 0.5, 1e300])

    def change(self) -> None:
        """Rows that come late, corrections, deletions."""
        for _ in range(10):
            self.source[self.slot()] = self.values()
            self.source[self.chance.choice(sorted(self.source))] = self.values()
            del self.source[self.chance.choice(sorted(self.source))]
        self.write()

    def write(self) -> None:
        rows = self.rows(self.source)
        self.ever |= set(expected(rows))
        self.project.rows(rows)

    @staticmethod
    def rows(known: dict[Slot, Values]) -> list[Row]:
        return [(k, format_instant(at), *values) for (k, at), values in sorted(known.items())]

    def wait(self) -> None:
        """Time passes, and a stream appends rows near the end of the batch; the batch will have some of them too."""
        table, known = self.project.table(), self.project.table().exists()
        through = (table.complete_through_us() if known else None) or BEGIN
        self.now += 6 * HOUR
        slot, values = (f"s{len(self.stream)}", max(BEGIN, through + self.chance.randrange(-3, 30) * HOUR)), self.values()
        if self.chance.random() < 0.5:
            self.source[slot] = values
        if known and slot[1] >= through:
            self.stream[slot] = values
            self.ever |= set(expected(self.rows({slot: values})))
            fresh = max(max(e.r_us, e.newest_ingested_us) for e in table.ledger()) + 1
            table.append_pending(self.arrow(slot, values, fresh), app_id="topic-0", app_version=len(self.stream))

    def arrow(self, slot: Slot, values: Values, at: int) -> pa.Table:
        instants = {name: pa.array([us], pa.timestamp("us")) for name, us in (("event_timestamp", slot[1]), ("ingested_at", at))}
        cells = {"k": pa.array([slot[0]]), "a": pa.array([values[0]], pa.int64()), "x": pa.array([values[1]], pa.float64())}
        return pa.table({**cells, **instants})

    def kill(self, argv: list[str], env: dict[str, str]) -> None:
        """Start the command and kill it: mostly while it writes, sometimes while it starts. Then look at the history."""
        process = subprocess.Popen(
            argv, cwd=self.project.root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if self.chance.random() < 0.8:
            self.until_it_writes(process)
            time.sleep(self.chance.uniform(0.0, 0.6))
        else:
            time.sleep(self.chance.uniform(0.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.look()

    def until_it_writes(self, process: subprocess.Popen[bytes]) -> None:
        """Until there is another file of the table, or the process has ended."""
        folder = self.project.table().path
        before = sum(1 for _ in folder.rglob("*"))
        while process.poll() is None and sum(1 for _ in folder.rglob("*")) <= before:
            time.sleep(0.02)

    def look(self) -> None:
        """Every row is one that the source or the stream had at some time, a slot has one row, and the state is remembered."""
        table = self.project.table()
        if table.exists():
            seen = self.project.current()
            assert set(seen) <= self.ever and len({row[:2] for row in seen}) == len(seen)
            self.states[table.position().r_us] = seen

    def check(self) -> None:
        """The history is the source's up to now, the stream's behind it; no slot has two versions at once; the past replays."""
        wanted = {slot: values for slot, values in self.source.items() if slot[1] < self.now}
        ahead = {slot: values for slot, values in self.stream.items() if slot[1] >= self.now}
        assert self.project.current() == expected(self.rows({**wanted, **ahead}))
        snapshot = self.project.table().snapshot()
        assert snapshot.complete_through_us() == self.now
        overlaps = fetch(
            "select * from (select k, event_timestamp, superseded_at, lead(ingested_at) over (partition by k, event_timestamp "
            f"order by ingested_at) as next from {snapshot.relation('versions')}) "
            "where coalesce(superseded_at > next, next is not null)"
        )
        assert overlaps == []
        for stamp, state in self.states.items():
            assert fetch(f"select {CURRENT} from {snapshot.as_known(stamp)} order by all") == state, format_instant(stamp)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "p", seed=11)
    yield made
    embedded.release(made.project.config)


def test_dbt_run(house: House) -> None:
    config = house.project.config
    for _ in range(ROUNDS):
        house.change()
        house.wait()
        house.write()
        house.kill(command(config, ["run"]), environment(config, {"SKEWLESS_CLOCK": format_instant(house.now)}))
    run = house.project.run(now=format_instant(house.now))
    assert run.ok, "\n".join(run.lines)
    house.look()
    house.check()


def test_materialize(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs over windows of their own, and the same job again, which goes on; each pushes what it wrote."""
    monkeypatch.setenv("SKEWLESS_CLOCK", NOW)
    config = house.project.config
    apply_plan(config, make_plan(config).id)
    argv = [sys.executable, "-m", "skewless.cli", "materialize"]
    window: list[str] = []
    for _ in range(ROUNDS):
        if not window or house.chance.random() < 0.6:
            house.change()
            start = format_instant(BEGIN + house.chance.randrange(20 * 24) * HOUR)
            window = ["--from", house.chance.choice([start, "2026-01-01"]), "--to", "2026-03-11"]
        house.kill([*argv, *window], dict(os.environ))
    done = subprocess.run([*argv, "--from", "2026-01-01", "--to", NOW], cwd=config.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    house.look()
    house.check()
    audit = audit_view(config, house.project.table().view)
    assert audit.clean and not audit.behind and audit.equal == audit.entities == 7
