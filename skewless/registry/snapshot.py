"""The registry in Redis: what serving reads. `<namespace>:snapshot` holds the current id, `<namespace>:snapshot:<id>` its JSON.

The id is the first 16 hex digits of the JSON's SHA-256, so equal registries share one snapshot and a reader can tell a torn one.
"""

from __future__ import annotations

import hashlib
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.model import Registry, from_json, to_json


def snapshot_id(data: bytes) -> str:
    """The id of a snapshot's JSON."""
    return hashlib.sha256(data).hexdigest()[:16]


def publish(client: Any, namespace: str, registry: Registry) -> str:
    """Write the snapshot, then make it the current one. Returns its id. Older snapshots stay for readers that still hold them."""
    data = to_json(registry)
    new = snapshot_id(data)
    client.set(f"{namespace}:snapshot:{new}", data)
    client.set(f"{namespace}:snapshot", new)
    return new


def current_id(client: Any, namespace: str) -> str | None:
    """The id of the current snapshot, None when none was published."""
    raw = client.get(f"{namespace}:snapshot")
    return raw.decode() if isinstance(raw, bytes) else raw


def load(client: Any, namespace: str) -> Registry:
    """The current snapshot. Raises SK251 when none was published, SK250 when it does not parse."""
    now = current_id(client, namespace)
    data = client.get(f"{namespace}:snapshot:{now}") if now else None
    return parse(now, data, namespace)


def parse(name: str | None, data: bytes | None, namespace: str) -> Registry:
    """The registry of a snapshot that was read elsewhere (an async client). Raises SK250, SK251."""
    if not name or not data:
        raise SkewlessError(
            "SK251", f'no registry was published for "{namespace}"', hint="Run: skewless plan, then skewless apply <plan id>"
        )
    if snapshot_id(data) != name:
        raise SkewlessError("SK250", f"the snapshot {name} does not match its id", hint="Publish again: skewless apply <plan id>")
    return from_json(data)
