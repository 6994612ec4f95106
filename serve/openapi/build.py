"""What the document is put together from."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PROBLEM = "application/problem+json"


def operation(
    name: str, summary: str, schema: str | Json, refusals: list[str], example: Any = None, *, snapshot: bool = True,
    status: str = "200", tag: str = "", open_: bool = False, scope: str = "read",
) -> Json:
    """One operation. `schema` is a component's name, or a schema; `open_`: nobody needs a token."""
    content: Json = {"schema": ref(schema) if isinstance(schema, str) else schema}
    if example is not None:
        content["example"] = example
    answers: Json = {status: {"description": summary, "content": {"application/json": content}}}
    refusals = [*([] if open_ else ["401", "403"]), *refusals, *(["503"] if snapshot else [])]
    for one in sorted(set(refusals)):
        answers[one] = {"$ref": f"#/components/responses/{one}"}
    answers["default"] = {"$ref": "#/components/responses/default"}
    out: Json = {"operationId": name, "summary": summary, "tags": [tag] if tag else [], "responses": answers}
    if open_:
        out["security"] = []
    else:
        out["description"] = f"Scope: {scope}."
    return out


def ref(schema: str) -> Json:
    """A component's schema."""
    return {"$ref": f"#/components/schemas/{schema}"}


def body(schema: str, example: Any, *, required: bool = True) -> Json:
    """A request's body."""
    return {"required": required, "content": {"application/json": {"schema": ref(schema), "example": example}}}


def path_parameter(name: str, example: str, description: str) -> Json:
    """A part of the path."""
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example, "description": description}


def obj(properties: Json, also: Json | None = None) -> Json:
    """An object that always has `properties`, and may have `also`."""
    return {"type": "object", "required": list(properties), "properties": {**properties, **(also or {})}}


def mapping(of: Json, description: str) -> Json:
    """An object of any names."""
    return {"type": "object", "additionalProperties": of, "description": description}
