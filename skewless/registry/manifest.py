"""dbt's manifest -> the Registry that the project wants, and everything that is wrong with it, all at once.

The manifest is dbt's `target/manifest.json` (schema v12) after `dbt compile`. A model with `config.meta.skewless` is a feature
view; an exposure of type `ml` with `config.meta.skewless.features` is a feature service.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from skewless.clock import parse_instant
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import columns as columns_of
from skewless.registry.aggregates import check_sql
from skewless.registry.block import read_block
from skewless.registry.finding import Finding
from skewless.registry.inputs import Inputs
from skewless.registry.lineage import dialect_of, upstream_of
from skewless.registry.model import Entity, Registry, View
from skewless.registry.report import Report, source_of
from skewless.registry.services import read_services
from skewless.registry.streams import read_streams, read_view_stream
from skewless.sql.definition import definition_hash, feature_hashes

Measured = Callable[[View], int | None]


def read_definitions(
    config: Config, manifest: dict[str, Any], *, measured_delay: Measured | None = None
) -> tuple[Registry, list[SkewlessError]]:
    """The wanted registry and the findings (`skewless.registry.finding.Finding`), views first, then services.

    A view whose entity, keys or types cannot be read is reported and left out. `measured_delay` gives the p99, in microseconds,
    of how long after its event time a row of the view was committed; it is used in a hint.
    """
    root, findings = Path(config.root), list[Finding]()
    _check_blocks(root, manifest, findings)
    streams, inputs = read_streams(root, manifest, findings), Inputs(manifest, dialect_of(manifest), stream=True)
    views: list[View] = []
    for node in _models(manifest):
        view = _read_view(root, manifest, node, findings, measured_delay)
        if view:
            report = report_of(root, manifest, node, findings)
            block = (feature_view_block(node) or {}).get("stream")
            stream = read_view_stream(manifest, node, block, streams, inputs, report)
            views.append(msgspec.structs.replace(view, stream=stream, streamed=stream is not None))
    views.sort(key=lambda v: (v.name, v.version))
    entities = _entities(root, manifest, views, findings)
    _check_storage(root, manifest, views, findings)
    registry = Registry(project=config.project, target=config.target, entities=entities, views=tuple(views))
    services = read_services(root, manifest, registry, findings)
    registry = Registry(
        project=config.project, target=config.target, entities=entities, views=tuple(views), services=services
    )
    return registry, list(findings)


def feature_view_block(node: dict[str, Any]) -> dict[str, Any] | None:
    """The `meta.skewless` of a model, None for a model that is not a feature view."""
    block = ((node.get("config") or {}).get("meta") or {}).get("skewless")
    return block if isinstance(block, dict) and node.get("resource_type") == "model" else None


def _check_blocks(root: Path, manifest: dict[str, Any], findings: list[Finding]) -> None:
    """Reports models whose meta.skewless is there and no mapping (SK124)."""
    for _, node in sorted(manifest.get("nodes", {}).items()):
        block = ((node.get("config") or {}).get("meta") or {}).get("skewless")
        if node.get("resource_type") == "model" and block is not None and not isinstance(block, dict):
            report, hint = report_of(root, manifest, node, findings), "Write skewless: {entities: [carrier]}."
            report.add("SK124", "meta.skewless is not a mapping", "config", "meta", "skewless", hint=hint)


def _models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    nodes = [n for n in manifest.get("nodes", {}).values() if feature_view_block(n) is not None]
    return sorted(nodes, key=lambda n: (n["name"], str(n.get("version") or "")))


def report_of(root: Path, manifest: dict[str, Any], node: dict[str, Any], findings: list[Finding]) -> Report:
    """The report of one model: findings get the line of its entry in its YAML file."""
    subject = f'view "{node["name"]}"' if not node.get("version") else f'view "{node["name"]}@{node["version"]}"'
    source = source_of(root, manifest, node.get("patch_path"))
    return Report(findings, source, ("models", ("name", node["name"])), subject, fallback=node.get("original_file_path") or "")


def _read_view(
    root: Path, manifest: dict[str, Any], node: dict[str, Any], findings: list[Finding], measured: Measured | None
) -> View | None:
    report, block = report_of(root, manifest, node, findings), feature_view_block(node) or {}
    columns = node.get("columns") or {}
    fields = read_block(block, report)
    version = _version(node, report)
    _check_contract(node, report)
    types = columns_of.read_types(columns, report)
    columns_of.check_event_timestamp(columns, types, report)
    entity = columns_of.read_entity(block, columns, report)
    sql, dialect = node.get("compiled_code") or "", dialect_of(manifest)
    key_names = entity[1] if entity else ()
    names = [n for n in columns if n not in key_names and n != columns_of.EVENT_TIMESTAMP]
    hashes = feature_hashes(sql, dialect, key_names, names) if sql else {}
    features = columns_of.read_features(columns, key_names, types, hashes, report)
    keys = columns_of.read_keys(*entity, types, report) if entity else None
    if not entity or not keys:
        return None
    view = View(
        name=node["name"], version=version, entity=entity[0], join_keys=keys, features=features,
        storage=_storage(node, block, report), unique_id=node["unique_id"], relation=node.get("relation_name") or "",
        materialized=node["config"].get("materialized") or "", file=_file(manifest, node),
        definition_hash=definition_hash(sql, dialect) if sql else "", upstream=upstream_of(manifest, node),
        owner=_owner(manifest, node), description=node.get("description") or "",
        deprecated_at_us=parse_instant(node["deprecation_date"]) if node.get("deprecation_date") else None, **fields,
    )
    check_sql(root, manifest, node, view, report)
    _check_delay(view, block, report, measured)
    return view


def _version(node: dict[str, Any], report: Report) -> int:
    version = node.get("version")
    if version is None:
        return 1
    if not str(version).isdigit() or int(version) < 1:
        report.add("SK111", f'version "{version}" is not a whole number from 1', "versions", hint="Number versions 1, 2, 3.")
        return 1
    return int(version)


def _check_contract(node: dict[str, Any], report: Report) -> None:
    if not (node.get("contract") or {}).get("enforced"):
        report.add(
            "SK112", "the contract is not enforced", "config", "contract",
            hint=f"Add contract: {{enforced: true}} and a data_type for each column, or run: skewless adopt {node['name']}",
        )


def _storage(node: dict[str, Any], block: dict[str, Any], report: Report) -> str:
    name = block.get("name", node["name"])
    if not isinstance(name, str) or not name.replace("_", "a").isalnum():
        report.meta("SK116", f'name: "{name}" is not a storage name', "name", hint="Use letters, digits and _.")
        return str(node["name"])
    return name


def _file(manifest: dict[str, Any], node: dict[str, Any]) -> str:
    path = node.get("original_file_path") or ""
    package = node.get("package_name")
    return path if package == (manifest.get("metadata") or {}).get("project_name") else f"dbt_packages/{package}/{path}"


def _owner(manifest: dict[str, Any], node: dict[str, Any]) -> str:
    for group in (manifest.get("groups") or {}).values():
        if node.get("group") and group.get("name") == node["group"]:
            return str(group["owner"].get("name") or group["owner"].get("email") or group["name"])
    return str((node["config"].get("meta") or {}).get("owner") or "")


def _check_delay(view: View, block: dict[str, Any], report: Report, measured: Measured | None) -> None:
    if not view.online or view.availability_delay_us is not None or block.get("stream"):
        return
    from skewless.clock import format_duration

    seen = measured(view) if measured else None
    hint = "Declare how long after its event time a row can be had, for example availability_delay: 6h."
    if seen is not None:
        whole = max(60_000_000, -(-seen // 60_000_000) * 60_000_000)
        text = format_duration(whole)
        hint = f"By the ledger 99 % of rows could be had after {text}. Declare availability_delay: {text}"
    report.meta(
        "SK130", "availability_delay is not declared, so training may use rows that serving could not have had yet",
        "availability_delay", level="warning", hint=hint,
    )


def _entities(root: Path, manifest: dict[str, Any], views: list[View], findings: list[Finding]) -> tuple[Entity, ...]:
    """One entity a name, from the first view of it; views that disagree are reported (SK117)."""
    first: dict[str, View] = {}
    for view in views:
        known = first.setdefault(view.entity, view)
        if known.join_keys != view.join_keys:
            said = [", ".join(f"{k.name} {k.type}" for k in v.join_keys) for v in (known, view)]
            fact = f'entity "{view.entity}" has join keys ({said[1]}) here and ({said[0]}) in view "{known.name}"'
            report_of(root, manifest, manifest["nodes"][view.unique_id], findings).meta(
                "SK117", fact, "entities",
                hint="Use the same columns, order and types in every view of an entity, or name another entity.",
            )
    return tuple(Entity(name=name, join_keys=view.join_keys) for name, view in sorted(first.items()))


def _check_storage(root: Path, manifest: dict[str, Any], views: list[View], findings: list[Finding]) -> None:
    seen: dict[tuple[str, str, int], View] = {}
    for view in views:
        place = (view.entity, view.storage.lower(), view.version)
        other = seen.setdefault(place, view)
        if other is not view:
            report_of(root, manifest, manifest["nodes"][view.unique_id], findings).meta(
                "SK123", f'views "{other.name}" and "{view.name}" share the storage name "{view.storage}"', "name",
                hint="Give one of them another name in meta.skewless.",
            )
