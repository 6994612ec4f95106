"""Makes a feature view of an existing dbt model: writes its skewless block and a contract with the warehouse's own types."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.columns import EVENT_TIMESTAMP, RESERVED
from skewless.registry.finding import did_you_mean
from skewless.registry.report import source_of
from skewless.registry.yaml_text import Flow, YamlText
from skewless.types import TABLE, from_sql


@dataclass
class Wish:
    """What the caller asks for. Empty means: as the model suggests."""

    model: str
    entity: str = ""
    join_keys: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)   # ttl, begin, …


@dataclass(frozen=True)
class Adopted:
    """The YAML file, relative to the project, whether its text changed, and what remains for the user to do."""

    file: str
    changed: bool
    entity: str
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()


def adopt(config: Config, wish: Wish, manifest: dict[str, Any] | None = None) -> Adopted:
    """Write block and contract into the model's YAML, or into a new file beside the model. Twice changes nothing.

    Runs dbt for the manifest unless a compiled one is given. Raises SK256 where the model, its columns or its YAML do not allow
    it, with the way out.
    """
    from skewless.warehouse.dbt import ensure_manifest

    manifest = manifest or ensure_manifest(config, compiled=True)
    node = _find(manifest, wish.model)
    types = column_types(config, manifest, node)
    _check_columns(node, types)
    entity, keys = _entity(node, wish, types)
    root = Path(config.root)
    source = source_of(root, manifest, node.get("patch_path"))
    path = root / (source.file or _new_file(node))
    before = path.read_text() if path.exists() else ""
    text, notes = YamlText(before), list[str]()
    _write(text, node, entity, keys, types, wish.settings, notes)
    if text.text != before:
        path.write_text(text.text)
    features = tuple(c for c in types if c not in keys and c != EVENT_TIMESTAMP)
    return Adopted(str(path.relative_to(root)), text.text != before, entity, features, tuple(notes))


def _refuse(node_or_name: Any, fact: str, *, detail: str = "", hint: str = "") -> SkewlessError:
    name = node_or_name if isinstance(node_or_name, str) else node_or_name["name"]
    return SkewlessError("SK256", f'model "{name}" {fact}', detail=detail, hint=hint)


def _find(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    models = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    if name not in models:
        raise _refuse(name, "does not exist", hint=did_you_mean(name, models, "Models"))
    node: dict[str, Any] = models[name]
    if node.get("version") is not None:
        raise _refuse(node, "has versions", hint="Write the block by hand under its versions: docs/definitions.md")
    project = manifest["metadata"].get("project_name")
    if node["package_name"] != project:
        fact = f'belongs to package "{node["package_name"]}"'
        raise _refuse(node, fact, hint="Adopt a model of this project that selects from it.")
    return node


def column_types(config: Config, manifest: dict[str, Any], node: dict[str, Any]) -> dict[str, str]:
    """Column -> type, as the warehouse describes the model's query, in its order. Raises SK256."""
    from skewless.warehouse.dbt import run_dbt

    if manifest["metadata"].get("adapter_type") != "duckdb":
        raise _refuse(node, "is not on DuckDB", detail="Types are read from DuckDB only.", hint="Write the contract by hand.")
    query = node["compiled_code"].strip().rstrip(";")
    sql = "select column_name, column_type from (describe {% raw %}" + query + "\n{% endraw %})"
    run = run_dbt(config, ["show", "--inline", sql, "--limit", "-1", "--output", "json", "--quiet"])
    text = "\n".join(run.lines)
    if not run.ok or "{" not in text:
        reason = next((line.strip() for line in run.lines if re.search(r"\w+ Error: ", line)), text[-300:].strip())
        raise _refuse(
            node, "cannot be described by the warehouse", detail=reason,
            hint=f"Build what it selects from first: dbt run --select +{node['name']}",
        )
    rows = json.loads(text[text.index("{") : text.rindex("}") + 1])["show"]
    return {r["column_name"]: r["column_type"].lower() for r in rows}


def _check_columns(node: dict[str, Any], types: dict[str, str]) -> None:
    wrong = []
    for name, type_ in types.items():
        if name.lower() in RESERVED or name.startswith("__"):
            wrong.append(f'"{name}" is a reserved name')
            continue
        try:
            from_sql(type_)
        except SkewlessError:
            wrong.append(f'"{name}" is {type_}')
    if wrong:
        raise _refuse(
            node, "has columns that features cannot be", detail="; ".join(wrong) + ".",
            hint="Cast or rename them in the SQL, for example sum(x)::bigint; types: " + ", ".join(TABLE) + ".",
        )
    if types.get(EVENT_TIMESTAMP) != "timestamp":
        times = [n for n, t in types.items() if t.startswith(("timestamp", "date"))]
        said = f"event_timestamp is {types[EVENT_TIMESTAMP]}" if EVENT_TIMESTAMP in types else "there is no event_timestamp"
        candidate = times[0] if times else "…"
        raise _refuse(
            node, "has no event_timestamp of type timestamp", detail=f"In it, {said}.",
            hint=f"Select the event time as such, for example {candidate}::timestamp as event_timestamp.",
        )


def _entity(node: dict[str, Any], wish: Wish, types: dict[str, str]) -> tuple[str, list[str]]:
    """(entity, join keys): those of the block that is there, of the wish, or the only column before event_timestamp."""
    name, keys = wish.entity, wish.join_keys
    there = (((node["config"].get("meta") or {}).get("skewless")) or {}).get("entities")
    if there:
        item = there[0]
        found = item["name"] if isinstance(item, dict) else item
        found_keys = list(item.get("join_keys") or []) if isinstance(item, dict) else []
        found_keys = found_keys or [c for c in (found, f"{found}_id") if c in types][:1]
        if (name and name != found) or (keys and keys != found_keys):
            fact = f'is a feature view of entity "{found}" ({", ".join(found_keys)}) already'
            raise _refuse(node, fact, hint="Change entities in its YAML by hand.")
        return found, found_keys
    columns = list(types)
    first = columns[: columns.index(EVENT_TIMESTAMP)]
    if not keys:
        keys = [c for c in (name, f"{name}_id") if c in columns][:1] if name else (first if len(first) == 1 else [])
    if not keys:
        raise _refuse(
            node, "has no obvious join key", detail=f"Columns: {', '.join(columns)}.",
            hint=f"Name the entity and its columns: skewless adopt {node['name']} --entity {name or 'NAME'} "
            f"--join-keys {','.join(first) or 'COLUMN,…'}",
        )
    for key in keys:
        if key not in columns:
            raise _refuse(node, f'has no column "{key}"', hint=did_you_mean(key, columns, "Columns"))
        row = TABLE[from_sql(types[key]).name]
        if not row.join_key:
            raise _refuse(node, f'cannot have the join key "{key}" of type {types[key]}', hint="Cast it to bigint or varchar.")
    return name or (keys[0].removesuffix("_id") if len(keys) == 1 else "_".join(keys)), keys


def _new_file(node: dict[str, Any]) -> str:
    return str(Path(node["original_file_path"]).with_suffix(".yml"))


def _write(
    text: YamlText, node: dict[str, Any], entity: str, keys: list[str], types: dict[str, str], settings: dict[str, str],
    notes: list[str],
) -> None:
    """All edits of the file. Raises SK256 for YAML that cannot be edited piece by piece."""
    try:
        index = _entry(text, node)
        at = ("models", index)
        _columns(text, at, types, notes)
        if _sql_sets(node, "materialized"):
            if node["config"].get("materialized") != "feature_view":
                notes.append(f"{node['original_file_path']} sets materialized itself: change it to feature_view there.")
        else:
            text.set(*at, "config", "materialized", value="feature_view")
        text.set(*at, "config", "contract", value={"enforced": True})
        block = (*at, "config", "meta", "skewless")
        if text.value(*block, "entities") is None:
            plain = keys in ([entity], [f"{entity}_id"])
            value: list[Any] = [entity] if plain else [Flow(name=entity, join_keys=keys)]
            wanted: dict[str, Any] = {"entities": value, **settings}
            if text.value(*block) is None:
                text.set(*block, value=wanted)
                return
        else:
            wanted = dict(settings)
        for key, value in wanted.items():
            if text.value(*block, key) is None:
                text.set(*block, key, value=value)
    except (ValueError, AssertionError, yaml.YAMLError) as error:
        fact = "has YAML that cannot be edited piece by piece"
        raise _refuse(node, fact, detail=f"{error}.", hint="Write the block by hand.") from None


def _entry(text: YamlText, node: dict[str, Any]) -> int:
    """The index of the model's entry in `models:`; made where it is missing."""
    models = text.value("models")
    for index, entry in enumerate(models or []):
        if entry.get("name") == node["name"]:
            return index
    entry = {"name": node["name"]}
    if models:
        text.append("models", value=entry)
    else:
        text.set("models", value=[entry])
    return len(models or [])


def _columns(text: YamlText, at: tuple[Any, ...], types: dict[str, str], notes: list[str]) -> None:
    declared = text.value(*at, "columns")
    if not declared:
        text.set(*at, "columns", value=[Flow(name=n, data_type=t) for n, t in types.items()])
        return
    place = {c["name"].lower(): i for i, c in enumerate(declared)}
    for name, type_ in types.items():
        index = place.get(name.lower())
        if index is None:
            text.append(*at, "columns", value=Flow(name=name, data_type=type_))
        elif declared[index].get("data_type") is None:
            text.set(*at, "columns", index, "data_type", value=type_)
        elif from_sql(declared[index]["data_type"]) != from_sql(type_):
            was = declared[index]["data_type"]
            notes.append(f'column "{name}" is declared {was}, the query gives {type_}: left as declared.')
    for name in place:
        if name not in {n.lower() for n in types}:
            notes.append(f'column "{name}" is declared, but the query does not give it: remove it from the YAML.')


def _sql_sets(node: dict[str, Any], key: str) -> bool:
    calls = re.findall(r"\{\{\s*config\s*\((.*?)\)\s*\}\}", node.get("raw_code") or "", re.DOTALL)
    return any(re.search(rf"\b{key}\s*=", call) for call in calls)
