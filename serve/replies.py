"""Replies of the lookup routes."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from skewless.clock import format_instant
from skewless.lookup import Answer, Plan

MEDIA_TYPE = "application/json"


def json_reply(value: Any, headers: dict[str, str] | None = None) -> Response:
    """A JSON document. Numbers keep their digits: int64 exact, doubles by the shortest text that reads back."""
    return Response(orjson.dumps(value), 200, headers, MEDIA_TYPE)


def view_json(plan: Plan, entities: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """One view, one entity (typed join keys). `entity_id` is the key's value, or an object where the key has several parts."""
    keys = plan.views[0].view.key_names
    event_us = answer.event_us[plan.views[0].label]
    return {
        "entity_id": entities[keys[0]] if len(keys) == 1 else {k: entities[k] for k in keys},
        "features": answer.features,
        "event_timestamp": None if event_us is None else format_instant(event_us),
        "metadata": answer.metadata(),
    }
