"""What servers read of the tokens: `<namespace>:tokens` in Redis, JSON, hashes only. Serving imports it, so no SQLAlchemy."""

from __future__ import annotations

import msgspec

from skewless.errors import SkewlessError

SCOPES = ("read", "write", "admin")     # each includes those before it


class PublishedToken(msgspec.Struct, frozen=True, kw_only=True):
    """One token in force when it was published."""

    id: str
    name: str
    scope: str
    hash: str
    expires_at_us: int | None = None


class PublishedTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    tokens: tuple[PublishedToken, ...] = ()
    format: int = 1


def parse_tokens(raw: bytes | None) -> tuple[PublishedToken, ...]:
    """The published tokens; none where nothing was published. Raises SK250 for what does not parse."""
    if not raw:
        return ()
    try:
        return msgspec.json.decode(raw, type=PublishedTokens).tokens
    except msgspec.MsgspecError as error:
        raise SkewlessError("SK250", "the published tokens do not parse", detail=f"{error}.",
                            hint="Publish them again: skewless token publish") from None
