"""What there is to ask for: feature views as JSON, and the catalogue page with its JSON twin."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

import orjson
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from skewless.clock import format_duration, format_instant
from skewless.errors import SkewlessError
from skewless.registry.model import Registry, Service, View, object_id, parse_ref, select
from skewless.serve.live import Live
from skewless.serve.replies import json_reply

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def view_id(project: str, view: View) -> str:
    """The UUID of one version of a view: the same as in the registry."""
    return object_id(project, "version", view.ref)


def find_view(registry: Registry, text: str) -> View:
    """The view that `name`, `name@version` or a UUID names. Raises SK404."""
    if len(text) == 36 and text.count("-") == 4:
        wanted = text.lower()
        for view in reversed(registry.views):
            if wanted in (view_id(registry.project, view), object_id(registry.project, "view", view.name)):
                return view
        raise SkewlessError("SK404", f'feature view "{text}" does not exist', hint="GET /feature-views lists them.")
    try:
        ref = parse_ref(text)
    except SkewlessError:
        ref = None
    if ref is None or ref.feature:
        raise SkewlessError("SK404", f'feature view "{text[:80]}" does not exist', hint="GET /feature-views lists them.")
    return registry.view(ref.view, ref.version)


def view_document(project: str, view: View) -> dict[str, Any]:
    """One version of a view as JSON. Durations are texts like `7d`."""
    def duration(us: int | None) -> str | None:
        return None if us is None else format_duration(us)

    return {
        "id": view_id(project, view), "name": view.name, "version": view.version, "ref": view.ref,
        "description": view.description, "owner": view.owner, "entity": view.entity,
        "join_keys": [{"name": k.name, "type": k.type} for k in view.join_keys],
        "features": [
            {"name": f.name, "type": f.type, "default": f.default, "description": f.description, "ttl": duration(f.ttl_us)}
            for f in view.features
        ],
        "ttl": duration(view.ttl_us), "online": view.online, "streamed": view.streamed, "missing": view.missing,
        "stale": view.stale, "active_within": duration(view.active_within_us), "cold_path": view.cold_path,
        "cache": duration(view.cache_us), "model": view.file,
        "freshness_sla": {"warn_after": duration(view.warn_after_us), "error_after": duration(view.error_after_us)},
        "deprecated_at": None if view.deprecated_at_us is None else format_instant(view.deprecated_at_us),
        "sunset_at": None if view.sunset_at_us is None else format_instant(view.sunset_at_us),
        "schema_fingerprint": view.schema.fingerprint,
    }


def service_document(registry: Registry, service: Service) -> dict[str, Any]:
    """One feature service as JSON: its references, the join keys it needs, the names it answers."""
    selected = select(registry, service.features, full_names=service.full_names)
    keys = {k.name: k.type for item in selected for k in item.view.join_keys}
    return {
        "id": object_id(registry.project, "service", service.name), "name": service.name,
        "description": service.description, "owner": service.owner, "references": [str(ref) for ref in service.features],
        "join_keys": [{"name": name, "type": type_} for name, type_ in keys.items()],
        "features": [item.name for item in selected],
    }


def catalogue(registry: Registry, snapshot_id: str) -> dict[str, Any]:
    """Everything on the catalogue page. `latest` is true for the newest version of each view."""
    latest = {view.name: view.version for view in registry.views}       # they are in order of their versions
    return {
        "project": registry.project, "target": registry.target, "snapshot": snapshot_id,
        "entities": [
            {"name": e.name, "description": e.description, "join_keys": [{"name": k.name, "type": k.type} for k in e.join_keys]}
            for e in registry.entities
        ],
        "feature_views": [
            {**view_document(registry.project, view), "latest": latest[view.name] == view.version} for view in registry.views
        ],
        "feature_services": [service_document(registry, service) for service in registry.services],
    }


async def list_views(request: Request) -> Response:
    """GET /feature-views."""
    registry = request.app.state.live.current().registry
    return json_reply({"feature_views": [view_document(registry.project, view) for view in registry.views]})


async def read_view(request: Request) -> Response:
    """GET /feature-views/{id}."""
    registry = request.app.state.live.current().registry
    return json_reply(view_document(registry.project, find_view(registry, request.path_params["id"])))


async def page(request: Request) -> Response:
    """GET /: the catalogue for people."""
    live: Live = request.app.state.live
    lookups = live.current()
    content = catalogue(lookups.registry, lookups.snapshot_id)
    base = str(request.base_url).rstrip("/")
    text = _template().render(content, quote=quote, base=base, example=example)
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})


def example(service: dict[str, Any]) -> str:
    """The body of a lookup of the service, with places for its keys."""
    return orjson.dumps({"feature_service": service["name"], "entities": {k["name"]: "…" for k in service["join_keys"]}}).decode()


def prose(text: str) -> Markup:
    """A description with its `code` marked as such; everything else is text."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:             # a single backtick is one
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


async def page_json(request: Request) -> Response:
    """GET /index.json: the catalogue for programs."""
    lookups = request.app.state.live.current()
    return json_reply(catalogue(lookups.registry, lookups.snapshot_id))


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("skewless.serve", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["prose"] = prose
    return environment.get_template("catalogue.html")
