"""The columns of a view's lake table: their order, their DuckDB types, their SQL."""

from __future__ import annotations

from typing import Any

from skewless.registry.model import View
from skewless.types import Type, parse_type

EVENT, INGESTED, SUPERSEDED = "event_timestamp", "ingested_at", "superseded_at"
PARTITIONS = ("row_state", "event_date")


def quote(name: str) -> str:
    """The identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quoted(names: tuple[str, ...] | list[str], prefix: str = "") -> str:
    """Comma-separated quoted identifiers, each with `prefix.` where one is given."""
    return ", ".join((prefix + "." if prefix else "") + quote(n) for n in names)


def literal(at_us: int) -> str:
    """The instant as a SQL timestamp literal, microseconds included."""
    from datetime import timedelta

    from skewless.clock import EPOCH

    return f"timestamp '{(EPOCH + timedelta(microseconds=at_us)).isoformat(sep=' ', timespec='microseconds')}'"


def text(value: str) -> str:
    """The string as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def slot(view: View) -> list[str]:
    """Join keys and event_timestamp: what one row is about."""
    return [*view.key_names, EVENT]


def declared(view: View) -> list[tuple[str, Type]]:
    """(name, type) of keys, event_timestamp and features, in the order of the table."""
    return [
        *((k.name, parse_type(k.type)) for k in view.join_keys),
        (EVENT, Type("timestamp")),
        *((f.name, parse_type(f.type)) for f in view.features),
    ]


def names(view: View) -> list[str]:
    """Keys, event_timestamp, features: the columns that a model selects."""
    return [name for name, _ in declared(view)]


def stored(view: View) -> list[tuple[str, Type]]:
    """`declared` and the two columns that the materialization adds; partition columns are not in the files."""
    return [*declared(view), (INGESTED, Type("timestamp")), (SUPERSEDED, Type("timestamp"))]


def normalised(name: str, type_: Type, prefix: str = "") -> str:
    """SQL of a column cast to its declared type, with -0.0 turned into 0.0."""
    at = (prefix + "." if prefix else "") + quote(name)
    cast = f"cast({at} as {type_.world('duckdb')})"
    if type_.name not in ("float32", "float64"):
        return cast
    zero = f"cast(0.0 as {Type(type_.name).world('duckdb')})"
    return f"list_transform({cast}, lambda x: x + {zero})" if type_.array else f"{cast} + {zero}"


def empty(columns: list[tuple[str, Type]]) -> str:
    """A select of no rows with exactly these columns and types."""
    items = ", ".join(f"cast(null as {t.world('duckdb')}) as {quote(n)}" for n, t in columns)
    return f"select {items} where false"


def arrow_schema(view: View) -> Any:
    """The table's pyarrow schema, partition columns included."""
    import pyarrow as pa

    fields = [(name, type_.arrow()) for name, type_ in stored(view)]
    return pa.schema([*fields, (PARTITIONS[0], pa.string()), (PARTITIONS[1], pa.date32())])


def event_date(partition: str, at: str) -> str:
    """SQL of the partition date of an event time: the day, or the first day of its month."""
    return f"cast({at} as date)" if partition == "day" else f"cast(date_trunc('month', {at}) as date)"
