"""The history's newest rows -> the online store: what changed since the last sync, or everything.

A sync may die anywhere and be run again: the position is recorded after the last row, every item can be repeated, and the script
ignores items older than a key's stamp (law 8).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import redis

from skewless import rows
from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.newest import newest_rows
from skewless.online import OnlineStore, SyncRecord, SyncRecords, Written, connect
from skewless.online.push import Throttle
from skewless.online.store import GRACE_US, OWN_ALL_US, TOMBSTONE_MS, version_bytes
from skewless.registry.model import View
from skewless.sync.repair import departed
from skewless.warehouse.feed import Changes
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.ledger import Position

ROWS_PER_CHUNK = 10_000
ROWS_PER_SECOND = 50_000
Progress = Callable[[int, int], None]      # rows done, rows in all


class SyncResult(NamedTuple):
    """What a sync of one view did: `rows` written, `retracted` versions sent, `ignored` items that changed nothing."""

    view: str
    rows: int
    retracted: int
    ignored: int
    position: Position
    seconds: float
    full: bool


class Batch(NamedTuple):
    """Where one sync writes and under which stamp."""

    store: OnlineStore
    view: View
    stamp_us: int
    through_us: int
    throttle: Throttle
    on_progress: Progress


def sync(
    config: Config, views: Sequence[View], *, full: bool = False, rows_per_second_max: float = ROWS_PER_SECOND,
    on_view: Callable[[View], Progress] | None = None, on_skip: Callable[[View, str], None] | None = None,
) -> list[SyncResult]:
    """`sync_view` of each view that is online and has a history, in order; `on_skip` hears of the others and why."""
    client = connect(config)
    results = []
    for view in views:
        why = "" if view.online else "it is not online"
        why = why or ("" if LakeTable(config.lake_root, view).exists() else "it has no history yet")
        if why:
            if on_skip:
                on_skip(view, why)
            continue
        progress = on_view(view) if on_view else None
        results.append(sync_view(
            config, view, full=full, rows_per_second_max=rows_per_second_max, on_progress=progress, client=client
        ))
    return results


def sync_view(
    config: Config, view: View, *, full: bool = False, rows_per_second_max: float = ROWS_PER_SECOND,
    on_progress: Progress | None = None, client: redis.Redis | None = None, wait_seconds: float = 10.0,
) -> SyncResult:
    """Push what changed in the view's history since its last sync; everything when `full`, or when there was none.

    `rows_per_second_max` 0 = as fast as it goes. Raises SK506 without a history, SK600, SK603 when another sync of it does
    not end within `wait_seconds`, SK604, SK605 for a view that is not online.
    """
    if not view.online:
        raise SkewlessError("SK605", f'"{view.ref}" is not pushed online', hint="Set online: true in its skewless block.")
    started = time.monotonic()
    client = client or connect(config)
    records = SyncRecords(client, config.namespace)
    lake = LakeTable(config.lake_root, view)
    with records.lock(view, wait_seconds=wait_seconds) as token:
        last = records.read(view)
        fit = last is not None and last.settings == _settings(view) and not full
        store = OnlineStore(client, config.namespace)
        suspects = store.suspects(view)     # before the history is read: it has to know what their writer knew
        active = None if view.active_within_us is None else now_us() - view.active_within_us
        changes = lake.changes(Position(*last.position) if last and fit else None, active_since_us=active)
        offset = _offset(store, view, last, changes)
        batch = Batch(
            store, view, changes.position.r_us + offset, _through(view, lake, changes), Throttle(rows_per_second_max),
            on_progress or (lambda done, total: None),
        )
        written = _push(batch, changes, lake, suspects)
        records.write(view, SyncRecord(
            position=_plain(changes.position), at_us=now_us(), rows=written.applied, offset_us=offset, settings=_settings(view)
        ), token=token)
    gone = changes.retracted.num_rows
    seconds = time.monotonic() - started
    return SyncResult(view.ref, written.applied, gone, written.ignored, changes.position, seconds, changes.full)


def _push(batch: Batch, changes: Changes, lake: LakeTable, suspects: Sequence[bytes]) -> Written:
    parts = [
        push_rows(batch, changes.rows, full=changes.full),
        push_retracted(batch, changes.retracted),
        repair(batch, lake, changes.position, suspects),
    ]
    if changes.full:
        parts += [push_departed(batch, lake, changes), reconcile(batch)]
    batch.store.repaired(batch.view, suspects)
    return _sum(parts)


def _sum(parts: list[Written]) -> Written:
    return Written(sum(p.applied for p in parts), sum(p.ignored for p in parts))


def push_rows(batch: Batch, table: pa.Table, *, full: bool) -> Written:
    """Changed rows, or the newest of each entity; a chunk is encoded in one thread while the one before is on the wire."""
    view, parts, done = batch.view, [], 0

    def encode(chunk: pa.Table) -> tuple[pa.Array, pa.Array]:
        return rows.encode_keys(batch.store.namespace, view, chunk), rows.encode_rows(view, chunk, batch.stamp_us)

    chunks = _chunks(batch, table)
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as pool:
        coming = [pool.submit(encode, chunk) for chunk in itertools.islice(chunks, 1)]
        while coming:
            keys, values = coming.pop().result()
            coming = [pool.submit(encode, chunk) for chunk in itertools.islice(chunks, 1)]
            batch.throttle.wait(len(keys))
            parts.append(batch.store.write_rows(view, keys, values, through_us=batch.through_us, full=full))
            done += len(keys)
            batch.on_progress(done, table.num_rows)
    return _sum(parts)


def _chunks(batch: Batch, table: pa.Table) -> Iterator[pa.Table]:
    rate = int(batch.throttle.rate)
    size = max(1, min(ROWS_PER_CHUNK, rate)) if rate > 0 else ROWS_PER_CHUNK
    for at in range(0, table.num_rows, size):
        yield table.slice(at, size)


def push_retracted(batch: Batch, gone: pa.Table) -> Written:
    """Versions that count no longer: the entity's newest remaining row, or a tombstone."""
    view, parts = batch.view, []
    for chunk in _chunks(batch, gone):
        keys = rows.encode_keys(batch.store.namespace, view, chunk).to_pylist()
        versions = list(zip(_instants(chunk, "event_timestamp"), _instants(chunk, "ingested_at"), strict=True))
        values = [rows.tombstone(view, event, ingested, batch.stamp_us) for event, ingested in versions]
        has = chunk.column("new_event_timestamp").is_valid()
        names = ["event_timestamp", *view.feature_names, "ingested_at"]
        remaining = chunk.filter(has).select([f"new_{n}" for n in names]).rename_columns(names)
        where = [i for i, there in enumerate(has.to_pylist()) if there]
        for i, raw in zip(where, rows.encode_rows(view, remaining, batch.stamp_us).to_pylist(), strict=True):
            values[i] = raw
        batch.throttle.wait(len(keys))
        parts.append(batch.store.retract(view, keys, values, [version_bytes(*v) for v in versions], through_us=batch.through_us))
    return _sum(parts)


def repair(batch: Batch, lake: LakeTable, position: Position, keys: Sequence[bytes]) -> Written:
    """Suspect keys get the newest row of their entity as of the position, or a tombstone."""
    if not keys:
        return Written(0, 0)
    found = newest_rows(lake, batch.view, keys, version=position.version)
    names = rows.encode_keys(batch.store.namespace, batch.view, found).to_pylist()
    by_key = dict(zip(names, rows.encode_rows(batch.view, found, batch.stamp_us).to_pylist(), strict=True))
    stone = rows.tombstone(batch.view, 0, 0, batch.stamp_us)
    values = [by_key.get(key, stone) for key in keys]
    return batch.store.retract(batch.view, keys, values, [b""] * len(keys), through_us=batch.through_us)


def push_departed(batch: Batch, lake: LakeTable, changes: Changes) -> Written:
    """Tombstones for entities that lost their living row lately, also for absent keys: an older batch may still be on its way."""
    since_us, view = now_us() - TOMBSTONE_MS * 1000, batch.view
    alive = None if view.ttl_us is None else now_us() - view.ttl_us - GRACE_US
    gone = departed(lake, view, changes.rows, since_us=since_us, alive_us=alive, version=changes.position.version)
    keys = rows.encode_keys(batch.store.namespace, view, gone).to_pylist()
    stones = [rows.tombstone(view, 0, 0, batch.stamp_us)] * len(keys)
    return batch.store.retract(view, keys, stones, [b""] * len(keys), through_us=batch.through_us)


def reconcile(batch: Batch) -> Written:
    """After a full push every living key has the batch's stamp; those with an older one belong to entities that are gone."""
    parts = []
    for keys, headers in batch.store.scan(batch.view):
        stale = [key for key, raw in zip(keys, headers, strict=True) if raw and _is_stale(batch, rows.read_header(raw))]
        stones = [rows.tombstone(batch.view, 0, 0, batch.stamp_us)] * len(stale)
        parts.append(batch.store.retract(batch.view, stale, stones, [b""] * len(stale), through_us=batch.through_us))
    return _sum(parts)


def _is_stale(batch: Batch, header: rows.Header) -> bool:
    return header.stamp_us < batch.stamp_us and header.event_timestamp_us < batch.through_us


def _through(view: View, lake: LakeTable, changes: Changes) -> int:
    """Up to where the batch owns every slot: all of it, or for a view with a stream complete_through."""
    if not view.streamed:
        return OWN_ALL_US
    at = lake.snapshot(changes.position.version).complete_through_us()
    return -(2**63) if at is None else at


def _offset(store: OnlineStore, view: View, last: SyncRecord | None, changes: Changes) -> int:
    """What keeps stamps growing when the history was started anew under a clock that stands still, or the record was lost."""
    if last is not None and last.position[0] == changes.position.table_id:
        return last.offset_us
    if last is not None:
        return max(0, last.stamp_us + 1 - changes.position.r_us)
    stamps = (rows.read_header(raw).stamp_us for _, headers in store.scan(view) for raw in headers if raw)
    return max(0, max(stamps, default=0) + 1 - changes.position.r_us)


def _settings(view: View) -> str:
    return f"ttl={view.ttl_us} active_within={view.active_within_us} codec={view.codec}"


def _plain(position: Position) -> tuple[str, int, int]:
    return (position.table_id, position.version, position.r_us)


def _instants(table: pa.Table, name: str) -> list[int]:
    return pc.cast(pc.cast(table.column(name), pa.timestamp("us")), pa.int64()).to_pylist()
