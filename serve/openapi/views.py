"""Definitions, the catalogue and the server's own state in the document."""

from __future__ import annotations

from skewless.serve import examples
from skewless.serve.openapi.build import Json, body, obj, operation
from skewless.serve.openapi.lookups import view_id


def view_paths() -> Json:
    """Reading definitions."""
    one = operation("readFeatureView", "One feature view", "FeatureView", ["404"], examples.VIEW, tag="definitions")
    every = operation("listFeatureViews", "Every version of every feature view", "FeatureViewList", [],
                      {"feature_views": [examples.VIEW]}, tag="definitions")
    new = operation("registerFeatureView", "Write a feature view into the project, check, plan and apply it", "Registered",
                    ["400", "409", "413", "415", "501"], examples.REGISTERED, status="201", tag="definitions", scope="admin")
    new["requestBody"] = body("NewFeatureView", examples.NEW_VIEW)
    return {"/feature-views": {"get": every, "post": new}, "/feature-views/{id}": {"get": one, "parameters": [view_id()]}}


def operations_paths() -> Json:
    """The server itself, and the catalogue."""
    health = operation("health", "The process runs", "Health", [], {"status": "ok"}, snapshot=False, tag="operations", open_=True)
    ready = operation("ready", "The snapshot is loaded and the online store answers", "Ready", [],
                      {"status": "ready", "snapshot": "0f3a9c1d5e7b2468"}, tag="operations", open_=True)
    this = operation("openapi", "This document", "Document", [], snapshot=False, tag="operations")
    twin = operation("catalogueJson", "The catalogue", "Catalogue", [], tag="definitions")
    page = operation("catalogue", "The catalogue as a page", "Catalogue", [], tag="definitions")
    page["responses"]["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    metrics = operation("metrics", "Prometheus' text format, over all worker processes", "Document", [], snapshot=False,
                        tag="operations")
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {"/healthz": {"get": health}, "/readyz": {"get": ready}, "/metrics": {"get": metrics}, "/openapi.json": {"get": this},
            "/index.json": {"get": twin}, "/": {"get": page}}


def catalogue_schemas() -> Json:
    """Definitions and the catalogue."""
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    keys = {"type": "array", "items": obj({"name": text, "type": text})}
    feature = obj({"name": text, "type": text, "default": {}, "description": text, "ttl": maybe})
    view = obj({
        "id": {"type": "string", "format": "uuid"}, "name": text, "version": {"type": "integer"}, "ref": text,
        "description": text, "owner": text, "entity": text, "join_keys": keys, "features": {"type": "array", "items": feature},
        "ttl": maybe,
        "online": {"type": "boolean"}, "streamed": {"type": "boolean"}, "missing": {"enum": ["default", "null", "error"]},
        "stale": {"enum": ["serve", "default", "error"]}, "active_within": maybe, "cold_path": {"type": "boolean"},
        "cache": maybe, "model": {**text, "description": "The dbt model's file."},
        "freshness_sla": obj({"warn_after": maybe, "error_after": maybe}), "deprecated_at": maybe, "sunset_at": maybe,
        "schema_fingerprint": text,
    })
    views = {"type": "array", "items": {"$ref": "#/components/schemas/FeatureView"}}
    names = {"type": "array", "items": text}
    service = obj({"id": {"type": "string", "format": "uuid"}, "name": text, "description": text, "owner": text,
                       "references": names, "join_keys": keys, "features": names})
    entities = {"type": "array", "items": obj({"name": text, "description": text, "join_keys": keys})}
    return {
        **_registration_schemas(),
        "FeatureView": view, "FeatureViewList": obj({"feature_views": views}),
        "Catalogue": obj({"project": text, "target": text, "snapshot": text, "entities": entities, "feature_views": views,
                              "feature_services": {"type": "array", "items": service}}),
        "Health": obj({"status": {"const": "ok"}}), "Ready": obj({"status": {"const": "ready"}, "snapshot": text}),
        "Document": {"type": "object"},
    }


def _registration_schemas() -> Json:
    text: Json = {"type": "string"}
    column: Json = {
        "type": "object", "additionalProperties": False, "required": ["name", "data_type"],
        "properties": {"name": text, "data_type": text, "description": text, "default": {}, "ttl": {"type": ["string", "null"]},
                       "approximate": {"type": ["number", "null"]}},
    }
    entity: Json = {"anyOf": [text, {"type": "object"}], "description": "Its name, or {name, join_keys}."}
    new: Json = {
        "type": "object", "additionalProperties": False, "required": ["name", "entity", "sql", "columns"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}, "entity": entity,
            "sql": {"type": "string", "minLength": 1, "description": "The dbt model, Jinja included."},
            "columns": {"type": "array", "minItems": 1, "items": column}, "description": text,
            "settings": {"type": "object", "description": "Further keys of the skewless block: ttl, begin, missing."},
        },
    }
    names: Json = {"type": "array", "items": text}
    done = obj({"feature_view": {"$ref": "#/components/schemas/FeatureView"}, "files": names,
                "plan": obj({"id": text, "changes": names}), "snapshot": text})
    return {"NewFeatureView": new, "Registered": done}
