"""The tables of a stream's script: a topic of events as rows that count, the topic of features, the topic of dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skewless import messages
from skewless.registry.model import StreamSource, View
from skewless.sql.value import Column, Relation
from skewless.stream.lower.printer import Printer
from skewless.stream.lower.times import of_ms
from skewless.stream.scalars import from_text
from skewless.types import Type, parse_type

FEATURES, DEAD_LETTERS = "skw_features", "skw_dead_letters"
FUTURE_MS_MAX = 5_000
"""How far ahead of its arrival an event may be dated and still count."""
PAYLOAD_CHARACTERS_MAX = 100_000
"""What a dead letter keeps of an event: a message may have a megabyte, and JSON writes some characters in six bytes."""
_READ, _BODIES, _PARSED, _JUDGED = "skw_read_{}", "skw_bodies_{}", "skw_parsed_{}", "skw_judged_{}"
_RECORD_TIME, _ARRIVED, _EVENT_TIME, _FAULT = "`skw_record_time`", "`skw_arrived_at`", "`skw_event_time`", "`skw_fault`"
_NO_TIME = "TIMESTAMP '9999-12-31 23:59:59.999'"
"""The event time of a row that has none: a row's time may not be NULL, and one so far ahead moves no watermark."""
_P = Printer("flink")


@dataclass(frozen=True)
class Kafka:
    """How a script reaches the brokers: `host:port,…`, and further client properties such as security.protocol."""

    bootstrap_servers: str
    properties: Mapping[str, str]

    def options(self, options: Mapping[str, str]) -> str:
        """The WITH clause of a table on Kafka."""
        return "WITH (\n" + _lines({"connector": "kafka"}) + ",\n" + self.brokers() + ",\n" + _lines(options) + "\n)"

    def brokers(self) -> str:
        """The options that say where the brokers are, a line each."""
        own = {"properties.bootstrap.servers": self.bootstrap_servers}
        return _lines(own | {f"properties.{k}": v for k, v in sorted(self.properties.items())})


UNNAMED = Kafka("${brokers}", {})
"""Stands for the brokers in a script that is kept: `with_brokers` puts them in. Their properties may hold secrets."""


def with_brokers(statements: Sequence[str], kafka: Kafka) -> list[str]:
    """Statements for `UNNAMED`, for brokers."""
    return [s.replace(UNNAMED.brokers(), kafka.brokers()) for s in statements]


def without_brokers(statements: Sequence[str], kafka: Kafka) -> list[str]:
    """The inverse of `with_brokers`."""
    return [s.replace(kafka.brokers(), UNNAMED.brokers()) for s in statements]


class SourceTable:
    """One source of a job: the table on its topic, and the view that the SQL reads. `group` names the reader to the brokers.

    Without state it starts with the records that arrived at `start_ms` (since 1970) or later, else with the earliest.
    """

    def __init__(self, source: StreamSource, relation: Relation, kafka: Kafka, group: str, start_ms: int | None = None) -> None:
        self.source, self.kafka, self.group, self.start_ms = source, kafka, group, start_ms
        self.json = source.format == "json"
        names = (_READ, _BODIES, _PARSED, _JUDGED)
        self.read, self.bodies, self.parsed, self.judged = (_P.exact(name.format(source.name)) for name in names)
        self.columns = [c for c in relation.columns if c.name.lower() != source.arrived_at]

    def statements(self) -> list[str]:
        """The CREATE statements, in order."""
        return [self._table(), *([self._bodies()] if self.json else []), self._values(), self._judged(), self._view()]

    def dead_letters(self) -> list[str]:
        """The queries that yield what of the topic is no event, in the columns of the dead letters."""
        names = [_P.name(c.name) for c in self.columns]
        pairs = ", ".join(f"KEY {_P.string(c.name)} VALUE {n}" for c, n in zip(self.columns, names, strict=True))
        payload = f"SUBSTRING(JSON_OBJECT({pairs}), 1, {PAYLOAD_CHARACTERS_MAX})" if self.json else "CAST(NULL AS STRING)"
        topic = _P.string(self.source.topic)
        place = f"SELECT {topic}, `skw_partition`, `skw_offset`"
        out = [f"{place}, {_FAULT}, {payload}\nFROM {self.judged}\nWHERE {_FAULT} IS NOT NULL"]
        if self.json:
            # Flink's JSON format reads each object of an array as a row.
            reason = (
                "CASE WHEN `payload` IS NULL THEN 'tombstone' WHEN `payload` IS JSON ARRAY THEN 'an array: its objects count' "
                "ELSE 'not a JSON object' END"
            )
            whole = f"SUBSTRING(`payload`, 1, {PAYLOAD_CHARACTERS_MAX})"
            out.append(
                f"{place}, {reason}, {whole}\nFROM {self.bodies}\n"
                "WHERE `payload` IS NULL OR `payload` IS NOT JSON OBJECT"
            )
        return out

    def _table(self) -> str:
        physical = [f"{_P.name(c.name)} {'STRING' if self.json else _avro(c)}" for c in self.columns]
        arrived = f"CAST({_RECORD_TIME} AS TIMESTAMP(3))"
        event_time = f"COALESCE({self._parsed(self._event_time)}, {_NO_TIME})"
        lines = [
            *physical, *_POSITION, f"{_RECORD_TIME} TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL",
            f"{_ARRIVED} AS {arrived}", f"{_EVENT_TIME} AS {event_time}",
            # A millisecond behind what may still come: a session waits for a row at exactly its end, and joins it.
            f"WATERMARK FOR {_EVENT_TIME} AS LEAST({_EVENT_TIME}, {arrived}) - {of_ms(_P, self.source.lateness_us // 1000 + 1)}",
        ]
        extra = {"format": "json", "json.ignore-parse-errors": "true"} if self.json else _AVRO_OPTIONS
        return _create(self.read, lines, self.kafka.options(self._scan() | extra))

    def _bodies(self) -> str:
        """The same topic once more, as it is: what is not an object never gets into the rows of the table."""
        return _create(self.bodies, ["`payload` STRING", *_POSITION], self.kafka.options(self._scan() | {"format": "raw"}))

    def _values(self) -> str:
        """Every row of the table, with the values of what it has as text.

        Flink computes an expression anew wherever it is named. Both readers name this view's columns, so that it is one part of
        the plan and its values are computed once; reuse-optimize-block-with-digest-enabled lets Flink see that both read it.
        """
        values = "".join(f",\n  {self._parsed(c)} AS {_value(c)}" for c in self._read_as_text())
        return f"CREATE TEMPORARY VIEW {self.parsed} AS\nSELECT *{values}\nFROM {self.read}"

    def _judged(self) -> str:
        """Every row of the table, with why it is no event."""
        return f"CREATE TEMPORARY VIEW {self.judged} AS\nSELECT *, {self._fault()} AS {_FAULT}\nFROM {self.parsed}"

    def _view(self) -> str:
        out = []
        for column in self.columns:
            text = _EVENT_TIME if column is self._event_time else self._counted(column)
            out.append(f"  {text} AS {_P.name(column.name)}")
        if self.source.arrived_at:
            out.append(f"  {_ARRIVED} AS {_P.name(self.source.arrived_at)}")
        text = "SELECT\n" + ",\n".join(out) + f"\nFROM {self.parsed}\nWHERE {self._fault()} IS NULL"
        return f"CREATE TEMPORARY VIEW {_P.exact(self.source.name)} AS\n{text}"

    def _scan(self) -> dict[str, str]:
        start = {"scan.startup.mode": "earliest-offset"}
        if self.start_ms is not None:
            start = {"scan.startup.mode": "timestamp", "scan.startup.timestamp-millis": str(self.start_ms)}
        return {"topic": self.source.topic, "properties.group.id": self.group, **start}

    @property
    def _event_time(self) -> Column:
        return next(c for c in self.columns if c.name.lower() == self.source.event_timestamp)

    def _parsed(self, column: Column) -> str:
        """The value of a column of the table; NULL where the text is no value of its type."""
        name, type_ = _P.name(column.name), column.value.type
        if not self.json:
            return f"CAST({name} AS TIMESTAMP({3 if column is self._event_time else 6}))" if type_.name == "timestamp" else name
        return from_text(name, type_, 3 if column is self._event_time else 6)

    def _read_as_text(self) -> list[Column]:
        """The columns that the table has as text, and that are none; the event time has a column of its own."""
        return [c for c in self.columns if self.json and c.value.type.name != "string" and c is not self._event_time]

    def _counted(self, column: Column) -> str:
        """The value of a column, where rows are judged."""
        return _value(column) if column in self._read_as_text() else self._parsed(column)

    def _fault(self) -> str:
        """Why a row is no event, NULL for one that counts."""
        whens, read_as_text = [], self._read_as_text()
        for column in (self._event_time, *(c for c in self.columns if c is not self._event_time)):
            name = _P.name(column.name)
            if not column.value.nullable:
                whens.append((f"{name} IS NULL", f"{column.name} is missing"))
            if column is self._event_time and self.json:
                whens.append((f"{_EVENT_TIME} = {_NO_TIME}", f"{column.name} is not of type {column.value.type}"))
            elif column in read_as_text:
                wrong = f"{name} IS NOT NULL AND {_value(column)} IS NULL"
                whens.append((wrong, f"{column.name} is not of type {column.value.type}"))
        lateness = of_ms(_P, self.source.lateness_us // 1000)
        whens.append((f"{_EVENT_TIME} <= {_ARRIVED} - {lateness}", "late"))
        whens.append((f"{_EVENT_TIME} > {_ARRIVED} + {of_ms(_P, FUTURE_MS_MAX)}", "in the future"))
        return "CASE\n" + "".join(f"  WHEN {test} THEN {_P.string(reason)}\n" for test, reason in whens) + "END"


_POSITION = (
    "`skw_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL",
    "`skw_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL",
)
_AVRO_OPTIONS = {"format": "avro", "avro.timestamp_mapping.legacy": "false"}


def features_table(view: View, namespace: str, kafka: Kafka) -> str:
    """The sink of a view's rows, as `skewless.messages` describes them."""
    lines = [f"{_P.exact(key.name)} {messages.flink_type(parse_type(key.type))} NOT NULL" for key in view.join_keys]
    lines.append(f"`{messages.EVENT_TIMESTAMP}` TIMESTAMP(3) NOT NULL")
    lines += [f"{_P.exact(f.name)} {messages.flink_type(parse_type(f.type))}" for f in view.features]
    lines.append("`skw_headers` MAP<STRING NOT NULL, BYTES> METADATA FROM 'headers'")
    options = {
        "topic": messages.topic(namespace, view), "key.format": "json", "key.fields": ";".join(view.key_names),
        "value.format": "avro", "value.avro.timestamp_mapping.legacy": "false", "sink.delivery-guarantee": "at-least-once",
    }
    return _create(_P.exact(FEATURES), lines, kafka.options(options))


def features_query(view: View, query: str) -> str:
    """The lowered query's columns in the order and types of the sink, and the header."""
    columns = [_sent(key.name, parse_type(key.type)) for key in view.join_keys]
    columns += [f"`{messages.EVENT_TIMESTAMP}`", *(_sent(f.name, parse_type(f.type)) for f in view.features)]
    columns.append(f"MAP[{_P.string(messages.HEADER)}, X'{messages.header(view).hex()}']")
    inner = "\n".join("  " + line if line else line for line in query.split("\n"))
    return "SELECT\n" + ",\n".join(f"  {c}" for c in columns) + f"\nFROM (\n{inner}\n) AS `skw_row`"


def dead_letters_table(view: View, namespace: str, kafka: Kafka) -> str:
    """The sink of what is no event: where it stood, why, and what it said. JSON."""
    lines = ["`topic` STRING", "`partition` INT", "`offset` BIGINT", "`reason` STRING", "`payload` STRING"]
    topic = messages.dead_letter_topic(namespace, view)
    options = {"topic": topic, "format": "json", "sink.delivery-guarantee": "at-least-once"}
    return _create(_P.exact(DEAD_LETTERS), lines, kafka.options(options))


def _lines(options: Mapping[str, str]) -> str:
    return ",\n".join(f"  {_P.string(k)} = {_P.string(v)}" for k, v in options.items())


def _create(name: str, lines: list[str], options: str) -> str:
    return f"CREATE TEMPORARY TABLE {name} (\n" + ",\n".join(f"  {line}" for line in lines) + f"\n) {options}"


def _sent(name: str, type_: Type) -> str:
    column = _P.exact(name)
    return f"CAST(CAST({column} AS TIMESTAMP(6)) AS STRING)" if type_.name == "timestamp" else column


def _value(column: Column) -> str:
    return _P.exact(f"skw_value_{column.name}")


def _avro(column: Column) -> str:
    type_ = column.value.type
    return "TIMESTAMP_LTZ(3)" if type_.name == "timestamp" else type_.world("flink")
