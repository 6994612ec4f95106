"""By which names a server is called that asks nobody for a token: a page of another site could give its own name this address.

A browser sends the name in `Host`, and a page cannot change it. Addresses are safe: a page's origin is then the server itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

KEPT_MAX = 1_000


class Hosts:
    """`localhost`, everything below it, and the names given. Callable for each request."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(("localhost", *(name.lower().rstrip(".") for name in names)))
        self._known: set[bytes] = set()

    def __call__(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the request came for this server. Without a Host it is no browser's."""
        for name, value in headers:
            if name == b"host" and value not in self._known and not self._learn(value):
                return False
        return True

    def _learn(self, value: bytes) -> bool:
        known = self._is_ours(value.decode("latin-1").strip().lower())
        if known and len(self._known) < KEPT_MAX:
            self._known.add(value)
        return known

    def _is_ours(self, text: str) -> bool:
        name = text.partition("]")[0][1:] if text.startswith("[") else text.partition(":")[0]
        name = name.rstrip(".")
        if name in self.names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
