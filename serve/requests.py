"""Reading requests: bodies of bounded size, typed shapes, query parameters. Every refusal is SK400, SK404 or SK413."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from skewless.errors import SkewlessError

BODY_BYTES_MAX = 2 * 1024 * 1024
QUERY_BYTES_MAX = 16 * 1024
ENTITIES_MAX = 1_000
FEATURES_MAX = 2_000
REFERENCE_CHARS_MAX = 1_000
ROWS_MAX = 50_000
DOCS_HINT = "GET /openapi.json describes the request."
Receive = Callable[[], Awaitable[Any]]


class Gone(Exception):
    """The client hung up; there is nobody to answer."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which features, exactly one of `feature_service` and `features`, and the form of the reply."""

    feature_service: str | None = None
    features: list[str] | None = None
    full_names: bool = False
    format: Literal["full", "compact"] = "full"
    int64_as_string: bool = False


class OnlineRequest(Wanted, forbid_unknown_fields=True, kw_only=True):
    """POST /online-features: join key -> value, for one entity or for several at once."""

    entities: dict[str, Any]


class BatchRequest(Wanted, forbid_unknown_fields=True, kw_only=True):
    """POST /online-features/batch: the same for a list, answered in its order."""

    entities: list[dict[str, Any]]


class ViewRequest(NamedTuple):
    """GET /feature-views/{id}/online-features: texts by join key, names of features (none: all), the form of the reply."""

    entities: dict[str, str]
    features: tuple[str, ...]
    compact: bool
    int64_as_string: bool


T = TypeVar("T", OnlineRequest, BatchRequest)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {
    OnlineRequest: msgspec.json.Decoder(OnlineRequest), BatchRequest: msgspec.json.Decoder(BatchRequest),
}


async def read_body(scope: Mapping[str, Any], receive: Receive) -> bytes:
    """The request's body. Raises SK413 as soon as it is longer than BODY_BYTES_MAX, announced or not, and Gone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > BODY_BYTES_MAX:
            raise too_large()
        return body
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if announced.isdigit() and len(announced) < 20 and int(announced) > BODY_BYTES_MAX:
        raise too_large()
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_BYTES_MAX:
            raise too_large()
    return b"".join(chunks)


def too_large() -> SkewlessError:
    """SK413 for a body."""
    return SkewlessError("SK413", f"the body is longer than {BODY_BYTES_MAX} bytes", hint="Split the request.")


def parse_body(body: bytes, shape: type[T]) -> T:
    """The typed body. Raises SK400 naming the place that does not fit, SK413."""
    wanted: T = decode(body, _decoders[shape])
    if (wanted.feature_service is None) == (not wanted.features):
        raise SkewlessError("SK400", 'a request names "feature_service" or "features", one of the two', hint=DOCS_HINT)
    if wanted.features:
        check_references(wanted.features)
    return wanted


def decode(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The body in the decoder's shape. Raises SK400 naming the place that does not fit."""
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise SkewlessError("SK400", f"the body does not fit: {str(error)[:300]}", hint=DOCS_HINT) from None
    except ValueError as error:         # also UnicodeDecodeError
        raise SkewlessError("SK400", f"the body is not JSON: {str(error)[:300]}", hint=DOCS_HINT) from None


def check_references(features: list[str]) -> None:
    """Raises SK413 for more, or longer, references than a request may hold."""
    if len(features) > FEATURES_MAX:
        raise SkewlessError("SK413", f"more than {FEATURES_MAX} references", hint="Name whole views, or a feature service.")
    if max(map(len, features)) > REFERENCE_CHARS_MAX:
        raise SkewlessError("SK413", f"a reference is longer than {REFERENCE_CHARS_MAX} characters", hint=DOCS_HINT)


def check_batch(entities: int, views: int) -> None:
    """Raises SK413 for more entities, or more rows, than one batch may ask for."""
    if entities > ENTITIES_MAX:
        raise SkewlessError("SK413", f"{entities} entities in one batch, at most {ENTITIES_MAX}", hint="Split the request.")
    if entities * views > ROWS_MAX:
        fact = f"{entities} entities of {views} views are {entities * views} rows, at most {ROWS_MAX}"
        raise SkewlessError("SK413", fact, hint="Split the request.")


def query_parameters(raw: bytes) -> dict[str, str]:
    """The query string's parameters, each given once. Raises SK400 for a repeated one and for what is not UTF-8."""
    if len(raw) > QUERY_BYTES_MAX:
        raise SkewlessError("SK413", f"the query is longer than {QUERY_BYTES_MAX} bytes", hint="Use POST /online-features.")
    try:
        pairs = query_pairs(raw.decode("ascii"))
    except ValueError:
        raise SkewlessError("SK400", "the query string is not percent-encoded UTF-8", hint=DOCS_HINT) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise SkewlessError("SK400", f'parameter "{name[:80]}" is given twice', hint=DOCS_HINT)
        found[name] = value
    return found


def query_pairs(text: str) -> list[tuple[str, str]]:
    """Names and values in order. Raises ValueError."""
    if "%" in text or "+" in text or text.count("&") > 100:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1_000)
    parts = [part.partition("=") for part in text.split("&") if part]
    return [(name, value) for name, _, value in parts]


def parse_query(raw: bytes, keys: tuple[str, ...]) -> ViewRequest:
    """The parameters for a view with these join keys. A join key that is called like an option takes its name. Raises SK400."""
    asked = query_parameters(raw)

    def option(name: str, default: str) -> str:
        return default if name in keys else asked.pop(name, default)

    features = tuple(part for name in option("features", "").split(",") if (part := name.strip()))
    form, quoted = option("format", "full"), option("int64_as_string", "false")
    for name, value, allowed in (("format", form, ("full", "compact")), ("int64_as_string", quoted, ("true", "false"))):
        if value not in allowed:
            raise SkewlessError("SK400", f'{name}={value[:80]} is not one of {", ".join(allowed)}', hint=DOCS_HINT)
    if "entity_id" in asked and len(keys) == 1 and keys[0] not in asked:
        asked[keys[0]] = asked.pop("entity_id")
    unknown = [name for name in asked if name not in keys]
    if unknown:
        known = [*keys, *(["entity_id"] if len(keys) == 1 else []), "features", "format", "int64_as_string"]
        raise SkewlessError("SK400", f'parameter "{unknown[0][:80]}" is not known here', hint=f"Parameters: {', '.join(known)}.")
    return ViewRequest(asked, features, form == "compact", quoted == "true")
