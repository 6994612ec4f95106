"""Replies of the routes that are not lookups."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/json"


def json_reply(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A JSON document. Numbers keep their digits: int64 exact, doubles by the shortest text that reads back."""
    return Response(orjson.dumps(value), status, headers, MEDIA_TYPE)
