"""The state of every view in one table: definition, history, freshness, last sync. Runs no dbt and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import OnlineStore, SyncRecord, connect, speaking, store_url
from skewless.registry import snapshot
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Registry, View, to_json
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable


class ViewStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One view-version. `state`: applied, changed (the project's SQL or schema differs), draft (not applied yet) or gone.

    `freshness`: ok, warn or error by the view's freshness_sla, `none` without one, `empty` without rows; `lag_us` is now minus
    the newest event time. `behind`: the history has commits that were not pushed; None where that is not known.
    """

    view: str
    entity: str
    state: str
    online: bool
    streams_only: bool = False              # no batch computes it, so nothing is ever complete
    rows: int = 0
    superseded: int = 0
    pending: int = 0
    files: int = 0
    bytes: int = 0
    complete_through_us: int | None = None
    newest_event_us: int | None = None
    lag_us: int | None = None
    freshness: str = "empty"
    synced_at_us: int | None = None
    behind: bool | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole project. `snapshot`: current, outdated, absent, or unknown when the online store does not answer (`trouble`)."""

    project: str
    target: str
    now_us: int
    views: tuple[ViewStatus, ...]
    services: tuple[str, ...]
    snapshot: str
    online_store: str
    trouble: str = ""


def read_status(config: Config) -> Status:
    """The state now. An online store that does not answer is part of the answer, not an error."""
    applied, wanted = Store(config).applied(), wanted_on_disk(config)
    synced: dict[str, SyncRecord | None] = {}
    published, trouble = "unknown", ""
    try:
        client = connect(config)
        with speaking(config.online_store):
            current = snapshot.current_id(client, config.namespace)
            store = OnlineStore(client, config.namespace)
            synced = {v.ref: store.last_sync(v) for v in applied.views if v.online}
        same = current == snapshot.snapshot_id(to_json(applied))
        published = "current" if same else "outdated" if current else "absent"
    except SkewlessError as error:
        trouble = error.fact
    before, after = {v.ref: v for v in applied.views}, {v.ref: v for v in wanted.views} if wanted else {}
    views = [
        _view_status(config, before.get(ref) or after[ref], _state(before.get(ref), after.get(ref), wanted), synced)
        for ref in sorted({*before, *after})
    ]
    return Status(
        project=config.project, target=config.target, now_us=now_us(), views=tuple(views),
        services=tuple(s.name for s in applied.services), snapshot=published, trouble=trouble, online_store=_shown(config),
    )


def wanted_on_disk(config: Config) -> Registry | None:
    """The definitions of the manifest that dbt wrote last, None where there is none."""
    path = Path(config.root) / "target" / "manifest.json"
    try:
        return read_definitions(config, json.loads(path.read_text()))[0]
    except (OSError, ValueError):
        return None


def _state(applied: View | None, wanted: View | None, known: Registry | None) -> str:
    if applied is None:
        return "draft"
    if wanted is None:
        return "gone" if known else "applied"
    hashes = {applied.definition_hash, wanted.definition_hash} - {""}
    return "changed" if len(hashes) > 1 or applied.schema != wanted.schema else "applied"


def _view_status(config: Config, view: View, state: str, synced: dict[str, SyncRecord | None]) -> ViewStatus:
    table = LakeTable(config.lake_root, view)
    common: dict[str, Any] = {"view": view.ref, "entity": view.entity, "state": state, "online": view.online}
    common["streams_only"] = view.stream is not None and view.stream.only
    record = synced.get(view.ref)
    synced_at_us = record.at_us if record else None
    if not table.exists():
        return ViewStatus(**common, synced_at_us=synced_at_us)
    found = table.statistics()
    newest_us = found["newest_event_timestamp_us"]
    lag_us = None if newest_us is None else now_us() - newest_us
    behind = None
    if view.online and view.ref in synced:
        position = table.position()
        behind = record is None or tuple(record.position[:2]) != (position.table_id, position.version)
    return ViewStatus(
        **common, rows=found["current"], superseded=found["superseded"], pending=found["pending"], files=found["files"],
        bytes=found["bytes"], complete_through_us=table.complete_through_us(), newest_event_us=newest_us, lag_us=lag_us,
        freshness=freshness(view, lag_us), synced_at_us=synced_at_us, behind=behind,
    )


def freshness(view: View, lag_us: int | None) -> str:
    """ok, warn or error by the view's freshness_sla; `none` without one, `empty` without rows. Bounds count as kept."""
    if lag_us is None:
        return "empty"
    if view.error_after_us is not None and lag_us > view.error_after_us:
        return "error"
    if view.warn_after_us is not None and lag_us > view.warn_after_us:
        return "warn"
    return "none" if view.warn_after_us is None and view.error_after_us is None else "ok"


def _shown(config: Config) -> str:
    from skewless.online import shown

    return "embedded" if config.online_store == "embedded" else shown(store_url(config))
