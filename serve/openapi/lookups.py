"""Lookups in the document."""

from __future__ import annotations

from skewless.serve import examples
from skewless.serve.openapi.build import Json, body, mapping, obj, operation, path_parameter
from skewless.serve.requests import ENTITIES_MAX, FEATURES_MAX

FORMAT_TEXT = "compact: names once, values and statuses as arrays in their order."
INT64_TEXT = "int64 values as strings, for readers whose numbers end at 2^53."
REFUSALS = ["400", "404", "410", "413", "422"]


def view_lookup() -> Json:
    """GET /feature-views/{id}/online-features."""
    lookup = operation("lookUpFeatureView", "Features of one entity of one view", reply_of("ViewReply"), REFUSALS,
                       examples.VIEW_REPLY, tag="lookups")
    lookup["parameters"] = [
        {"name": "format", "in": "query", "required": False, "schema": form(), "description": FORMAT_TEXT},
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
    return {"get": lookup, "parameters": [view_id()]}


def lookup_paths() -> Json:
    """Every lookup."""
    one = operation("lookUp", "Features of a service or of many views, one entity or several at once by their join keys",
                     reply_of("Reply"), REFUSALS, examples.REPLY, tag="lookups")
    one["requestBody"] = body("OnlineRequest", examples.REQUEST)
    batch = operation("lookUpBatch", f"The same for a list of up to {ENTITIES_MAX} entities, in its order and as of one instant",
                       reply_of("BatchReply"), REFUSALS, {"results": [examples.REPLY]}, tag="lookups")
    batch["requestBody"] = body("BatchRequest", examples.BATCH_REQUEST)
    return {"/feature-views/{id}/online-features": view_lookup(), "/online-features": {"post": one},
            "/online-features/batch": {"post": batch}, "/get-online-features": {"post": _feast()}}


def _feast() -> Json:
    out = operation("getOnlineFeatures", "The same in Feast's shape, for callers that move over", "FeastReply", REFUSALS,
                    examples.FEAST_REPLY, tag="lookups")
    out["requestBody"] = body("FeastRequest", examples.FEAST_REQUEST)
    return out


def _feast_schemas() -> Json:
    names: Json = {"type": "array", "items": {"type": "string"}}
    values: Json = {"type": "array", "maxItems": ENTITIES_MAX, "items": {"type": ["string", "integer", "boolean", "null"]}}
    request: Json = {
        "type": "object", "required": ["entities"], "additionalProperties": False,
        "oneOf": [{"required": ["feature_service"]}, {"required": ["features"]}],
        "properties": {
            "entities": {"type": "object", "additionalProperties": values, "minProperties": 1,
                         "description": "Join key -> one value an entity; all lists have one length."},
            "features": {**names, "minItems": 1, "maxItems": FEATURES_MAX, "description": "view:feature, view@v2:feature."},
            "feature_service": {"type": "string"}, "full_feature_names": {"type": "boolean", "default": False},
            "include_feature_view_version_metadata": {"type": "boolean", "default": False},
        },
    }
    statuses: Json = {"type": "array", "items": {"enum": ["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]}}
    result = obj({"values": {"type": "array"}, "statuses": statuses, "event_timestamps": names})
    reply = obj({"results": {"type": "array", "items": result}, "metadata": obj({"feature_names": names})})
    return {"FeastRequest": request, "FeastReply": reply}


def reply_of(schema: str) -> Json:
    """A lookup's reply, in either form."""
    return {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"$ref": f"#/components/schemas/Compact{schema}"}]}


def form() -> Json:
    return {"enum": ["full", "compact"], "default": "full"}


def view_id() -> Json:
    """`{id}` of a feature view."""
    return path_parameter("id", "carrier_delays@1", "A view's name (its latest version), name@version, or a UUID.")


def lookup_schemas() -> Json:
    """What lookups take and give."""
    return {**request_schemas(), **reply_schemas(), **_feast_schemas()}


def request_schemas() -> Json:
    entity = {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]},
              "description": "Join key -> value. Keys of views that are not asked for are ignored; null makes its views missing."}
    which = {
        "feature_service": {"type": "string", "description": "A feature service. Exclusive with features."},
        "features": {"type": "array", "minItems": 1, "maxItems": FEATURES_MAX, "items": {"type": "string"},
                     "description": "References: view, view@2, view@2:feature, view@2:feature as name."},
        "full_names": {"type": "boolean", "default": False, "description": "Call features view__feature."},
        "format": {**form(), "description": FORMAT_TEXT},
        "int64_as_string": {"type": "boolean", "default": False, "description": INT64_TEXT},
    }
    one_of = [{"required": ["feature_service"]}, {"required": ["features"]}]
    base: Json = {"type": "object", "required": ["entities"], "additionalProperties": False, "oneOf": one_of}
    many = {"type": "array", "maxItems": ENTITIES_MAX, "items": entity}
    return {"OnlineRequest": {**base, "properties": {**which, "entities": entity}},
            "BatchRequest": {**base, "properties": {**which, "entities": many}}}


def reply_schemas() -> Json:
    features = {"type": "object", "additionalProperties": True,
                "description": "Output name -> value. Decimals, dates, timestamps, bytes, NaN and infinities are strings."}
    instant = {"type": ["string", "null"], "format": "date-time"}
    metadata: Json = obj({
        "freshness_ms": mapping({"type": ["integer", "null"], "minimum": 0},
                             "View -> age of the row that is there, expired or not."),
        "status": mapping(status(), "Feature -> status."),
        "detail": mapping({"enum": ["expired"]}, "Feature -> why it is missing, where a row older than ttl is still there."),
        "event_timestamp": mapping(instant, "View -> event time of the row that is there."),
        "version": mapping({"type": "integer"}, "View -> version."),
    }, also={"deprecation": deprecation(), "cache": mapping(_source(), "View -> where its row came from.")})
    metadata["description"] = "Views go by name, or by name@version where a request asks for two versions of one."
    reply = obj({"features": features, "metadata": {"$ref": "#/components/schemas/Metadata"}})
    view_reply = obj({
        "entity_id": {"description": "The join key's value; an object where there are several.",
                      "type": ["string", "integer", "boolean", "object"]},
        "features": features, "event_timestamp": instant, "metadata": {"$ref": "#/components/schemas/Metadata"},
    })
    batch = obj({"results": {"type": "array", "items": {"$ref": "#/components/schemas/Reply"}}})
    entity_id = view_reply["properties"]["entity_id"]
    text = {"type": "string"}
    problem = obj({"type": text, "title": text, "status": {"type": "integer"}, "detail": text, "code": text}, also={
        "hint": text, "features": {"type": "array", "items": text}, "job_id": text,
        "findings": {"type": "array", "items": {"type": "object"}},
    })
    return {"Metadata": metadata, "Reply": reply, "ViewReply": view_reply, "BatchReply": batch, "Problem": problem,
            **compact_schemas(instant, entity_id)}


def compact_schemas(instant: Json, entity_id: Json) -> Json:
    """Arrays whose items are in the order of `names` (values, status) or of `views` (the others)."""
    def array(of: Json) -> Json:
        return {"type": "array", "items": of}

    head = {"names": array({"type": "string"}), "views": array({"type": "string"}), "version": array({"type": "integer"})}
    answer: Json = {
        "values": array({}), "status": array(status()),
        "freshness_ms": array({"type": ["integer", "null"], "minimum": 0}), "event_timestamp": array(instant),
    }
    also = {"detail": mapping({"enum": ["expired"]}, "Feature -> why it is missing; only where there is one.")}
    also["cache"] = array(_source())
    old = {"deprecation": deprecation()}
    return {
        "CompactReply": obj({**head, **answer}, also={**also, **old}),
        "CompactViewReply": obj({"entity_id": entity_id, **head, **answer}, also={**also, **old}),
        "CompactBatchReply": obj({**head, "results": array(obj(answer, also=also))}, also=old),
    }


def status() -> Json:
    return {"enum": ["ok", "null", "missing", "stale"]}


def _source() -> Json:
    return {"enum": ["l1", "redis", "offline"]}


def deprecation() -> Json:
    instant = {"type": ["string", "null"], "format": "date-time"}
    return mapping(obj({"deprecated_at": instant, "sunset_at": instant}), "Deprecated view -> since when, and its end.")
