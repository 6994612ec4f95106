"""What dbt's manifest says of the relations that a view reads, for `skewless.sql`: types, keys, event times, contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.columns import EVENT_TIMESTAMP
from skewless.sql.analysis import Analysis, analyse
from skewless.sql.parsing import table_key
from skewless.sql.value import TIMESTAMP, UNTYPED, Column, Relation, Value
from skewless.types import from_sql

_UNIQUE_TESTS = ("unique", "unique_combination_of_columns", "unique_combination")
_STORED = ("table", "incremental", "feature_view", "snapshot", "seed")

Analysed = Callable[[dict[str, Any]], "Analysis | None"]


class Inputs:
    """The relations of one manifest, each read once. `stream`: for a view that streams, whose models become one job."""

    def __init__(self, manifest: dict[str, Any], dialect: str, *, stream: bool = False) -> None:
        self.manifest, self.dialect, self.stream = manifest, dialect, stream
        self._relations: dict[str, Relation] = {}
        self._analyses: dict[str, Analysis | SkewlessError | None] = {}

    def of(self, node: dict[str, Any]) -> dict[str, Relation]:
        """The relations that a node's compiled SQL may name, by their names in lower case."""
        out: dict[str, Relation] = {}
        for unique_id in (node.get("depends_on") or {}).get("nodes") or []:
            parent = self._node(unique_id)
            if parent is not None and parent.get("resource_type") in ("model", "seed", "snapshot", "source"):
                found = self._relation(unique_id, parent)
                if parent["resource_type"] == "model" or not found.open:   # a source of unknown columns is no relation
                    out |= dict.fromkeys(_keys(parent, self.dialect), found)
        return out

    def analysis(self, node: dict[str, Any]) -> Analysis | SkewlessError | None:
        """The reading of a model's compiled SQL; the error for text that does not parse; None for a model without SQL."""
        unique_id = node["unique_id"]
        if unique_id not in self._analyses:
            self._analyses[unique_id] = None   # a cycle, which dbt refuses, would end here
            sql = node.get("compiled_code") or ""
            try:
                found = analyse(sql, dialect=self.dialect, inputs=self.of(node), stream=self.stream) if sql else None
                self._analyses[unique_id] = found
            except SkewlessError as error:
                self._analyses[unique_id] = error
        return self._analyses[unique_id]

    def lowered(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """The models whose SQL is part of a view's: upstream of it, up to what is stored or has an event time of its own."""
        found: dict[str, dict[str, Any]] = {}
        open_ids = list((node.get("depends_on") or {}).get("nodes") or [])
        while open_ids:
            unique_id = open_ids.pop()
            parent = self.manifest.get("nodes", {}).get(unique_id)
            if parent and parent.get("resource_type") == "model" and unique_id not in found and not self._is_boundary(parent):
                found[unique_id] = parent
                open_ids += (parent.get("depends_on") or {}).get("nodes") or []
        return [found[unique_id] for unique_id in sorted(found)]

    def _is_boundary(self, node: dict[str, Any]) -> bool:
        stored = (node.get("config") or {}).get("materialized") in _STORED
        return not self.stream and (stored or event_time_of(node) is not None)

    def _node(self, unique_id: str) -> dict[str, Any] | None:
        return self.manifest.get("nodes", {}).get(unique_id) or self.manifest.get("sources", {}).get(unique_id)

    def _relation(self, unique_id: str, node: dict[str, Any]) -> Relation:
        if unique_id not in self._relations:
            self._relations[unique_id] = Relation((), open=True)
            self._relations[unique_id] = self._read(node)
        return self._relations[unique_id]

    def _read(self, node: dict[str, Any]) -> Relation:
        found = self.analysis(node) if node.get("resource_type") == "model" else None
        base = found.output if isinstance(found, Analysis) else Relation((), open=True)
        declared = {name.lower(): column for name, column in (node.get("columns") or {}).items()}
        names = [c.name for c in base.columns] + [n for n in declared if base.column(n) is None]
        columns = tuple(Column(name, self._value(node, name, declared.get(name.lower(), {}), base)) for name in names)
        if (node.get("config") or {}).get("materialized") == "feature_view":
            columns = (*columns, Column("ingested_at", Value(TIMESTAMP, nullable=False)))
        unique = (*base.unique, *self._unique(node))
        static = node.get("resource_type") == "seed" or bool(meta_of(node).get("static")) or base.static and bool(base.columns)
        has_types = any(c.value.known for c in columns)
        return Relation(
            columns, unique, static, open=not columns or base.open and not has_types and not declared, mixed=base.mixed
        )

    def _value(self, node: dict[str, Any], name: str, column: dict[str, Any], base: Relation) -> Value:
        inferred = base.column(name)
        value = inferred.value if inferred is not None else Value(UNTYPED)
        type_ = (column.get("data_type") or _seed_type(node, name))
        if type_:
            try:
                parsed = from_sql(type_)
                value = value if value.type == parsed else Value(parsed, nullable=value.nullable)
            except SkewlessError:
                value = Value(UNTYPED, nullable=value.nullable)
        meta = meta_of(column)
        limits = meta.get("range")
        if isinstance(limits, list) and len(limits) == 2 and value.is_exact:
            value = replace(value, lo=int(limits[0]), hi=int(limits[1]))
        time = event_time_of(node)
        inside = self.stream and node.get("resource_type") == "model"     # part of the job: its SQL says what the event time is
        return replace(
            value,
            nullable=value.nullable and name.lower() not in self._not_null(node),
            ascii=value.ascii or bool(meta.get("ascii")),
            before_1970=value.before_1970 or bool(meta.get("before_1970")),
            event_time=value.event_time if inside or not time else name.lower() == time,
        )

    def _unique(self, node: dict[str, Any]) -> list[frozenset[str]]:
        keys = [tuple(key) if isinstance(key, list) else (key,) for key in meta_of(node).get("unique") or []]
        for name, arguments in self._tests.get(node["unique_id"], ()):
            if name in _UNIQUE_TESTS:
                several = arguments.get("combination_of_columns") or arguments.get("columns")
                keys.append(tuple(several or [arguments.get("column_name") or ""]))
        entities = meta_of(node).get("entities")
        if entities and (node.get("config") or {}).get("materialized") == "feature_view":
            keys.append((*_join_keys(entities[0], node), EVENT_TIMESTAMP))
        return [frozenset(str(c).lower() for c in key) for key in keys if all(key)]

    def _not_null(self, node: dict[str, Any]) -> set[str]:
        out = {
            str(a.get("column_name") or "").lower() for name, a in self._tests.get(node["unique_id"], ()) if name == "not_null"
        }
        for name, column in (node.get("columns") or {}).items():
            if any(
                (c.get("type") if isinstance(c, dict) else c) in ("not_null", "primary_key")
                for c in column.get("constraints") or ()
            ):
                out.add(name.lower())
        if (node.get("config") or {}).get("materialized") == "feature_view" and meta_of(node).get("entities"):
            out |= {EVENT_TIMESTAMP, *(k.lower() for k in _join_keys(meta_of(node)["entities"][0], node))}
        stream = meta_of(node).get("stream")
        if node.get("resource_type") == "source" and isinstance(stream, dict):   # a message without them is a dead letter
            out |= {str(stream[key]).lower() for key in ("event_timestamp", "arrived_at") if stream.get(key)}
        return out

    @cached_property
    def _tests(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Node id -> its generic tests as (name, arguments)."""
        out: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for node in self.manifest.get("nodes", {}).values():
            meta = node.get("test_metadata") if node.get("resource_type") == "test" else None
            if meta and (node.get("config") or {}).get("where") is None:
                about = node.get("attached_node") or ((node.get("depends_on") or {}).get("nodes") or [""])[0]
                kwargs = {**(meta.get("kwargs") or {}), **((meta.get("kwargs") or {}).get("arguments") or {})}
                out.setdefault(about, []).append((meta["name"].split(".")[-1], kwargs))
        return out


def event_time_of(node: dict[str, Any]) -> str | None:
    """The column in whose order a relation's rows come, in lower case: of the source's `stream`, or dbt's `event_time`."""
    stream = meta_of(node).get("stream")
    name = stream.get("event_timestamp") if isinstance(stream, dict) else None
    name = name or meta_of(node).get("event_time") or (node.get("config") or {}).get("event_time")
    return str(name).lower() if name else None


def meta_of(node: dict[str, Any]) -> dict[str, Any]:
    """`meta.skewless` of a model, source or column."""
    meta = (node.get("config") or {}).get("meta") or node.get("meta") or {}
    block = meta.get("skewless") if isinstance(meta, dict) else None
    return block if isinstance(block, dict) else {}


def _join_keys(entity: Any, node: dict[str, Any]) -> list[str]:
    if isinstance(entity, dict):
        return [str(k) for k in entity.get("join_keys") or [entity.get("name")]]
    return [next((c for c in (str(entity), f"{entity}_id") if c in (node.get("columns") or {})), str(entity))]


def _seed_type(node: dict[str, Any], name: str) -> str | None:
    types = (node.get("config") or {}).get("column_types") or {}
    return types.get(name) if node.get("resource_type") == "seed" else None


def _keys(node: dict[str, Any], dialect: str) -> list[str]:
    """The names by which compiled SQL refers to a node: its relation, or the CTE of an ephemeral model."""
    if (node.get("config") or {}).get("materialized") == "ephemeral":
        return [f"__dbt__cte__{node['name']}".lower()]
    relation = node.get("relation_name")
    return [table_key(relation, dialect)] if relation else [str(node.get("alias") or node["name"]).lower()]


