"""Errors over HTTP: RFC 9457 problem JSON with the SK code, and nothing of the inside."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skewless.error_codes import CODES
from skewless.errors import Findings, SkewlessError
from skewless.lookup import RefusedFeatures
from skewless.serve.requestid import request_id

log = logging.getLogger("skewless.serve")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

# Codes that do not answer 400. The rest of SK1xx, SK3xx and SK4xx is the caller's to mend.
STATUS = {
    "SK401": 401, "SK403": 403, "SK404": 404, "SK405": 405, "SK408": 408, "SK409": 409, "SK410": 410, "SK413": 413, "SK415": 415,
    "SK421": 421, "SK422": 422, "SK423": 422, "SK431": 431, "SK456": 501, "SK457": 403, "SK464": 409, "SK466": 422, "SK505": 409,
    "SK250": 503, "SK251": 503, "SK255": 503, "SK600": 503, "SK453": 503, "SK454": 503, "SK455": 503, "SK458": 503,
}
INSIDE = ("SK255", "SK600")     # their details name hosts and drivers
CHALLENGE = 'Bearer realm="skewless", Basic realm="skewless", charset="UTF-8"'
_OF_HTTP = {404: "SK404", 405: "SK405", 413: "SK413"}


def status_of(error: SkewlessError) -> int:
    """The HTTP status of an error: 400 for what the caller can mend, 500 for anything not meant for a caller."""
    if error.code in STATUS:
        return STATUS[error.code]
    if isinstance(error, Findings):
        return 400
    return 400 if error.code.startswith(("SK1", "SK3", "SK4")) else 500


class Problem(Response):
    """A refusal as a reply: carries the request's id, and tells the log what a 500 keeps from the caller."""

    def __init__(self, body: dict[str, Any], status: int, headers: dict[str, str], untold: str) -> None:
        super().__init__(_dump(body), status, headers, MEDIA_TYPE)
        self.untold = untold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        id_ = request_id(scope)
        self.headers["X-Request-Id"] = id_
        if self.untold:
            log.error("request %s: %s", id_, self.untold)
        await super().__call__(scope, receive, send)


def problem(error: SkewlessError) -> Problem:
    """The reply for a SkewlessError. 5xx other than 503 say no more than the code."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:skewless:error:{error.code}", "title": CODES[error.code], "status": status,
        "detail": f"{error.fact}. {error.detail}".removesuffix(" ") if error.detail else error.fact,
        "code": error.code,
    }
    if error.hint:
        body["hint"] = error.hint
    if isinstance(error, RefusedFeatures):
        body["features"] = error.features
    if isinstance(error, Findings):
        body["findings"] = [one.as_dict() for one in error.findings]
    if hasattr(error, "job_id"):
        body["job_id"] = error.job_id
    untold = ""
    if status == 500 or error.code in INSIDE:
        untold = str(error)
        body["detail"] = "The server's log says more."
        body.pop("hint", None)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    return Problem(body, status, headers, untold)


async def on_skewless_error(_: Request, error: Exception) -> Response:
    """Starlette's handler for SkewlessError."""
    assert isinstance(error, SkewlessError)
    return problem(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405 and so on) in the same form; its headers (Allow) are kept."""
    assert isinstance(error, HTTPException)
    code = _OF_HTTP.get(error.status_code, "SK400")
    path = request.url.path[:200]
    facts = {
        "SK404": (f'path "{path}" does not exist', "GET /openapi.json lists the paths."),
        "SK405": (f'path "{path}" does not take {request.method[:20]}', "The Allow header lists what it takes."),
    }
    fact, hint = facts.get(code, (HTTPStatus(error.status_code).phrase.lower(), ""))
    response = problem(SkewlessError(code, fact, hint=hint))
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response


async def on_crash(_: Request, error: Exception) -> Response:
    """The last resort. Starlette raises the error again afterwards, so the server's log has it."""
    return problem(SkewlessError("SK900", type(error).__name__))


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:   # text that is not UTF-8 came in through the path
        return orjson.dumps({key: _plain(value) for key, value in body.items()})


def _plain(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
