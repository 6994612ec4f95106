"""The warehouse's copies of event topics, as the records that made them: what `skewless dev replay` publishes again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.model import StreamSource
from skewless.types import Type, from_sql

DAY_MS = 86_400_000
FAR_FUTURE = "2100-01-01T00:00:00.000Z"
LATER_MS = 60_000           # how much later than `lateness` the latest of the late ones arrives
_ROWS_PER_FETCH = 20_000
KINDS = (
    "not JSON", "array", "tombstone", "no event time", "event time NULL", "event time no timestamp", "year 2100", "wrong type",
)


@dataclass(frozen=True)
class Copy:
    """A source's copy in the warehouse: `relation` is SQL that reads it, `columns` are its types by name."""

    source: StreamSource
    relation: str
    columns: Mapping[str, Type]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to replay: events that arrived within [from, to), microseconds; shares of them that are late, and sent twice; how many
    records besides are no events; by how many days everything is moved."""

    from_us: int | None = None
    to_us: int | None = None
    late: float = 0.0
    duplicates: float = 0.0
    malformed: int = 0
    shift_days: int = 0


@dataclass(frozen=True)
class Record:
    """One record for Kafka. `kind`: event, late, duplicate, or malformed; `value` None is a tombstone."""

    topic: str
    arrived_ms: int
    value: bytes | None
    kind: str = "event"


@dataclass
class Events:
    """The records of all copies in the order of arrival, the same ones each time. Raises SK940 where a copy cannot be read."""

    root: Path
    copies: list[Copy]
    asked: Asked
    _con: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        import duckdb

        self._con = duckdb.connect()
        self._con.execute("set TimeZone = 'UTC'")
        self._con.execute("set file_search_path = " + _text(str(self.root)))
        try:
            parts = " union all ".join(self._select(number, copy) for number, copy in enumerate(self.copies))
            self._con.execute(f"create temp table skw_records as {parts}").fetchall()
        except duckdb.Error as error:
            raise SkewlessError(
                "SK940", "the warehouse's copy of the events cannot be read", detail=f"{error}".split("\n")[0],
                hint="A replay reads sources that name their files: external_location.",
            ) from None

    def span(self) -> tuple[int, int, int]:
        """How many records, and the first and last arrival in milliseconds. Raises SK940 where there are none."""
        count, first, last = self._con.execute("select count(*), min(arrived), max(arrived) from skw_records").fetchone()
        if not count:
            raise SkewlessError("SK940", "there are no events to replay", hint="Look at --from and --to.")
        return count + self.asked.malformed, first, last

    def __iter__(self) -> Iterator[Record]:
        """The records, moved by `shift_days`; what is malformed stands evenly between them."""
        count, _, _ = self.span()
        count -= self.asked.malformed
        cursor = self._con.execute("select topic, arrived, kind, value from skw_records order by arrived, topic, n, kind desc")
        at = made = 0
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            for topic, arrived, kind, value in rows:
                yield Record(self.copies[topic].source.topic, arrived, value.encode(), kind)
                at += 1
                while made < self.asked.malformed and made * count < at * self.asked.malformed:
                    yield self._malformed(made, self.copies[topic], arrived, value)
                    made += 1

    def _select(self, number: int, copy: Copy) -> str:
        """Topic, arrival, number, kind and JSON of the copy's events."""
        source, asked = copy.source, self.asked
        arrived, late_ms = _name(source.arrived_at), source.lateness_us // 1000
        bounds = [f"{arrived} >= make_timestamp({asked.from_us})"] if asked.from_us is not None else []
        bounds += [f"{arrived} < make_timestamp({asked.to_us})"] if asked.to_us is not None else []
        where = f" where {' and '.join(bounds)}" if bounds else ""
        pairs = ", ".join(
            f"{_text(name)}, {self._cell(name, type_, 3 if name == source.event_timestamp else 6)}"
            for name, type_ in copy.columns.items() if name != source.arrived_at
        )
        base = (
            f"select epoch_ms({arrived}) + {asked.shift_days * DAY_MS} as arrived, json_object({pairs}) as value, "
            f"row_number() over (order by {arrived}, {_name(source.event_timestamp)}, json_object({pairs})::varchar) as n "
            f"from {copy.relation}{where}"
        )
        late = f"{_share('n', 2_654_435_761)} < {asked.late!r}"
        rows = (
            f"select *, {late} as late, {_share('n', 2_246_822_519)} < {asked.duplicates!r} as twice from ({base})"
        )
        moved = f"arrived + case when late then {late_ms} + 1 + n * 7919 % {LATER_MS} else 0 end as arrived"
        one = f"select {number} as topic, {moved}, n, case when late then 'late' else 'event' end as kind, value from ({rows})"
        return one if not asked.duplicates else (
            f"{one} union all select {number}, {moved}, n, 'duplicate', value from ({rows}) where twice"
        )

    def _cell(self, name: str, type_: Type, digits: int) -> str:
        column = _name(name)
        if type_.name == "timestamp":
            moved = f"{column} + interval {self.asked.shift_days} day"
            return f"strftime({moved}, '%Y-%m-%dT%H:%M:%S.{'%g' if digits == 3 else '%f'}Z')"
        if type_.name == "date":
            return f"cast({column} + {self.asked.shift_days} as varchar)"
        if type_.name in ("int32", "int64", "bool"):
            return column
        return f"cast({column} as varchar)"

    def _malformed(self, number: int, copy: Copy, arrived: int, value: str) -> Record:
        """The record before it, made wrong in one of the ways of KINDS."""
        kind, time = KINDS[number % len(KINDS)], copy.source.event_timestamp
        body: dict[str, Any] = json.loads(value)
        whole = next((n for n, t in copy.columns.items() if t.name in ("int32", "int64")), time)
        changes: dict[str, dict[str, Any]] = {
            "event time NULL": {time: None}, "event time no timestamp": {time: "yesterday"}, "year 2100": {time: FAR_FUTURE},
            "wrong type": {whole: "many"}, "no event time": {},
        }
        if kind == "no event time":
            body.pop(time)
        text = {"not JSON": "{not json", "array": "[1, 2]"}.get(kind) or json.dumps(body | changes.get(kind, {}))
        return Record(copy.source.topic, arrived, None if kind == "tombstone" else text.encode(), "malformed")


def copies(manifest: dict[str, Any], streams: Mapping[str, StreamSource], topics: list[str]) -> list[Copy]:
    """The copies of the streams that keep arrival times, of these topics where some are named. Raises SK940."""
    found = []
    for unique_id, source in sorted(streams.items()):
        if topics and source.topic not in topics:
            continue
        if not source.arrived_at or source.format != "json":
            why = "keeps no arrival time" if not source.arrived_at else f"is {source.format}"
            raise SkewlessError("SK940", f'source "{source.name}" {why}, so it cannot be replayed', hint="Leave it out: --topic")
        node = manifest["sources"][unique_id]
        types = {name.lower(): from_sql(column["data_type"]) for name, column in node["columns"].items()}
        found.append(Copy(source, node["relation_name"], types))
    if not found:
        known = ", ".join(sorted({s.topic for s in streams.values()})) or "none"
        raise SkewlessError("SK940", "no source of the project is a stream of that name", detail=f"Topics: {known}.")
    return found


def _share(number: str, factor: int) -> str:
    """A number from 0 to 1 that says the same of the same row each time."""
    return f"(({number} * {factor}) % 4294967296 / 4294967296.0)"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
