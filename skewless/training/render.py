"""The join's SQL: written by the macro `point_in_time_stages`, rendered by dbt. Definitions come from the registry."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec

from skewless.config import Config
from skewless.registry.model import Selected, View
from skewless.training.labels import LABEL_FRAME
from skewless.types import parse_type

# Measured on 2 cores over Parquet: from three views on, one statement costs 2 to 3 times the processor time and memory of stages.
STAGED_FROM_VIEWS = 3
WIDE_FEATURES_MAX = 12
MODES = ("as_of", "known_at")


class Statement(msgspec.Struct, frozen=True):
    """One statement of a join. `stage` names the table it makes, or is `assert` or `result`."""

    stage: str
    sql: str


def view_metadata(view: View) -> dict[str, Any]:
    """What the macro `feature_view_metadata` returns for the view, taken from the registry."""
    return {
        "name": view.name,
        "version": view.version,
        "join_keys": list(view.key_names),
        "ttl_us": view.ttl_us,
        "availability_delay_us": view.availability_delay_us or 0,
        "missing": view.missing,
        "features": [
            {"name": f.name, "type": parse_type(f.type).world("duckdb"), "default": f.default, "ttl_us": f.ttl_us}
            for f in view.features
        ],
    }


def relation_name(view: View) -> str:
    """The name under which the view's history is known in the join's connection."""
    return f'"{view.ref}"'


def backfill_name(view: View) -> str:
    """The name of the relation of commits that loaded the past."""
    return f'"{view.ref} backfill"'


def views_of(selected: tuple[Selected, ...]) -> tuple[View, ...]:
    """The selected views, each once, in order of first mention."""
    return tuple({item.view.ref: item.view for item in selected}.values())


def status_columns(selected: tuple[Selected, ...]) -> list[str]:
    """The status columns, one a view: `<view>__status`, or `<view>_v<n>__status` where two versions are asked for."""
    views = views_of(selected)
    names = [v.name for v in views]
    return [f"{v.name}_v{v.version}__status" if names.count(v.name) > 1 else f"{v.name}__status" for v in views]


def shape_of(features: int, labels: int, history: int) -> tuple[str, bool]:
    """(shape, semi) of one view's join, by number of features, labels, and rows of history within the window."""
    if features <= WIDE_FEATURES_MAX and labels * 30 >= history:
        return "wide", False
    if features <= WIDE_FEATURES_MAX and labels * 500 < history:
        return "wide", True
    return "narrow", labels * 100 < history


def statements(
    config: Config, selected: tuple[Selected, ...], *, label_timestamp: str, mode: str, statuses: bool,
    shapes: dict[str, tuple[str, bool]],
) -> list[Statement]:
    """The join as statements to be run in order. `shapes` maps view refs to `shape_of`. Raises SK911 with dbt's words."""
    views = views_of(selected)
    wanted: dict[str, set[str]] = {}
    for item in selected:
        wanted.setdefault(item.view.ref, set()).add(item.feature.name)
    metadata = {}
    for view in views:
        meta = view_metadata(view)
        meta["features"] = [f for f in meta["features"] if f["name"] in wanted[view.ref]]
        metadata[view.ref] = meta | ({"backfill": backfill_name(view)} if mode == "known_at" else {})
    arguments = {
        "labels": LABEL_FRAME,
        "features": [f"{item.view.ref}:{item.feature.name} as {item.name}" for item in selected],
        "label_timestamp": label_timestamp,
        "mode": mode,
        "statuses": statuses,
        "relations": {v.ref: relation_name(v) for v in views},
        "metadata": metadata,
        "shape": {ref: shape for ref, (shape, _) in shapes.items()},
        "semi": {ref: semi for ref, (_, semi) in shapes.items()},
        "staged": len(views) >= STAGED_FROM_VIEWS,
    }
    return msgspec.json.decode(_rendered(msgspec.json.encode(config), json.dumps(arguments)), type=list[Statement])


@lru_cache(maxsize=64)
def _rendered(settings: bytes, arguments: str) -> str:
    from skewless.warehouse.dbt import compile_inline

    config = msgspec.json.decode(settings, type=Config)
    return compile_inline(config, f"{{{{ skewless.point_in_time_stages(**fromjson({json.dumps(arguments)})) }}}}")
