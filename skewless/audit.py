"""Offline row -> bytes against online bytes, for every entity that is active and within ttl (laws 5 and 8).

The batch stamp (the header's last 8 bytes) is bookkeeping of the writers and is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from skewless import rows
from skewless.clock import format_instant, now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import OnlineStore, connect
from skewless.registry.model import View
from skewless.rows.row import HEADER_SIZE, STAMP_AT
from skewless.warehouse.lake import LakeTable

ROWS_PER_CHUNK = 10_000
EXAMPLES = 10


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One key whose bytes differ. `kind`: `missing` online, `different`, or `unexpected` (online, but not offline)."""

    key: str
    kind: str
    features: tuple[str, ...] = ()
    offline: str = ""
    online: str = ""


class AuditResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit of one view found.

    `ahead`: a stream's rows that are online and not in the history yet. `behind`: the store has not been synced up to the newest
    commit of the history.
    """

    view: str
    entities: int
    equal: int
    missing: int
    different: int
    unexpected: int
    old_schema: int
    ahead: int
    behind: bool
    examples: tuple[Difference, ...]

    @property
    def clean(self) -> bool:
        return not (self.missing or self.different or self.unexpected)


def audit_view(config: Config, view: View, *, on_progress: Callable[[int, int], None] | None = None) -> AuditResult:
    """Compare every entity of the view. Raises SK506 without a history, SK600, SK605 for a view that is not online."""
    if not view.online:
        raise SkewlessError("SK605", f'"{view.ref}" is not pushed online', hint="Set online: true in its skewless block.")
    store = OnlineStore(connect(config), config.namespace)
    lake = LakeTable(config.lake_root, view)
    lowest = _oldest_valid_us(view)
    changes = lake.changes(None, active_since_us=lowest)
    table = changes.rows
    if lowest is not None:
        table = table.filter(pc.greater_equal(table.column("event_timestamp"), pa.scalar(lowest, pa.timestamp("us"))))
    tally = _Tally(view, lake.snapshot(changes.position.version).complete_through_us() or -(2**63) if view.streamed else 2**63)
    seen: set[bytes] = set()
    for at in range(0, table.num_rows, ROWS_PER_CHUNK):
        chunk = table.slice(at, ROWS_PER_CHUNK)
        keys = rows.encode_keys(config.namespace, view, chunk).to_pylist()
        seen.update(keys)
        for key, offline, online in zip(keys, rows.encode_rows(view, chunk, 0).to_pylist(), store.read(keys), strict=True):
            tally.compare(key, offline, online)
        if on_progress:
            on_progress(at + len(keys), table.num_rows)
    for key in _unexpected(store, view, seen, lowest):
        online = store.read([key])[0]
        if online is not None:
            tally.unexpected(key, online)
    position = changes.position
    return tally.result(table.num_rows, store.position(view) != (position.table_id, position.version, position.r_us))


def _oldest_valid_us(view: View) -> int | None:
    spans = [span for span in (view.ttl_us, view.active_within_us) if span is not None]
    return now_us() - min(spans) if spans else None


def _unexpected(store: OnlineStore, view: View, seen: set[bytes], lowest: int | None) -> Iterator[bytes]:
    """Keys of entities without a valid offline row whose online row is one."""
    found: dict[bytes, None] = {}
    for keys, headers in store.scan(view):
        for key, header in zip(keys, _headers(headers), strict=True):
            if key in seen or header is None or header.tombstone:
                continue
            if lowest is None or header.event_timestamp_us >= lowest:
                found[key] = None
    yield from found


def _headers(raws: Iterable[bytes | None]) -> Iterator[rows.Header | None]:
    for raw in raws:
        yield rows.read_header(raw) if raw else None


class _Tally:
    """Counts and examples. From `through_us` on a stream may be ahead of the history."""

    def __init__(self, view: View, through_us: int) -> None:
        self.view, self.through_us, self.examples = view, through_us, list[Difference]()
        self.counts = dict.fromkeys(("equal", "missing", "different", "unexpected", "old_schema", "ahead"), 0)

    def compare(self, key: bytes, offline: bytes, online: bytes | None) -> None:
        """Count one entity."""
        if online is None or len(online) == HEADER_SIZE:
            self.add("missing", key, offline, None)
            return
        present = online
        if online[:10] != offline[:10]:
            self.counts["old_schema"] += 1
            present = rows.reencode(self.view, online)
        if present[:STAMP_AT] == offline[:STAMP_AT] and present[HEADER_SIZE:] == offline[HEADER_SIZE:]:
            self.counts["equal"] += 1
        elif self._is_ahead(present) and _order(present) > _order(offline):
            self.counts["ahead"] += 1
        else:
            self.add("different", key, offline, present)

    def unexpected(self, key: bytes, online: bytes) -> None:
        """Count a row whose entity has no valid row offline."""
        if self._is_ahead(online):
            self.counts["ahead"] += 1
        else:
            self.add("unexpected", key, None, online)

    def _is_ahead(self, raw: bytes) -> bool:
        return rows.read_header(raw).event_timestamp_us >= self.through_us

    def add(self, kind: str, key: bytes, offline: bytes | None, online: bytes | None) -> None:
        """Count a difference; the first few are kept as examples."""
        self.counts[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(Difference(
                key=key.decode(), kind=kind, features=self._differing(offline, online),
                offline=self._shown(offline), online=self._shown(online),
            ))

    def result(self, entities: int, behind: bool) -> AuditResult:
        """The finished audit."""
        return AuditResult(view=self.view.ref, entities=entities, behind=behind, examples=tuple(self.examples), **self.counts)

    def _shown(self, raw: bytes | None) -> str:
        if raw is None:
            return ""
        header = rows.read_header(raw)
        at, since = format_instant(header.event_timestamp_us), format_instant(header.ingested_at_us)
        return f"event_timestamp {at}, ingested_at {since}, values {rows.values_json(self.view, raw).decode()}"

    def _differing(self, offline: bytes | None, online: bytes | None) -> tuple[str, ...]:
        if offline is None or online is None:
            return ()
        a, b = (rows.decode_row(self.view, raw) for raw in (offline, online))
        names = [n for n in ("event_timestamp", "ingested_at") if getattr(a.header, f"{n}_us") != getattr(b.header, f"{n}_us")]
        values: list[tuple[str, Any, Any]] = list(zip(self.view.feature_names, a.values, b.values, strict=True))
        return (*names, *(name for name, x, y in values if repr(x) != repr(y)))


def _order(raw: bytes) -> tuple[int, int]:
    header = rows.read_header(raw)
    return header.event_timestamp_us, header.ingested_at_us
