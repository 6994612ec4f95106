"""Feature services: exposures of type `ml` with `config.meta.skewless.features`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.finding import Finding, did_you_mean
from skewless.registry.model import FeatureRef, Registry, Service, parse_ref, select
from skewless.registry.report import Report, source_of

KEYS = ("features", "full_names")


def read_services(root: Path, manifest: dict[str, Any], registry: Registry, findings: list[Finding]) -> tuple[Service, ...]:
    """The services by name. Reports references that do not parse or exist, name clashes and missing pins (SK120-SK122, SK125).

    A reference into a view that was itself reported is passed over: its own findings say more.
    """
    out = []
    for node in sorted((manifest.get("exposures") or {}).values(), key=lambda n: n["name"]):
        block = ((node.get("config") or {}).get("meta") or {}).get("skewless")
        if block is None:
            continue
        source = source_of(root, manifest, node.get("original_file_path"))
        report = Report(findings, source, ("exposures", ("name", node["name"])), f'service "{node["name"]}"')
        service = _read(node, block, registry, report)
        if service:
            out.append(service)
    return tuple(out)


def _read(node: dict[str, Any], block: Any, registry: Registry, report: Report) -> Service | None:
    if node.get("type") != "ml":
        report.add("SK125", f'an exposure of type "{node.get("type")}" is not a feature service', "type", hint="Write type: ml.")
    if not isinstance(block, dict) or not isinstance(block.get("features"), list) or not block["features"]:
        report.meta("SK120", "a feature service lists its features", "features", hint='Write features: ["view@1:feature", …].')
        return None
    for key in block:
        if key not in KEYS:
            report.meta("SK110", f'"{key}" is not a key of a feature service', key, hint=did_you_mean(key, KEYS, "Keys"))
    refs = [ref for i, text in enumerate(block["features"]) if (ref := _ref(text, i, registry, report))]
    full_names = block.get("full_names") is True
    _check_clash(tuple(refs), registry, full_names, report)
    owner = node.get("owner") or {}
    return Service(
        name=node["name"], features=tuple(refs), full_names=full_names, unique_id=node.get("unique_id") or "",
        file=node.get("original_file_path") or "", owner=str(owner.get("name") or owner.get("email") or ""),
        description=node.get("description") or "",
    )


def _ref(text: Any, index: int, registry: Registry, report: Report) -> FeatureRef | None:
    place = ("config", "meta", "skewless", "features", index)
    ref = None
    try:
        ref = parse_ref(str(text))
        select(registry, (ref,))
    except SkewlessError as error:
        if ref and _reported(ref.view, report.findings):
            return None
        report.add("SK120", error.fact, *place, hint=error.hint)
        return None
    if ref.version is None:
        pinned = FeatureRef(view=ref.view, version=registry.view(ref.view).version, feature=ref.feature, alias=ref.alias)
        report.add("SK122", f'"{text}" follows the latest version', *place, level="advice", hint=f'Pin it: "{pinned}"')
    return ref


def _reported(view: str, findings: list[Finding]) -> bool:
    return any(f.level == "error" and (f.subject == f'view "{view}"' or f.subject.startswith(f'view "{view}@')) for f in findings)


def _check_clash(refs: tuple[FeatureRef, ...], registry: Registry, full_names: bool, report: Report) -> None:
    try:
        select(registry, refs, full_names=full_names)
    except SkewlessError as error:
        hint = f"{error.detail} {error.hint}".replace("ask for full names", "set full_names: true")
        report.meta("SK121", error.fact, "features", hint=hint)
