"""A stream's rows enter the lake as `pending`: they count from complete_through on, until a run folds them into the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from skewless.clock import EPOCH
from skewless.errors import SkewlessError
from skewless.warehouse import columns, files, ledger
from skewless.warehouse.columns import EVENT, INGESTED, SUPERSEDED, quote
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.session import memory

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.warehouse.lake import LakeTable

_PLACE = "skw_place"


@dataclass(frozen=True)
class Part:
    """Rows of one partition of a topic: keys, event_timestamp, features, ingested_at, and each one's offset, ascending.

    `end` is the offset after the last message that was read. `app_id` names the partition in the table's transactions.
    """

    app_id: str
    rows: pa.Table
    offsets: pa.Array
    end: int


class Appended(NamedTuple):
    """What `append_parts` did: rows written, rows whose offsets were in the table already, and of each part which rows belong to
    the batch, because they are before `through_us`. `stamp_us`: the newest commit that this was judged by."""

    rows: int
    repeated: int
    late: list[pa.Array]
    through_us: int
    stamp_us: int


def append(table: LakeTable, rows: pa.Table, *, app_id: str, app_version: int) -> bool:
    """One commit with these rows; False when the stream's transaction is there already. Waits for a commit under way."""
    with table.committing():
        if (table._open().transaction_version(app_id) or -1) >= app_version:
            return False
        _commit(table, rows, [(app_id, app_version)], app_id)
    return True


def append_parts(table: LakeTable, parts: Sequence[Part]) -> Appended:
    """One commit with the rows of these parts that are not there yet and do not belong to the batch; none without such rows.

    The commit carries a transaction for each part: its `end`. So of a part that was written before, wholly or up to some offset,
    only the rest is written, whoever wrote it. Creates the table where there is none, and adds features that it lacks. Waits for
    a commit under way. Raises SK501, SK505, SK511.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not table.exists():
        table.create()
    with table.committing():
        _grow(table)
        opened, snapshot = table._open(), table.snapshot()
        through, kept, late, repeated = snapshot.streams_count_from_us(), [], [], 0
        before = pa.scalar(through, pa.timestamp("us"))
        for part in parts:
            known = opened.transaction_version(part.app_id) or 0
            late.append(pc.less(part.rows.column(EVENT), before).combine_chunks())
            fresh = pc.greater_equal(part.offsets, known)
            repeated += part.rows.num_rows - (pc.sum(fresh).as_py() or 0)
            kept.append(part.rows.filter(pc.and_not(fresh, late[-1])))
        rows = pa.concat_tables(kept) if kept else None
        if rows is not None and rows.num_rows:
            ends = [(part.app_id, part.end) for part in parts if part.end > (opened.transaction_version(part.app_id) or 0)]
            stamp = _commit(table, rows, ends, parts[0].app_id, late=sum(pc.sum(mask).as_py() or 0 for mask in late))
        else:
            stamp = snapshot.position.r_us
    return Appended(0 if rows is None else rows.num_rows, repeated, late, through, stamp)


def _commit(
    table: LakeTable, rows: pa.Table, transactions: list[tuple[str, int]], run_id: str, *, late: int = 0
) -> int:
    newest = _check(table, rows)
    stamp = max(table.next_stamp(), newest + 1)
    entry = LedgerEntry(
        kind=ledger.PENDING, r_us=stamp, rows_in=rows.num_rows, newest_ingested_us=newest, run_id=run_id, late_rows=late
    )
    paths = _write(table, rows, stamp)
    with _discarding(table, paths):
        table.commit(entry, added=paths, transactions=transactions)
    return stamp


def _committed(table: LakeTable, paths: list[str]) -> bool:
    """Whether the table knows these files; True where that cannot be told."""
    try:
        return not {file.path for file in files.live(table._open())}.isdisjoint(paths)
    except Exception:
        return True


def _discard(table: LakeTable, paths: list[str]) -> None:
    """Files that no commit names; on a full disk every try would leave some."""
    for path in [] if _committed(table, paths) else paths:
        with suppress(OSError):
            (table.path / path).unlink(missing_ok=True)


def _grow(table: LakeTable) -> None:
    have = table.column_types()
    added = [name for name, _ in columns.stored(table.view) if name not in have]
    if added:
        table.add_columns(added)


def _check(table: LakeTable, rows: pa.Table) -> int:
    import pyarrow.compute as pc

    for name in [*columns.slot(table.view), INGESTED]:
        if rows.column(name).null_count:
            raise SkewlessError("SK501", f'a row of the stream of {table.view.ref} has a NULL "{name}"')
    newest = pc.max(rows.column(INGESTED)).as_py()
    return 0 if newest is None else (newest.replace(tzinfo=None) - EPOCH) // (newest.resolution)


def _write(table: LakeTable, rows: pa.Table, stamp: int) -> list[str]:
    """Files with these rows; of a slot's rows with one ingested_at the last counts, as it does in the online store."""
    import pyarrow as pa

    view, partition = table.view, table.snapshot().partition
    version = columns.quoted([*columns.slot(view), INGESTED])
    items = [f"{columns.normalised(n, t)} as {quote(n)}" for n, t in columns.stored(view) if n != SUPERSEDED]
    date = columns.event_date(partition, EVENT)
    paths: list[str] = []
    with _discarding(table, paths), memory() as con:
        con.register("skw_rows", rows.append_column(_PLACE, pa.array(range(rows.num_rows), pa.int64())))
        con.execute(
            f"create temp table skw_pending as select {', '.join(items)}, cast(null as timestamp) as {SUPERSEDED} from skw_rows "
            f"qualify row_number() over (partition by {version} order by {_PLACE} desc) = 1"
        ).fetchall()
        for (day,) in con.execute(f"select distinct cast({date} as varchar) from skw_pending order by 1").fetchall():
            path = files.new_path(table.path, "pending", day, stamp, view.schema.fingerprint)
            paths.append(path)
            con.execute(
                f"copy (select * from skw_pending where {date} = date '{day}' order by {columns.quoted([EVENT, *view.key_names])}"
                f", {INGESTED}) to {columns.text(str(table.path / path))} (format parquet, compression zstd)"
            ).fetchall()
    return paths


@contextmanager
def _discarding(table: LakeTable, paths: list[str]) -> Iterator[None]:
    """When the block fails, none of these files stays, unless a commit has them."""
    try:
        yield
    except BaseException:
        _discard(table, paths)
        raise
