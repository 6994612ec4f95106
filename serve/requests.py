"""Reading requests: bodies of bounded size, typed shapes, query parameters. Every refusal is SK400, SK404 or SK413."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
import orjson
from starlette.requests import Request

from skewless.errors import SkewlessError

BODY_BYTES_MAX = 2 * 1024 * 1024
QUERY_BYTES_MAX = 16 * 1024
ENTITIES_MAX = 1_000
FEATURES_MAX = 2_000
DOCS_HINT = "GET /openapi.json describes the request."


class Wanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which features: exactly one of `feature_service` and `features`."""

    feature_service: str | None = None
    features: list[str] | None = None
    full_names: bool = False


class OnlineRequest(Wanted, forbid_unknown_fields=True, kw_only=True):
    """POST /online-features: join key -> value, for one entity or for several at once."""

    entities: dict[str, Any]


class BatchRequest(Wanted, forbid_unknown_fields=True, kw_only=True):
    """POST /online-features/batch: the same for a list, answered in its order."""

    entities: list[dict[str, Any]]


T = TypeVar("T", OnlineRequest, BatchRequest)


async def read_body(request: Request) -> bytes:
    """The request's body. Raises SK413 as soon as it is longer than BODY_BYTES_MAX, announced or not."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def too_large() -> SkewlessError:
    return SkewlessError("SK413", f"the body is longer than {BODY_BYTES_MAX} bytes", hint="Split the request.")


async def read_request(request: Request, shape: type[T]) -> T:
    """The typed body. Raises SK400 naming the place that does not fit, SK413."""
    body = await read_body(request)
    try:
        wanted = msgspec.convert(orjson.loads(body), shape)
    except orjson.JSONDecodeError as error:
        raise SkewlessError("SK400", f"the body is not JSON: {error}", hint=DOCS_HINT) from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise SkewlessError("SK400", f"the body does not fit: {str(error)[:300]}", hint=DOCS_HINT) from None
    if (wanted.feature_service is None) == (not wanted.features):
        raise SkewlessError("SK400", 'a request names "feature_service" or "features", one of the two', hint=DOCS_HINT)
    if len(wanted.features or ()) > FEATURES_MAX:
        raise SkewlessError("SK413", f"more than {FEATURES_MAX} references", hint="Name whole views, or a feature service.")
    if isinstance(wanted, BatchRequest) and len(wanted.entities) > ENTITIES_MAX:
        raise SkewlessError(
            "SK413", f"{len(wanted.entities)} entities in one batch, at most {ENTITIES_MAX}", hint="Split the request."
        )
    return wanted


def query_parameters(request: Request) -> dict[str, str]:
    """The query string's parameters, each given once. Raises SK400 for a repeated one and for what is not UTF-8."""
    raw = request.scope["query_string"]
    if len(raw) > QUERY_BYTES_MAX:
        raise SkewlessError("SK413", f"the query is longer than {QUERY_BYTES_MAX} bytes", hint="Use POST /online-features.")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1_000)
    except ValueError:
        raise SkewlessError("SK400", "the query string is not percent-encoded UTF-8", hint=DOCS_HINT) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise SkewlessError("SK400", f'parameter "{name[:80]}" is given twice', hint=DOCS_HINT)
        found[name] = value
    return found
