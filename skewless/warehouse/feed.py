"""What changed since a reader's position: the newest changed row of each entity, and the versions that are gone.

By the files that commits added since then, not by a watermark of the rows: a row folded from a stream keeps its old ingested_at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from skewless.warehouse import order
from skewless.warehouse.columns import EVENT, INGESTED, SUPERSEDED, literal, names, quote, quoted, slot
from skewless.warehouse.ledger import Position
from skewless.warehouse.session import memory
from skewless.warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Changes:
    """What takes a reader to `position`.

    `rows`: keys, event_timestamp, features, ingested_at of the newest changed current row of each entity. `retracted`: keys,
    event_timestamp, ingested_at of versions that no longer count, each with the entity's newest remaining row in the columns
    `new_event_timestamp`, `new_<feature>`, `new_ingested_at` (all NULL: no row remains). `full`: rows are the newest of every
    (active) entity, and the reader removes what is not among them and before complete_through; retracted holds only versions
    after that, where what a reader holds may as well be a stream's row that is not in the history yet.
    """

    position: Position
    rows: pa.Table
    retracted: pa.Table
    full: bool


def changes(now: Snapshot, since: Position | None, *, active_since_us: int | None = None) -> Changes:
    """The changes from `since` to `now`; full when `since` is None, of another table, or ahead of this one."""
    full = since is None or since.table_id != now.position.table_id or since.version > now.position.version
    with memory() as con:
        if full or since is None:
            current = now.relation(lo_us=active_since_us)
            rows = con.sql(_newest(current, now)).to_arrow_table()
            con.execute(f"create temp table skw_gone as {_gone_ahead(now)}").fetchall()
        else:
            rows = _changed(con, now, since, active_since_us)
            con.execute(f"create temp table skw_gone as {_gone(now, since)}").fetchall()
        retracted = con.sql(_with_replacements(now)).to_arrow_table()
    return Changes(now.position, rows, retracted, full)


def _newest(rows: str, now: Snapshot) -> str:
    keys = quoted(now.view.key_names)
    on = " and ".join(f"r.{quote(n)} = m.{quote(n)}" for n in slot(now.view))
    return (
        f"select {quoted([*names(now.view), INGESTED], 'r')} from {rows} r "
        f"join (select {keys}, max({EVENT}) as {EVENT} from {rows} group by {keys}) m on {on}"
    )


def _changed(con: duckdb.DuckDBPyConnection, now: Snapshot, since: Position, active_since_us: int | None) -> pa.Table:
    touched = [f for f in now.of("current") if f.r_us > since.r_us]
    columns = quoted([*names(now.view), INGESTED])
    parts = [f"select {columns} from ({now.scan(touched)}) where {INGESTED} > {literal(_threshold(now, since))}"]
    flushed = [f for f in now.of("pending") if f.r_us > since.r_us]
    if flushed:
        winners = order.winners(now.contest(now.of("pending"))[1], now.view)
        parts.append(
            f"select {columns} from ({winners}) where ({quoted(slot(now.view))}) in "
            f"(select ({quoted(slot(now.view))}) from ({now.scan(flushed)}))"
        )
    active = f" where {EVENT} >= {literal(active_since_us)}" if active_since_us is not None else ""
    con.execute(f"create temp table skw_changed as select distinct * from ({' union all '.join(parts)}){active}").fetchall()
    return con.sql(_newest("skw_changed", now)).to_arrow_table()


def _gone(now: Snapshot, since: Position) -> str:
    files = [f for f in now.of("superseded") if f.r_us > since.r_us]
    late = [f for f in now.of("pending") if f.r_us > since.r_us]
    columns = quoted([*slot(now.view), INGESTED])
    threshold = literal(_threshold(now, since))
    sql = (
        f"select {columns}, {SUPERSEDED} <= {INGESTED} as __late from ({now.scan(files, superseded=True)}) "
        f"where {SUPERSEDED} > {threshold} or {SUPERSEDED} <= {INGESTED}"
    )
    if late:
        before = literal(now.streams_count_from_us())
        sql += f" union all select {columns}, true from ({now.scan(late)}) where {EVENT} < {before}"
    return f"select distinct * from ({sql})"


def _gone_ahead(now: Snapshot) -> str:
    """Every version from complete_through on that was replaced or retracted, of a view that streams; none of other views."""
    since = now.streams_count_from_us()
    files = now.of("superseded", lo_us=since) if now.view.streamed else []
    columns = quoted([*slot(now.view), INGESTED])
    return f"select distinct {columns}, false as __late from ({now.scan(files)}) where {EVENT} >= {literal(since)}"


def _with_replacements(now: Snapshot) -> str:
    """Of the gone versions, those that a reader may hold: no newer slot remains, and no other version of theirs.

    A late row is told although its slot has a row: a reader may have taken it from the stream, as the newer of the two.
    """
    keys, features = now.view.key_names, now.view.feature_names
    current = f"(select * from {now.relation()} where ({quoted(keys)}) in (select ({quoted(keys)}) from skw_gone))"
    on = " and ".join(f"g.{quote(k)} = n.{quote(k)}" for k in keys)
    renamed = ", ".join(f"n.{quote(c)} as {quote('new_' + c)}" for c in (EVENT, *features, INGESTED))
    return (
        f"select {quoted([*slot(now.view), INGESTED], 'g')}, {renamed} from skw_gone g "
        f"left join ({_newest(current, now)}) n on {on} where n.{EVENT} is null or g.{EVENT} > n.{EVENT} "
        f"or (g.__late and g.{EVENT} = n.{EVENT} and g.{INGESTED} <> n.{INGESTED})"
    )


def _threshold(now: Snapshot, since: Position) -> int:
    folded = [e.folded_since_us - 1 for e in now.entries if e.version > since.version and e.folded_since_us is not None]
    return min([since.r_us, *folded])
