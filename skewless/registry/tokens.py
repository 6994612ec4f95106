"""API tokens: made here, kept as hashes, and published to servers through Redis, beside the snapshot.

A token is `skw_<id>_<secret>`; the id is no secret, the hash is SHA-256 of the whole text. Servers read `<namespace>:tokens`, so
they need no registry database.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec
import sqlalchemy as sa

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import tables
from skewless.registry.published import SCOPES, PublishedToken, PublishedTokens
from skewless.registry.store import Store

PREFIX = "skw"
SECRET_BYTES = 32


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token. `scope` includes the lesser ones: admin, write, read."""

    id: str
    name: str
    scope: str
    hash: str
    created_at_us: int
    expires_at_us: int | None = None
    revoked_at_us: int | None = None

    def state(self, at_us: int) -> str:
        """active, expired or revoked."""
        if self.revoked_at_us is not None:
            return "revoked"
        return "expired" if self.expires_at_us is not None and self.expires_at_us <= at_us else "active"


class Tokens:
    """The tokens of one project and target."""

    def __init__(self, config: Config) -> None:
        self.store = Store(config)
        self.namespace = config.namespace

    def create(self, name: str, scope: str, *, expires_at_us: int | None = None) -> tuple[Token, str]:
        """A new token and its text, which is not kept. Raises SK465 for a name that an active token has, SK102."""
        if scope not in SCOPES:
            raise SkewlessError("SK102", f'"{scope}" is not a scope', hint=f"Scopes: {', '.join(SCOPES)}.")
        id_ = secrets.token_hex(6)
        text = f"{PREFIX}_{id_}_{secrets.token_urlsafe(SECRET_BYTES)}"
        now = now_us()
        token = Token(id=id_, name=name, scope=scope, hash=hash_of(text), created_at_us=now, expires_at_us=expires_at_us)
        with self.store.database.write() as connection:
            if any(t.name == name and t.state(now) == "active" for t in self._read(connection)):
                fact = f'there is an active token "{name}" already'
                raise SkewlessError("SK465", fact, hint="Revoke it, or take another --name.")
            connection.execute(sa.insert(tables.tokens), [self._row(token)])
            self.store.append_event(connection, "token", name, {"id": id_, "scope": scope, "did": "create"})
        return token, text

    def revoke(self, name_or_id: str) -> Token:
        """Ends a token at once, for servers when it is published. Raises SK465 where there is no active one."""
        table, now = tables.tokens, now_us()
        with self.store.database.write() as connection:
            known = self._read(connection)
            found = [t for t in known if name_or_id in (t.id, t.name) and t.revoked_at_us is None]
            if not found:
                names = ", ".join(t.name for t in known if t.state(now) == "active") or "none"
                raise SkewlessError("SK465", f'there is no active token "{name_or_id}"', hint=f"Active: {names}.")
            token = found[0]
            connection.execute(
                sa.update(table).where(*self._mine(), table.c.id == token.id).values(revoked_at_us=now))
            self.store.append_event(connection, "token", token.name, {"id": token.id, "did": "revoke"})
        return msgspec.structs.replace(token, revoked_at_us=now)

    def all(self) -> list[Token]:
        """Every token, newest first."""
        with self.store.database.read() as connection:
            return self._read(connection)

    def publish(self, client: Any) -> int:
        """Tell servers which tokens are in force; how many. `client` is a redis-py client."""
        now = now_us()
        active = [t for t in self.all() if t.state(now) == "active"]
        document = PublishedTokens(tokens=tuple(
            PublishedToken(id=t.id, name=t.name, scope=t.scope, hash=t.hash, expires_at_us=t.expires_at_us) for t in active))
        client.set(f"{self.namespace}:tokens", msgspec.json.encode(document))
        return len(active)

    def _read(self, connection: sa.Connection) -> list[Token]:
        query = sa.select(tables.tokens).where(*self._mine()).order_by(tables.tokens.c.created_at_us.desc(), tables.tokens.c.id)
        return [
            Token(id=r.id, name=r.name, scope=r.scopes, hash=r.token_hash, created_at_us=r.created_at_us,
                  expires_at_us=r.expires_at_us, revoked_at_us=r.revoked_at_us)
            for r in connection.execute(query)
        ]

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return tables.tokens.c.project == self.store.project, tables.tokens.c.target == self.store.target

    def _row(self, token: Token) -> dict[str, Any]:
        return {
            "project": self.store.project, "target": self.store.target, "id": token.id, "name": token.name,
            "token_hash": token.hash, "scopes": token.scope, "created_at_us": token.created_at_us,
            "expires_at_us": token.expires_at_us, "revoked_at_us": None,
        }


def hash_of(text: str) -> str:
    """The hash of a token's text."""
    return hashlib.sha256(text.encode()).hexdigest()
