"""The contract of a model: join keys, event_timestamp, features, with their types. Everything wrong is reported at once."""

from __future__ import annotations

import re
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.block import COLUMN_KEYS, duration
from skewless.registry.defaults import fit_default
from skewless.registry.finding import did_you_mean
from skewless.registry.model import Feature, JoinKey
from skewless.registry.report import Report
from skewless.types import TABLE, Type, from_sql

EVENT_TIMESTAMP = "event_timestamp"
RESERVED = ("ingested_at", "superseded_at", "row_state", "event_date")
_PLAIN = re.compile(r"^[A-Za-z_]\w*$")


def read_entity(block: dict[str, Any], columns: dict[str, Any], report: Report) -> tuple[str, tuple[str, ...]] | None:
    """(entity, names of its join keys), or None after a report (SK124, SK115, SK116)."""
    entities = block.get("entities")
    if not isinstance(entities, list) or len(entities) != 1:
        fact = "a feature view has exactly one entity" if isinstance(entities, list) else "entities is not a list"
        report.meta("SK124", fact, "entities", hint="Write entities: [carrier], or [{name: route, join_keys: [origin, dest]}].")
        return None
    item = entities[0]
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str) or not _PLAIN.match(name):
        report.meta("SK116", f'"{name}" is not the name of an entity', "entities", hint="Use letters, digits and _.")
        return None
    if isinstance(item, dict):
        for key in item:
            if key not in ("name", "join_keys"):
                hint = did_you_mean(key, ("name", "join_keys"), "Keys")
                report.meta("SK110", f'"{key}" is not a key of an entity', "entities", hint=hint)
    keys = item.get("join_keys") if isinstance(item, dict) else None
    if keys is None:
        keys = [next((c for c in (name, f"{name}_id") if c in columns), name)]
        if keys[0] not in columns:
            likely = ", ".join(_likely_keys(columns)) or "…"
            near = did_you_mean(name, columns, "Columns")
            hint = f"Name the columns: entities: [{{name: {name}, join_keys: [{likely}]}}]. {near}"
            report.meta("SK115", f'entity "{name}" has no column "{name}" or "{name}_id"', "entities", hint=hint)
            return None
    if not isinstance(keys, list) or not keys or len(set(map(str, keys))) != len(keys):
        report.meta("SK115", f'join_keys of entity "{name}" is not a list of different columns', "entities")
        return None
    unknown = [k for k in keys if k not in columns]
    for key in unknown:
        report.meta("SK115", f'join key "{key}" is not a column', "entities", hint=did_you_mean(key, columns, "Columns"))
    return None if unknown else (name, tuple(keys))


def _likely_keys(columns: dict[str, Any]) -> list[str]:
    before: list[str] = []
    for name in columns:
        if name == EVENT_TIMESTAMP:
            return before
        before.append(name)
    return []


def read_types(columns: dict[str, Any], report: Report) -> dict[str, Type]:
    """Column -> type, without the columns that were reported (SK113, SK116)."""
    types: dict[str, Type] = {}
    for name, column in columns.items():
        if name.lower() in RESERVED or name.startswith("__"):
            hint = "skewless adds columns of that name itself."
            report.column("SK116", f'column "{name}" has a reserved name', name, hint=hint)
        elif not _PLAIN.match(name):
            report.column("SK116", f'column "{name}" is not a plain identifier', name, hint="Use letters, digits and _.")
        if not column.get("data_type"):
            report.column("SK113", f'column "{name}" has no data_type', name, hint="skewless adopt MODEL writes the types.")
            continue
        try:
            types[name] = from_sql(column["data_type"])
        except SkewlessError as error:
            report.column("SK113", f'column "{name}": {error.fact}', name, "data_type", hint=error.hint)
    return types


def read_keys(entity: str, names: tuple[str, ...], types: dict[str, Type], report: Report) -> tuple[JoinKey, ...] | None:
    """The join keys with their types, or None after a report (SK115)."""
    for name in names:
        type_ = types.get(name)
        if type_ and (type_.array or not TABLE[type_.name].join_key):
            can = ", ".join(row.name for row in TABLE.values() if row.join_key)
            hint = f"Types of join keys: {can}. Cast it to bigint or varchar."
            report.column("SK115", f'join key "{name}" of entity "{entity}" has type {type_}', name, "data_type", hint=hint)
            return None
    if any(name not in types for name in names):
        return None
    return tuple(JoinKey(name, str(types[name])) for name in names)


def check_event_timestamp(columns: dict[str, Any], types: dict[str, Type], report: Report) -> None:
    """Reports SK114 unless there is an `event_timestamp` of type timestamp."""
    if EVENT_TIMESTAMP not in columns:
        near = did_you_mean(EVENT_TIMESTAMP, columns, "Columns")
        report.add("SK114", "there is no column event_timestamp", "columns",
                   hint=f"Alias the event time in the SQL and declare {{name: event_timestamp, data_type: timestamp}}. {near}")
    elif EVENT_TIMESTAMP in types and str(types[EVENT_TIMESTAMP]) != "timestamp":
        report.column("SK114", f"event_timestamp has type {types[EVENT_TIMESTAMP]}", EVENT_TIMESTAMP, "data_type",
                      hint="Declare data_type: timestamp; naive timestamps are UTC.")


def read_features(
    columns: dict[str, Any], keys: tuple[str, ...], types: dict[str, Type], hashes: dict[str, str], report: Report
) -> tuple[Feature, ...]:
    """The features in declared order. Reports SK110, SK111, SK118 for their settings and SK119 when there are none."""
    out = []
    names = [n for n in columns if n not in keys and n != EVENT_TIMESTAMP]
    for name in names:
        meta = ((columns[name].get("config") or {}).get("meta") or {}).get("skewless") or {}
        place = ("config", "meta", "skewless")
        for key in meta:
            if key not in COLUMN_KEYS:
                report.column("SK110", f'"{key}" is not a key of a feature', name, *place, key,
                              hint=did_you_mean(key, COLUMN_KEYS, "Keys"))
        if name in types:
            out.append(_feature(name, columns[name], meta, types[name], hashes.get(name, ""), report))
    if not names:
        report.add("SK119", "there are no features", "columns", hint="Every column beside keys and event_timestamp is a feature.")
    return tuple(out)


def _feature(name: str, column: dict[str, Any], meta: dict[str, Any], type_: Type, hash_: str, report: Report) -> Feature:
    place = ("columns", ("name", name), "config", "meta", "skewless")
    default = None
    if meta.get("default") is not None:
        try:
            default = fit_default(type_, meta["default"])
        except SkewlessError as error:
            report.add("SK118", f'feature "{name}": {error.fact}', *place, "default")
    approximate = meta.get("approximate")
    if approximate is not None:
        approximate = _tolerance(approximate)
        if approximate is None or type_.name not in ("float32", "float64"):
            fact = f'feature "{name}": approximate is not a number between 0 and 1' if approximate is None else \
                f'feature "{name}": approximate is for floating-point features, not {type_}'
            report.add("SK111", fact, *place, "approximate", hint="Write it like approximate: 1e-9.")
    return Feature(
        name=name, type=str(type_), default=default, description=column.get("description") or "",
        ttl_us=duration(meta.get("ttl"), "ttl", report, *place, "ttl"), approximate=approximate, definition_hash=hash_,
    )


def _tolerance(value: Any) -> float | None:
    # YAML 1.1 reads 1e-9 (without a point) as text
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1 else None
