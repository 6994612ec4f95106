"""What a feature view is: the structs that every room shares. The snapshot is their JSON, so a field added here needs a default.

Instants and durations are integers in microseconds. Types are the canonical texts of `skewless.types`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any

import msgspec

from skewless.errors import SkewlessError

SNAPSHOT_FORMAT = 1
_NAMESPACE = uuid.UUID("6f1d7c52-3c1b-5d8e-9a55-0c6b2f6f7a10")


class JoinKey(msgspec.Struct, frozen=True):
    """One column of an entity's key and its type."""

    name: str
    type: str


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that features describe. Join keys in declared order; the order is part of the Redis key."""

    name: str
    join_keys: tuple[JoinKey, ...]
    description: str = ""


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One typed column. `default` replaces `missing`, never `null`; None means no default."""

    name: str
    type: str
    default: Any = None
    description: str = ""
    ttl_us: int | None = None
    approximate: float | None = None
    definition_hash: str = ""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """A view's features as an older row may have been written: names and types in order."""

    fingerprint: str
    names: tuple[str, ...]
    types: tuple[str, ...]


class StreamSource(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of events, as a dbt source declares it. `name` is what SQL calls the relation; columns are in lower case.

    An event counts when `arrived_at - lateness < event_timestamp <= arrived_at + 5 s`, arrived_at being its broker time;
    `arrived_at` is the column that keeps it in the warehouse, "" where none does.
    """

    name: str
    unique_id: str
    topic: str
    event_timestamp: str
    arrived_at: str = ""
    format: str = "json"                    # json | avro
    lateness_us: int = 1_000_000
    idle_timeout_us: int = 30_000_000       # a partition silent for so long holds no window open; 0: it holds it for ever


class Streaming(msgspec.Struct, frozen=True, kw_only=True):
    """How a view streams beside its batch: a batch window ends at now - batch_delay; `only`: no batch computes the view."""

    only: bool = False
    batch_delay_us: int = 3_600_000_000
    sources: tuple[StreamSource, ...] = ()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a feature view. Rows are keyed by (join keys, event_timestamp)."""

    name: str
    version: int = 1
    entity: str
    join_keys: tuple[JoinKey, ...]
    features: tuple[Feature, ...]
    ttl_us: int | None = None
    begin_us: int | None = None
    input_lookback_us: int = 0
    overlap_us: int = 86_400_000_000
    availability_delay_us: int | None = None
    online: bool = True
    streamed: bool = False                  # a stream writes rows beside the batch
    active_within_us: int | None = None
    cold_path: bool = False                 # a row that is not online is looked up in the history
    cache_us: int | None = None             # servers may answer from rows that they read so long ago
    missing: str = "default"                # default | null | error
    stale: str = "serve"                    # serve | default | error: a row older than error_after_us
    partition: str = "month"                # day | month
    codec: str = "json"                     # json | msgpack
    warn_after_us: int | None = None
    error_after_us: int | None = None
    storage: str = ""                       # the lake's name for the view; survives a rename of the model
    unique_id: str = ""                     # dbt's node id
    relation: str = ""                      # the relation dbt builds, quoted
    materialized: str = "feature_view"
    file: str = ""                          # path of the model file inside the dbt project
    definition_hash: str = ""
    upstream: tuple[tuple[str, str], ...] = ()   # (model, definition hash) of the models it is built from
    owner: str = ""
    description: str = ""
    deprecated_at_us: int | None = None
    sunset_at_us: int | None = None
    past_schemas: tuple[Schema, ...] = ()   # schemas that rows of this version may still carry
    stream: Streaming | None = None         # set where `streamed`, and only there

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def schema(self) -> Schema:
        """The schema that rows are written with now."""
        names = tuple(f.name for f in self.features)
        types = tuple(f.type for f in self.features)
        return Schema(fingerprint=fingerprint(names, types), names=names, types=types)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(k.name for k in self.join_keys)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features)


class FeatureRef(msgspec.Struct, frozen=True, kw_only=True):
    """`view`, `view@2`, `view@2:feature`, `view@2:feature as name`. version None = latest; feature None = all of the view."""

    view: str
    version: int | None = None
    feature: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        text = self.view + (f"@{self.version}" if self.version else "")
        text += f":{self.feature}" if self.feature else ""
        return text + (f" as {self.alias}" if self.alias else "")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A named list of features that a model depends on; a dbt exposure of type `ml`."""

    name: str
    features: tuple[FeatureRef, ...]
    full_names: bool = False
    unique_id: str = ""
    file: str = ""
    owner: str = ""
    description: str = ""


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """All definitions of one project and target, wanted (from the manifest) or applied (from the store).

    Views are sorted by (name, version), entities and services by name. Its JSON is the snapshot, seam 1.
    """

    project: str
    target: str
    entities: tuple[Entity, ...] = ()
    views: tuple[View, ...] = ()
    services: tuple[Service, ...] = ()
    format: int = SNAPSHOT_FORMAT

    def view(self, name: str, version: int | None = None) -> View:
        """The view of that name, the latest version where none is given. Raises SK404 with the nearest name."""
        found = [v for v in self.views if v.name == name and version in (None, v.version)]
        if found:
            return max(found, key=lambda v: v.version)
        what = f"{name}@{version}" if version else name
        raise _not_found("feature view", what, [v.ref if version else v.name for v in self.views])

    def service(self, name: str) -> Service:
        """The feature service of that name. Raises SK404 with the nearest name."""
        for service in self.services:
            if service.name == name:
                return service
        raise _not_found("feature service", name, [s.name for s in self.services])

    def entity(self, name: str) -> Entity:
        """The entity of that name. Raises SK404 with the nearest name."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise _not_found("entity", name, [e.name for e in self.entities])


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of a request or training set: where it comes from and what it is called in the result."""

    view: View
    feature: Feature
    name: str


def select(registry: Registry, refs: tuple[FeatureRef, ...], *, full_names: bool = False) -> tuple[Selected, ...]:
    """The features that references name, in order. `full_names` gives `view__feature`.

    Raises SK404 for a view or feature that does not exist, SK105 for two features of the same output name.
    """
    out: list[Selected] = []
    for ref in refs:
        view = registry.view(ref.view, ref.version)
        features = [f for f in view.features if ref.feature in (None, f.name)]
        if not features:
            raise _not_found(f'feature of "{view.ref}"', str(ref.feature), list(view.feature_names))
        for feature in features:
            name = ref.alias or (f"{view.name}__{feature.name}" if full_names else feature.name)
            out.append(Selected(view=view, feature=feature, name=name))
    seen: dict[str, Selected] = {}
    for item in out:
        if item.name in seen:
            raise SkewlessError(
                "SK105", f'two features are called "{item.name}"',
                detail=f"{seen[item.name].view.ref}:{seen[item.name].feature.name} and {item.view.ref}:{item.feature.name}.",
                hint='Give one an alias ("view:feature as name"), or ask for full names.',
            )
        seen[item.name] = item
    return tuple(out)


_REF = re.compile(r"^\s*([A-Za-z_]\w*)(?:@([0-9]{1,9}))?(?::([A-Za-z_]\w*))?(?:\s+as\s+([A-Za-z_]\w*))?\s*$")


def parse_ref(text: str) -> FeatureRef:
    """`view@2:feature as name` -> FeatureRef. Raises SK104."""
    found = _REF.match(text)
    if not found or (found[4] and not found[3]):
        raise SkewlessError(
            "SK104", f'"{text}" is not a feature reference', hint="Write view, view@2, view@2:feature or view@2:feature as name."
        )
    return FeatureRef(view=found[1], version=int(found[2]) if found[2] else None, feature=found[3], alias=found[4])


def fingerprint(names: tuple[str, ...], types: tuple[str, ...]) -> str:
    """16 hex digits (8 bytes) of a schema: the first half-words of SHA-256 over the JSON list of [name, type] pairs."""
    text = json.dumps([list(pair) for pair in zip(names, types, strict=True)], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def object_id(project: str, kind: str, name: str) -> str:
    """The UUIDv5 of a named thing of a project: the same on every machine."""
    return str(uuid.uuid5(_NAMESPACE, f"{project}/{kind}/{name}"))


def to_json(registry: Registry) -> bytes:
    """The snapshot's bytes: fields and order fixed, so equal registries give equal bytes."""
    return msgspec.json.encode(registry, order="deterministic")


def from_json(data: bytes) -> Registry:
    """The inverse of `to_json`. Raises SK250 for a format that this version does not read."""
    try:
        registry = msgspec.json.decode(data, type=Registry)
    except msgspec.MsgspecError as error:
        raise SkewlessError("SK250", "the snapshot does not parse", detail=str(error)) from None
    if registry.format != SNAPSHOT_FORMAT:
        raise SkewlessError("SK250", f"the snapshot has format {registry.format}, this version reads {SNAPSHOT_FORMAT}")
    return registry


def _not_found(what: str, name: str, names: list[str]) -> SkewlessError:
    import difflib

    near = difflib.get_close_matches(name, names, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else "There are: " + (", ".join(sorted(set(names))) or "none") + "."
    return SkewlessError("SK404", f'{what} "{name}" does not exist', hint=hint)
