"""Registries for tests: a small one by hand, and any one by Hypothesis."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from skewless.registry.model import Entity, Feature, JoinKey, Registry, Service, View, parse_ref

DAY = 86_400_000_000
CARRIER = Entity(name="carrier", join_keys=(JoinKey("carrier", "string"),))
ROUTE = Entity(name="route", join_keys=(JoinKey("origin", "string"), JoinKey("dest", "string")))


def feature(name: str, type_: str = "int64", hash_: str = "", **more: Any) -> Feature:
    return Feature(name=name, type=type_, definition_hash=hash_ or f"hash of {name}"[:16], **more)


def view(name: str, *features: Feature, entity: Entity = CARRIER, **more: Any) -> View:
    fields = {"storage": name, "ttl_us": 7 * DAY, "begin_us": 1356998400_000000, "definition_hash": "d0", **more}
    return View(name=name, entity=entity.name, join_keys=entity.join_keys, features=features or (feature("n"),), **fields)


def registry(*views: View, services: tuple[Service, ...] = ()) -> Registry:
    entities = {e.name: e for e in (CARRIER, ROUTE) if any(v.entity == e.name for v in views)}
    return Registry(
        project="shop", target="dev", entities=tuple(entities[n] for n in sorted(entities)),
        views=tuple(sorted(views, key=lambda v: (v.name, v.version))), services=services,
    )


def service(name: str, *refs: str) -> Service:
    return Service(name=name, features=tuple(parse_ref(r) for r in refs))


changed = msgspec.structs.replace

NAMES = st.sampled_from(["late", "n", "mean", "far", "temp"])
TYPES = st.sampled_from(["int64", "float64", "string", "decimal(10,2)"])


@st.composite
def features(draw: st.DrawFn) -> tuple[Feature, ...]:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    return tuple(
        feature(n, draw(TYPES), draw(st.sampled_from(["h1", "h2", "h3"])), ttl_us=draw(st.sampled_from([None, DAY])))
        for n in names
    )


@st.composite
def views(draw: st.DrawFn, name: str, version: int) -> View:
    return view(
        name, *draw(features()), entity=draw(st.sampled_from([CARRIER, ROUTE])), version=version,
        ttl_us=draw(st.sampled_from([None, DAY, 7 * DAY])), online=draw(st.booleans()),
        definition_hash=draw(st.sampled_from(["d1", "d2"])), storage=draw(st.sampled_from([name, "other"])),
        upstream=draw(st.sampled_from([(), (("stg", "u1"),), (("stg", "u2"),)])),
    )


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    refs = draw(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 2)), unique=True, max_size=4))
    found = [draw(views(name, version)) for name, version in refs]
    services = draw(st.sampled_from([(), (service("s", "a"),), (service("s", "a", "b"), service("t", "c@1:n as m"))]))
    return registry(*found, services=services)
