"""The OpenAPI 3.1 document of the routes in app.py."""

from __future__ import annotations

from functools import cache
from typing import Any

from skewless import __version__
from skewless.serve import examples
from skewless.serve.requests import ENTITIES_MAX, FEATURES_MAX

Json = dict[str, Any]
PROBLEM = "application/problem+json"
FORMAT_TEXT = "compact: names once, values and statuses as arrays in their order."
INT64_TEXT = "int64 values as strings, for readers whose numbers end at 2^53."
REFUSALS = ["400", "404", "410", "413", "422"]


@cache
def document() -> Json:
    """The whole document. The same object every time: do not change it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "skewless", "version": __version__,
            "description": "Features of dbt models, looked up by entity. NULL, an unknown entity and an expired row are data "
            "with a status, not errors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_view_paths(), **_lookup_paths(), **_operations_paths()},
        "components": {"schemas": _schemas(), "responses": _responses()},
    }


def _view_paths() -> Json:
    one = _operation("readFeatureView", "One feature view", "FeatureView", ["404"], examples.VIEW)
    lookup = _operation("lookUpFeatureView", "Features of one entity of one view", "ViewReply", REFUSALS, examples.VIEW_REPLY)
    lookup["parameters"] = [
        {"name": "format", "in": "query", "required": False, "schema": _format(), "description": FORMAT_TEXT},
        {"name": "int64_as_string", "in": "query", "required": False, "schema": {"type": "boolean", "default": False},
         "description": INT64_TEXT},
        {"name": "entity_id", "in": "query", "required": False, "schema": {"type": "string"}, "example": "UA",
         "description": "The join key's value, where the view has one join key."},
        {"name": "features", "in": "query", "required": False, "schema": {"type": "string"}, "example": "carrier_landings_24h",
         "description": "Names of features, separated by commas. Default: all."},
        {"name": "join_keys", "in": "query", "required": False, "style": "form", "explode": True,
         "schema": {"type": "object", "additionalProperties": {"type": "string"}}, "example": {"origin": "EWR", "dest": "IAH"},
         "description": "One parameter per join key, by the key's name; the only way for a view with several."},
    ]
    every = _operation("listFeatureViews", "Every version of every feature view", "FeatureViewList", [],
                       {"feature_views": [examples.VIEW]})
    return {
        "/feature-views": {"get": every},
        "/feature-views/{id}": {"get": one, "parameters": [_id()]},
        "/feature-views/{id}/online-features": {"get": lookup, "parameters": [_id()]},
    }


def _lookup_paths() -> Json:
    one = _operation("lookUp", "Features of a service or of many views, one entity or several at once by their join keys",
                     "Reply", REFUSALS, examples.REPLY)
    one["requestBody"] = _body("OnlineRequest", examples.REQUEST)
    batch = _operation("lookUpBatch", f"The same for a list of up to {ENTITIES_MAX} entities, in its order and as of one instant",
                       "BatchReply", REFUSALS, {"results": [examples.REPLY]})
    batch["requestBody"] = _body("BatchRequest", examples.BATCH_REQUEST)
    return {"/online-features": {"post": one}, "/online-features/batch": {"post": batch}}


def _operations_paths() -> Json:
    health = _operation("health", "The process runs", "Health", [], {"status": "ok"}, snapshot=False)
    ready = _operation("ready", "The snapshot is loaded and the online store answers", "Ready", [],
                       {"status": "ready", "snapshot": "0f3a9c1d5e7b2468"})
    this = _operation("openapi", "This document", "Document", [], None, snapshot=False)
    twin = _operation("catalogueJson", "The catalogue", "Catalogue", [], None)
    page = _operation("catalogue", "The catalogue as a page", "Catalogue", [], None)
    page["responses"]["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    return {"/healthz": {"get": health}, "/readyz": {"get": ready}, "/openapi.json": {"get": this}, "/index.json": {"get": twin},
            "/": {"get": page}}


def _reply_of(schema: str) -> Json:
    """A lookup's reply, in either form."""
    return {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"$ref": f"#/components/schemas/Compact{schema}"}]}


def _operation(name: str, summary: str, schema: str, refusals: list[str], example: Any, *, snapshot: bool = True) -> Json:
    content: Json = {"schema": _reply_of(schema) if name.startswith("lookUp") else {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    responses: Json = {"200": {"description": summary, "content": {"application/json": content}}}
    for status in [*refusals, *(["503"] if snapshot else [])]:
        responses[status] = {"$ref": f"#/components/responses/{status}"}
    responses["default"] = {"$ref": "#/components/responses/default"}
    return {"operationId": name, "summary": summary, "responses": responses}


def _body(schema: str, example: Any) -> Json:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"required": True, "content": {"application/json": content}}


def _format() -> Json:
    return {"enum": ["full", "compact"], "default": "full"}


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "example": "carrier_delays@1",
            "description": "A view's name (its latest version), name@version, or a UUID."}


def _responses() -> Json:
    texts = {
        "400": "The request does not fit: shape, parameters, join keys or their types",
        "404": "There is no such view, service, feature or path",
        "410": "The version is past its sunset",
        "413": "The request is too large",
        "422": "Features are missing whose view says missing: error; `features` names them",
        "503": "No snapshot is published, or the online store does not answer; Retry-After says when to ask again",
        "default": "Any other refusal",
    }
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    out: Json = {status: {"description": text, "content": content} for status, text in texts.items()}
    out["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    out["422"]["content"] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": examples.PROBLEM}}
    return out


def _schemas() -> Json:
    return {**_request_schemas(), **_reply_schemas(), **_catalogue_schemas()}


def _request_schemas() -> Json:
    entity = {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]},
              "description": "Join key -> value. Keys of views that are not asked for are ignored; null makes its views missing."}
    which = {
        "feature_service": {"type": "string", "description": "A feature service. Exclusive with features."},
        "features": {"type": "array", "minItems": 1, "maxItems": FEATURES_MAX, "items": {"type": "string"},
                     "description": "References: view, view@2, view@2:feature, view@2:feature as name."},
        "full_names": {"type": "boolean", "default": False, "description": "Call features view__feature."},
        "format": {**_format(), "description": FORMAT_TEXT},
        "int64_as_string": {"type": "boolean", "default": False, "description": INT64_TEXT},
    }
    one_of = [{"required": ["feature_service"]}, {"required": ["features"]}]
    base: Json = {"type": "object", "required": ["entities"], "additionalProperties": False, "oneOf": one_of}
    many = {"type": "array", "maxItems": ENTITIES_MAX, "items": entity}
    return {"OnlineRequest": {**base, "properties": {**which, "entities": entity}},
            "BatchRequest": {**base, "properties": {**which, "entities": many}}}


def _reply_schemas() -> Json:
    features = {"type": "object", "additionalProperties": True,
                "description": "Output name -> value. Decimals, dates, timestamps, bytes, NaN and infinities are strings."}
    instant = {"type": ["string", "null"], "format": "date-time"}
    metadata: Json = _object({
        "freshness_ms": _map({"type": ["integer", "null"], "minimum": 0},
                             "View -> age of the row that is there, expired or not."),
        "status": _map(_status(), "Feature -> status."),
        "detail": _map({"enum": ["expired"]}, "Feature -> why it is missing, where a row older than ttl is still there."),
        "event_timestamp": _map(instant, "View -> event time of the row that is there."),
        "version": _map({"type": "integer"}, "View -> version."),
    }, also={"deprecation": _deprecation()})
    metadata["description"] = "Views go by name, or by name@version where a request asks for two versions of one."
    reply = _object({"features": features, "metadata": {"$ref": "#/components/schemas/Metadata"}})
    view_reply = _object({
        "entity_id": {"description": "The join key's value; an object where there are several.",
                      "type": ["string", "integer", "boolean", "object"]},
        "features": features, "event_timestamp": instant, "metadata": {"$ref": "#/components/schemas/Metadata"},
    })
    batch = _object({"results": {"type": "array", "items": {"$ref": "#/components/schemas/Reply"}}})
    entity_id = view_reply["properties"]["entity_id"]
    text = {"type": "string"}
    problem = _object({"type": text, "title": text, "status": {"type": "integer"}, "detail": text, "code": text}, also={
        "hint": text, "features": {"type": "array", "items": text},
    })
    return {"Metadata": metadata, "Reply": reply, "ViewReply": view_reply, "BatchReply": batch, "Problem": problem,
            **_compact_schemas(instant, entity_id)}


def _compact_schemas(instant: Json, entity_id: Json) -> Json:
    """Arrays whose items are in the order of `names` (values, status) or of `views` (the others)."""
    def array(of: Json) -> Json:
        return {"type": "array", "items": of}

    head = {"names": array({"type": "string"}), "views": array({"type": "string"}), "version": array({"type": "integer"})}
    answer: Json = {
        "values": array({}), "status": array(_status()),
        "freshness_ms": array({"type": ["integer", "null"], "minimum": 0}), "event_timestamp": array(instant),
    }
    also = {"detail": _map({"enum": ["expired"]}, "Feature -> why it is missing; only where there is one.")}
    deprecation = {"deprecation": _deprecation()}
    return {
        "CompactReply": _object({**head, **answer}, also={**also, **deprecation}),
        "CompactViewReply": _object({"entity_id": entity_id, **head, **answer}, also={**also, **deprecation}),
        "CompactBatchReply": _object({**head, "results": array(_object(answer, also=also))}, also=deprecation),
    }


def _status() -> Json:
    return {"enum": ["ok", "null", "missing", "stale"]}


def _deprecation() -> Json:
    instant = {"type": ["string", "null"], "format": "date-time"}
    return _map(_object({"deprecated_at": instant, "sunset_at": instant}), "Deprecated view -> since when, and its end.")


def _catalogue_schemas() -> Json:
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    keys = {"type": "array", "items": _object({"name": text, "type": text})}
    feature = _object({"name": text, "type": text, "default": {}, "description": text, "ttl": maybe})
    view = _object({
        "id": {"type": "string", "format": "uuid"}, "name": text, "version": {"type": "integer"}, "ref": text,
        "description": text, "owner": text, "entity": text, "join_keys": keys, "features": {"type": "array", "items": feature},
        "ttl": maybe,
        "online": {"type": "boolean"}, "missing": {"enum": ["default", "null", "error"]},
        "freshness_sla": _object({"warn_after": maybe, "error_after": maybe}), "deprecated_at": maybe, "sunset_at": maybe,
        "schema_fingerprint": text,
    })
    views = {"type": "array", "items": {"$ref": "#/components/schemas/FeatureView"}}
    names = {"type": "array", "items": text}
    service = _object({"id": {"type": "string", "format": "uuid"}, "name": text, "description": text, "owner": text,
                       "references": names, "join_keys": keys, "features": names})
    entities = {"type": "array", "items": _object({"name": text, "description": text, "join_keys": keys})}
    return {
        "FeatureView": view, "FeatureViewList": _object({"feature_views": views}),
        "Catalogue": _object({"project": text, "target": text, "snapshot": text, "entities": entities, "feature_views": views,
                              "feature_services": {"type": "array", "items": service}}),
        "Health": _object({"status": {"const": "ok"}}), "Ready": _object({"status": {"const": "ready"}, "snapshot": text}),
        "Document": {"type": "object"},
    }


def _object(properties: Json, also: Json | None = None) -> Json:
    return {"type": "object", "required": list(properties), "properties": {**properties, **(also or {})}}


def _map(of: Json, description: str) -> Json:
    return {"type": "object", "additionalProperties": of, "description": description}
