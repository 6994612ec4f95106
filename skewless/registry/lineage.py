"""What a model is built from: the hashes of its ancestors, and the column types that are declared upstream."""

from __future__ import annotations

from typing import Any

from skewless.sql.definition import definition_hash
from skewless.sql.reproducible import output_types

DIALECTS = {"duckdb", "postgres", "spark", "databricks", "snowflake", "bigquery", "redshift", "trino"}


def dialect_of(manifest: dict[str, Any]) -> str:
    """sqlglot's name for the manifest's adapter; DuckDB's dialect for adapters that it does not know."""
    adapter = (manifest.get("metadata") or {}).get("adapter_type") or "duckdb"
    return adapter if adapter in DIALECTS else "duckdb"


def ancestors(manifest: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The models, seeds, snapshots and sources that a node reads, directly or not, sorted by id."""
    found: dict[str, dict[str, Any]] = {}
    open_ids = list((node.get("depends_on") or {}).get("nodes") or [])
    while open_ids:
        unique_id = open_ids.pop()
        parent = manifest.get("nodes", {}).get(unique_id) or manifest.get("sources", {}).get(unique_id)
        if parent and unique_id not in found:
            found[unique_id] = parent
            open_ids += (parent.get("depends_on") or {}).get("nodes") or []
    return [found[unique_id] for unique_id in sorted(found)]


def upstream_of(manifest: dict[str, Any], node: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """(model, definition hash) of every ancestor model; a change there is a notice, not a change of this definition."""
    dialect = dialect_of(manifest)
    models = [p for p in ancestors(manifest, node) if p.get("resource_type") == "model"]
    return tuple((p["name"], definition_hash(p.get("compiled_code") or p.get("raw_code") or "", dialect)) for p in models)


def declared_types(manifest: dict[str, Any], node: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Table name, as compiled SQL spells it -> column -> SQL type, for every ancestor of a node.

    A type is the declared one, else what follows from the ancestor's own compiled SQL; columns of unknown type are left out.
    """
    out: dict[str, dict[str, str]] = {}
    above = ancestors(manifest, node)
    for parent in sorted(above, key=lambda p: len(ancestors(manifest, p))):   # inputs before what is built from them
        table = str(parent.get("identifier") or parent.get("alias") or parent["name"]).lower()
        types = output_types(parent.get("compiled_code") or "", dialect_of(manifest), out)
        types |= {c["name"].lower(): c["data_type"] for c in (parent.get("columns") or {}).values() if c.get("data_type")}
        if types:
            out[table] = types
    return out
