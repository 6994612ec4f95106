"""Who may ask for what: bearer tokens, known by their hashes, as they were published in Redis.

A token comes as `Authorization: Bearer skw_…`; for pages, a browser may send it as the password of Basic. Scopes: read for what
only looks, write for jobs, admin for definitions; each includes those before it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import MutableMapping
from hmac import compare_digest
from typing import Any, NamedTuple

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.published import SCOPES, parse_tokens
from skewless.serve.hooks import BATCH_ROUTE, ONE_ROUTE
from skewless.serve.store import Store

log = logging.getLogger("skewless.serve")
WATCH_INTERVAL_S = 1.0
TOKEN_CHARS_MAX = 200
OPEN = frozenset({"/healthz", "/readyz"})                   # nobody is asked: what balancers and probes need
READING = frozenset({ONE_ROUTE, BATCH_ROUTE, "/get-online-features"})
READ, WRITE, ADMIN = range(3)
NOBODY = bytes(32)
HINT = "Send it as: Authorization: Bearer <token>. One is made by: skewless token create."
Scope = MutableMapping[str, Any]


class Known(NamedTuple):
    """One token in force. `level`: READ, WRITE or ADMIN."""

    id: str
    name: str
    level: int
    digest: bytes
    expires_at_us: int | None


class Gate:
    """The tokens in force. With `required` false nobody is asked, but for what an admin may do (`registers`)."""

    def __init__(self, required: bool, registers: bool = False) -> None:
        self.required, self.registers = required, registers
        self.loaded = False
        self._known: dict[str, Known] = {}

    def load(self, raw: bytes | None) -> None:
        """Takes over what was published. Raises SK250; then the tokens before stay in force."""
        self._known = {
            t.id: Known(t.id, t.name, SCOPES.index(t.scope), bytes.fromhex(t.hash), t.expires_at_us) for t in parse_tokens(raw)
        }
        self.loaded = True

    def authorise(self, scope: Scope) -> None:
        """A lookup may be answered. Raises SK401, SK453 while no tokens could be read."""
        if self.required:
            scope["actor"] = self.check(scope, READ).name

    def admit(self, scope: Scope, needed: int) -> str:
        """The name of who asks, empty where nobody needs to say. Raises SK401, SK403, SK453, SK457."""
        if needed < READ or (not self.required and needed < ADMIN):
            return ""
        if needed == ADMIN and not self.registers:
            if self.required:
                self.check(scope, needed)
            raise SkewlessError("SK457", "this server does not register feature views",
                                hint="Its skewless.yml would say: serve: {allow_registration: true}.")
        return self.check(scope, needed).name

    def check(self, scope: Scope, needed: int) -> Known:
        """The token of a request, if it allows that much. Raises SK401, SK403, SK453."""
        if not self.loaded:
            raise SkewlessError("SK453", "the tokens could not be read yet", detail="The online store does not answer.",
                                hint="Ask again in a moment.")
        text = _token(scope)
        parts = text.split("_", 2)
        known = self._known.get(parts[1]) if len(parts) == 3 else None
        same = compare_digest(hashlib.sha256(text.encode()).digest(), known.digest if known is not None else NOBODY)
        if known is None or not same:
            raise SkewlessError("SK401", "a token is needed" if not text else "the token is not valid", hint=HINT)
        if known.expires_at_us is not None and known.expires_at_us <= now_us():
            raise SkewlessError("SK401", "the token has expired", hint=HINT)
        if known.level < needed:
            fact = f"this needs a token of scope {SCOPES[needed]}, not {SCOPES[known.level]}"
            raise SkewlessError("SK403", fact, hint=f"skewless token create --scope {SCOPES[needed]}")
        return known

    async def refresh(self, store: Store, namespace: str) -> None:
        """Reads what is published. Raises SK250, SK453."""
        self.load(await store.call("GET", f"{namespace}:tokens"))

    async def watch(self, store: Store, namespace: str) -> None:
        """Follows what is published until cancelled."""
        said = ""
        while True:
            try:
                await self.refresh(store, namespace)
                said = ""
            except SkewlessError as error:
                if error.code != said:
                    log.warning("tokens: %s", error)
                said = error.code
            except Exception:           # a watch that dies would keep revoked tokens in force
                log.exception("tokens could not be read")
            await asyncio.sleep(WATCH_INTERVAL_S)


def needed(method: str, path: str) -> int:
    """What a request other than a lookup needs: -1 nothing, READ, WRITE or ADMIN. Paths that do not exist too."""
    if path in OPEN:
        return -1
    if method in ("GET", "HEAD") or (method == "POST" and path in READING):
        return READ
    return ADMIN if (method, path) == ("POST", "/feature-views") else WRITE


def gate_of(config: Config) -> Gate:
    """The gate of a server with these settings."""
    return Gate(config.serve.require_tokens, config.serve.allow_registration)


def _token(scope: Scope) -> str:
    """What the request shows, empty for nothing that could be a token."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.decode("latin-1").partition(" ")
            rest = rest.strip()
            if len(rest) > 2 * TOKEN_CHARS_MAX:
                return ""
            if kind.lower() == "bearer":
                return rest if len(rest) <= TOKEN_CHARS_MAX else ""
            if kind.lower() == "basic" and scope["method"] in ("GET", "HEAD"):
                return _password(rest)
            return ""
    return ""


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2][:TOKEN_CHARS_MAX]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
