"""The newest event time of each view with a freshness_sla: how fresh the view is, as far as the online store knows.

Redis key: `<namespace>:newest:<view>@<version>`, microseconds as digits. Whatever pushes rows notes theirs, the greatest stays.
Who finds none knows nothing: the store was lost, or nothing was written yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from skewless.registry.model import View

if TYPE_CHECKING:
    import pyarrow as pa
    import redis

EVENT_AT, EVENT_END = 10, 18        # of event_timestamp in a row
BEFORE_1970 = b"\x80"               # and greater: the sign
_RAISE = """local known = redis.call('GET', KEYS[1])
if not known or tonumber(known) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end"""


def watched(views: Iterable[View]) -> list[View]:
    """The views whose answers depend on it."""
    return [view for view in views if view.online and view.error_after_us is not None]


def newest_key(namespace: str, view: View) -> str:
    """Where it is kept."""
    return f"{namespace}:newest:{view.ref}"


def note(client: redis.Redis, namespace: str, view: View, values: pa.Array) -> None:
    """Rows with these bytes are written. Does nothing for a view that is not watched. Raises redis-py's errors."""
    if len(values) and watched((view,)):
        import pyarrow.compute as pc

        instants = pc.binary_slice(values, EVENT_AT, EVENT_END)
        greatest = pc.max(instants.filter(pc.less(instants, BEFORE_1970))).as_py()  # big-endian: later ones are greater bytes
        if greatest is not None:
            client.eval(_RAISE, 1, newest_key(namespace, view), int.from_bytes(greatest, "big"))


def parse(views: Sequence[View], raws: Sequence[bytes | None]) -> dict[str, int]:
    """View reference -> microseconds, of the keys' values in the order of `views`; what is no number is as good as none."""
    return {view.ref: int(raw) for view, raw in zip(views, raws, strict=True) if raw and raw.isdigit()}


def load(client: redis.Redis, namespace: str, views: Iterable[View]) -> dict[str, int]:
    """View reference -> microseconds, of the watched ones. Raises redis-py's errors."""
    wanted = watched(views)
    found: Any = client.mget([newest_key(namespace, view) for view in wanted]) if wanted else []
    return parse(wanted, found)
