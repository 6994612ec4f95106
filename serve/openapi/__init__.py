"""The OpenAPI 3.1 document of the routes in app.py."""

from __future__ import annotations

from functools import cache

from skewless import __version__
from skewless.serve import examples
from skewless.serve.openapi.build import PROBLEM, Json, ref
from skewless.serve.openapi.lookups import lookup_paths, lookup_schemas
from skewless.serve.openapi.views import catalogue_schemas, operations_paths, view_paths
from skewless.serve.openapi.work import work_paths, work_schemas

TAGS = {
    "lookups": "Values, by entity.", "definitions": "What there is to ask for.", "jobs": "Long work.",
    "training sets": "Features as of each label.", "operations": "The server itself.",
}


@cache
def document() -> Json:
    """The whole document. The same object every time: do not change it."""
    paths: Json = {}
    for part in (lookup_paths(), view_paths(), work_paths(), operations_paths()):
        for path, item in part.items():
            paths[path] = {**paths.get(path, {}), **item}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "skewless", "version": __version__,
            "description": "Features of dbt models, looked up by entity. NULL, an unknown entity and an expired row are data "
            "with a status, not errors. On loopback nobody is asked for a token, unless the server was told to.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**lookup_schemas(), **catalogue_schemas(), **work_schemas()}, "responses": responses(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "skewless token create"}},
        },
    }


def responses() -> Json:
    """Refusals: problem JSON (RFC 9457) with one of our codes."""
    texts = {
        "400": "The request does not fit: shape, parameters, join keys or their types",
        "401": "A token is needed, or the one that came is not in force",
        "403": "The token's scope does not allow this, or this server does not",
        "404": "There is no such view, service, feature, job, training set or path",
        "409": "The state of the view or job does not allow this now; `job_id` names the job in the way",
        "410": "The version is past its sunset",
        "413": "The request is too large",
        "415": "The body is not announced as JSON",
        "422": "Features are missing or stale whose view refuses that (`features` names them), or an idempotency key was used",
        "501": "This server has no registry",
        "503": "No snapshot is published, or the online store does not answer; Retry-After says when to ask again",
        "default": "Any other refusal",
    }
    content = {PROBLEM: {"schema": ref("Problem")}}
    out: Json = {status: {"description": text, "content": content} for status, text in texts.items()}
    out["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    out["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer, or Basic for pages."}}
    out["422"]["content"] = {PROBLEM: {"schema": ref("Problem"), "example": examples.PROBLEM}}
    return out
