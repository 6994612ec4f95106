"""Feature messages, format 1: what a stream's job writes to Kafka and the consumer reads. The seam between the two.

A message is one row of a view. Value: an Avro record without schema id; its fields are the join keys, `event_timestamp`, the
features. Key: JSON object of the join keys, for partitioning and compaction only. Header `skw1`: the 8 bytes of the view's schema
fingerprint (`View.schema`), which is how a reader knows the fields; a message of an unknown fingerprint is undecodable.
`ingested_at` of the row is the record's timestamp, the broker's append time.

Join keys and `event_timestamp` are never NULL, every feature may be. `event_timestamp` is milliseconds since 1970; any other
timestamp is a text `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, since Flink's Avro writes no microseconds.
"""

from __future__ import annotations

import re
from typing import Any

from skewless.registry.model import Schema, View
from skewless.types import Type, parse_type

FORMAT = 1
HEADER = f"skw{FORMAT}"
EVENT_TIMESTAMP = "event_timestamp"
DEAD_LETTERS = "dead-letters"
BOTH = "both"
_LOST = "lost="
STORES = (BOTH, "online", "offline")
_RECORD, _NAMESPACE = "record", "org.apache.flink.avro.generated"      # what Flink calls the record; a reader needs no name
_AVRO: dict[str, Any] = {
    "bool": "boolean", "int32": "int", "int64": "long", "float32": "float", "float64": "double", "string": "string",
    "bytes": "bytes", "date": {"type": "int", "logicalType": "date"}, "timestamp": "string",
}
_TOPIC_SAFE = re.compile(r"[^A-Za-z0-9._-]")


def topic(namespace: str, view: View) -> str:
    """The topic of a view's rows: `<project>.<target>.<view>.v<version>`."""
    return _TOPIC_SAFE.sub("_", f"{namespace}.{view.name}.v{view.version}")


def dead_letter_topic(namespace: str, view: View) -> str:
    """The topic of the events that a view's job, and of the messages that its consumer, could not use."""
    return f"{topic(namespace, view)}.{DEAD_LETTERS}"


def group(namespace: str, stores: str = BOTH) -> str:
    """The consumer group that writes a namespace's rows: one for both stores, another, with its own progress, for each."""
    return f"skewless.{namespace}" + ("" if stores == BOTH else f".{stores}")


def note(lost: int) -> str:
    """What a consumer commits beside an offset: how many messages before it were deleted unread, over all of its group's time."""
    return f"{_LOST}{lost}" if lost else ""


def lost(note: str | None) -> int:
    """The inverse of `note`; 0 for what anybody else wrote there. librdkafka ends a note with a NUL character."""
    found = (note or "").rstrip("\0").partition(_LOST)
    return int(found[2]) if found[1] and not found[0] and found[2].isdecimal() else 0


def header(view: View) -> bytes:
    """The 8 bytes that a message of the view's schema carries now."""
    return bytes.fromhex(view.schema.fingerprint)


def schemas(view: View) -> dict[bytes, Schema]:
    """Header -> schema, of every message of this version that a reader may meet."""
    return {bytes.fromhex(schema.fingerprint): schema for schema in (*view.past_schemas, view.schema)}


def avro_schema(view: View, schema: Schema | None = None) -> dict[str, Any]:
    """The Avro schema of a view's messages, written with `schema` (default: the one in force)."""
    found = schema or view.schema
    fields = [{"name": key.name, "type": avro_type(parse_type(key.type))} for key in view.join_keys]
    fields.append({"name": EVENT_TIMESTAMP, "type": {"type": "long", "logicalType": "local-timestamp-millis"}})
    for name, type_ in zip(found.names, found.types, strict=True):
        fields.append({"name": name, "type": ["null", avro_type(parse_type(type_))], "default": None})
    return {"type": "record", "name": _RECORD, "namespace": _NAMESPACE, "fields": fields}


def avro_type(type_: Type) -> Any:
    """A value's Avro type, without NULL; the elements of an array may be NULL."""
    if type_.array:
        return {"type": "array", "items": ["null", avro_type(Type(type_.name))]}
    if type_.name == "decimal":
        return {"type": "bytes", "logicalType": "decimal", "precision": type_.precision, "scale": type_.scale}
    return _AVRO[type_.name]


def flink_type(type_: Type) -> str:
    """The type of a sink's column, from which Flink derives exactly `avro_type`; a timestamp travels as text."""
    return "STRING" if type_.name == "timestamp" and not type_.array else type_.world("flink")
