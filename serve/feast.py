"""POST /get-online-features: Feast's request and reply, for callers that move over. Meanings are ours.

Statuses: ok and stale are PRESENT, null is NULL_VALUE, missing is OUTSIDE_MAX_AGE where a row older than ttl is there, else
NOT_FOUND.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from skewless.clock import format_instant, now_us
from skewless.errors import SkewlessError
from skewless.lookup import EXPIRED, MISSING, NULL, Answer, Lookups, Plan
from skewless.serve.hot import Hot
from skewless.serve.jobs import body_of
from skewless.serve.replies import json_reply
from skewless.serve.requests import DOCS_HINT, check_batch, check_references

NEVER = "1970-01-01T00:00:00Z"
_VERSION = re.compile(r"@v(?=\d)")


class FeastRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Columns of join keys, all of one length."""

    entities: dict[str, list[Any]]
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False     # versions are in our own replies


async def get_online_features(request: Request) -> Response:
    """POST /get-online-features."""
    wanted: FeastRequest = await body_of(request, FeastRequest)
    if (wanted.feature_service is None) == (not wanted.features):
        raise SkewlessError("SK400", 'a request names "feature_service" or "features", one of the two', hint=DOCS_HINT)
    entities = rows_of(wanted.entities)
    hot: Hot = request.app.state.hot
    lookups: Lookups = hot.live.current()
    plan = plan_of(lookups, wanted)
    check_batch(len(entities), len(plan.views))
    found = await hot.read(plan, plan.keys_of(entities), entities)
    now, width = now_us(), len(plan.views)
    answers = [plan.answer(found.rows[i * width : (i + 1) * width], now) for i in range(len(entities))]
    return json_reply(reply_of(plan, entities, answers))


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Columns -> one mapping an entity. Raises SK400 for columns of several lengths."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise SkewlessError("SK400", "the lists of entities have no one length", hint=DOCS_HINT)
    return [{name: values[i] for name, values in columns.items()} for i in range(lengths.pop())]


def plan_of(lookups: Lookups, wanted: FeastRequest) -> Plan:
    """The plan of the request. `view@v2:feature` is view@2. Raises SK104, SK105, SK404, SK407."""
    if wanted.feature_service is not None and not wanted.full_feature_names:
        return lookups.service(wanted.feature_service)
    if wanted.feature_service is not None:
        refs = tuple(str(ref) for ref in lookups.registry.service(wanted.feature_service).features)
        return lookups.references(refs, True)
    check_references(wanted.features or [])
    return lookups.references(tuple(_VERSION.sub("@", text) for text in wanted.features or ()), wanted.full_feature_names)


def reply_of(plan: Plan, entities: list[dict[str, Any]], answers: list[Answer]) -> dict[str, Any]:
    """Column by column: join keys as they came, then features in the order asked for."""
    keys = list(entities[0]) if entities else list(plan.join_keys)
    view_of = {name: vp.label for vp in plan.views for name in vp.names}
    results = [
        {"values": [one[key] for one in entities], "statuses": ["PRESENT"] * len(entities),
         "event_timestamps": [NEVER] * len(entities)}
        for key in keys
    ]
    for name in plan.names:
        label = view_of[name]
        results.append({
            "values": [answer.features[name] for answer in answers],
            "statuses": [status_of(answer, name) for answer in answers],
            "event_timestamps": [_instant(answer.event_us[label]) for answer in answers],
        })
    return {"results": results, "metadata": {"feature_names": [*keys, *plan.names]}}


def status_of(answer: Answer, name: str) -> str:
    """Feast's word for ours."""
    status = answer.status[name]
    if status == MISSING:
        return "OUTSIDE_MAX_AGE" if answer.detail.get(name) == EXPIRED else "NOT_FOUND"
    return "NULL_VALUE" if status == NULL else "PRESENT"


def _instant(at_us: int | None) -> str:
    return NEVER if at_us is None else format_instant(at_us)
