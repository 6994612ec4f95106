"""The lookup routes: one view, many views or a service, a batch."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from skewless.clock import now_us
from skewless.errors import SkewlessError
from skewless.lookup import Lookups, Plan
from skewless.serve.catalogue import find_view
from skewless.serve.live import Live
from skewless.serve.replies import json_reply, view_json
from skewless.serve.requests import BatchRequest, OnlineRequest, Wanted, query_parameters, read_request


async def one_view(request: Request) -> Response:
    """GET /feature-views/{id}/online-features: one view, one entity."""
    live: Live = request.app.state.live
    lookups = live.current()
    asked = query_parameters(request)
    view = find_view(lookups.registry, request.path_params["id"])
    features = tuple(name.strip() for name in asked.pop("features", "").split(",") if name.strip())
    plan = lookups.view(view.name, view.version, features)
    if "entity_id" in asked and len(view.join_keys) == 1 and view.join_keys[0].name not in asked:
        asked[view.join_keys[0].name] = asked.pop("entity_id")
    _only_keys(plan, asked)
    rows = await live.read(plan.keys(asked))
    return json_reply(view_json(plan, plan.typed(asked), plan.answer(rows, now_us())))


async def online_features(request: Request) -> Response:
    """POST /online-features: the features of one entity, or of several at once through their join keys."""
    live: Live = request.app.state.live
    lookups = live.current()
    wanted = await read_request(request, OnlineRequest)
    plan = plan_of(lookups, wanted)
    rows = await live.read(plan.keys(wanted.entities))
    return json_reply(plan.answer(rows, now_us()).as_json())


async def batch(request: Request) -> Response:
    """POST /online-features/batch: the same for a list, in its order and as of one instant."""
    live: Live = request.app.state.live
    lookups = live.current()
    wanted = await read_request(request, BatchRequest)
    plan = plan_of(lookups, wanted)
    keys = [key for i, entities in enumerate(wanted.entities) for key in _at(i, plan.keys, entities)]
    rows = await live.read(keys)
    at_us, width = now_us(), len(plan.views)
    results = [
        _at(i, plan.answer, rows[i * width : (i + 1) * width], at_us).as_json() for i in range(len(wanted.entities))
    ]
    return json_reply({"results": results})


def plan_of(lookups: Lookups, wanted: Wanted) -> Plan:
    """The plan of a POST body."""
    if wanted.feature_service is not None:
        return lookups.service(wanted.feature_service)
    return lookups.references(tuple(wanted.features or ()), wanted.full_names)


def _only_keys(plan: Plan, asked: dict[str, str]) -> None:
    unknown = [name for name in asked if name not in plan.join_keys]
    if unknown:
        allowed = ["features", *plan.join_keys] + (["entity_id"] if len(plan.join_keys) == 1 else [])
        raise SkewlessError(
            "SK400", f'parameter "{unknown[0][:80]}" is not known here', hint="Parameters: " + ", ".join(allowed) + "."
        )


def _at(index: int, call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except SkewlessError as error:
        error.fact = f"entities[{index}]: {error.fact}"
        raise
