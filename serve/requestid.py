"""The id of a request: the caller's `X-Request-Id` where it is plain, else a random one. Kept in the request's scope."""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping
from typing import Any

NAME = b"x-request-id"
_KEY = "skewless.request_id"
_PLAIN = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def request_id(scope: Any) -> str:
    """The request's id, the same every time it is asked for."""
    found: str | None = scope.get(_KEY)
    if found is None:
        given = next((value for name, value in scope["headers"] if name == NAME), b"")
        found = given.decode() if _PLAIN.fullmatch(given) else secrets.token_hex(8)
        if isinstance(scope, MutableMapping):
            scope[_KEY] = found
    return found
