"""A stream's rows enter the lake as `pending`: they count from complete_through on, until a run folds them into the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skewless.clock import EPOCH
from skewless.errors import SkewlessError
from skewless.warehouse import columns, files, ledger
from skewless.warehouse.columns import EVENT, INGESTED, SUPERSEDED, quote
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.session import memory

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.warehouse.lake import LakeTable


def append(table: LakeTable, rows: pa.Table, *, app_id: str, app_version: int) -> bool:
    """One commit with these rows; False when the stream's transaction is there already. Waits for a commit under way."""
    with table.committing():
        if (table._open().transaction_version(app_id) or -1) >= app_version:
            return False
        newest = _check(table, rows)
        stamp = max(table.next_stamp(), newest + 1)
        entry = LedgerEntry(kind=ledger.PENDING, r_us=stamp, rows_in=rows.num_rows, newest_ingested_us=newest, run_id=app_id)
        table.commit(entry, added=_write(table, rows, stamp), transaction=(app_id, app_version))
    return True


def _check(table: LakeTable, rows: pa.Table) -> int:
    import pyarrow.compute as pc

    for name in [*columns.slot(table.view), INGESTED]:
        if rows.column(name).null_count:
            raise SkewlessError("SK501", f'a row of the stream of {table.view.ref} has a NULL "{name}"')
    newest = pc.max(rows.column(INGESTED)).as_py()
    return 0 if newest is None else (newest.replace(tzinfo=None) - EPOCH) // (newest.resolution)


def _write(table: LakeTable, rows: pa.Table, stamp: int) -> list[str]:
    view, partition = table.view, table.snapshot().partition
    items = [f"{columns.normalised(n, t)} as {quote(n)}" for n, t in columns.stored(view) if n != SUPERSEDED]
    date = columns.event_date(partition, EVENT)
    paths = []
    with memory() as con:
        con.register("skw_rows", rows)
        con.execute(
            f"create temp table skw_pending as select {', '.join(items)}, cast(null as timestamp) as {SUPERSEDED} from skw_rows"
        ).fetchall()
        for (day,) in con.execute(f"select distinct cast({date} as varchar) from skw_pending order by 1").fetchall():
            path = files.new_path(table.path, "pending", day, stamp, view.schema.fingerprint)
            con.execute(
                f"copy (select * from skw_pending where {date} = date '{day}' order by {columns.quoted([EVENT, *view.key_names])}"
                f", {INGESTED}) to {columns.text(str(table.path / path))} (format parquet, compression zstd)"
            ).fetchall()
            paths.append(path)
    return paths
