"""Upkeep of a view's table: merge small files, delete files that nothing refers to. Neither changes what any reader sees."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import duckdb

from skewless.warehouse import columns, files, ledger
from skewless.warehouse.columns import INGESTED, quoted
from skewless.warehouse.files import LakeFile
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.ledger import LedgerEntry
from skewless.warehouse.session import memory

GRACE_SECONDS = 7 * 86_400
WRITE_SECONDS = 3_600                       # longest time from a file's last byte to its commit


@dataclass(frozen=True)
class Upkeep:
    """What was done: files before and after (compact), or deleted files and their bytes (vacuum).
    `rows_folded`: rows of a stream that became history before that."""

    view: str
    files_before: int
    files_after: int
    bytes_deleted: int = 0
    rows_folded: int = 0


def compact(table: LakeTable) -> Upkeep:
    """One file a row state and partition, in one commit. The replaced files stay until `vacuum`. Raises SK505, SK506."""
    with table.writing(), table.committing():
        snapshot = table.snapshot()
        groups: dict[tuple[str, date], list[LakeFile]] = defaultdict(list)
        for file in snapshot.files:
            groups[file.row_state, file.event_date].append(file)
        many = {place: there for place, there in groups.items() if len(there) > 1}
        if many:
            stamp = table.next_stamp()
            with memory() as con:
                added = [_merge(con, table, state, day, there, stamp) for (state, day), there in many.items()]
            removed = [f for there in many.values() for f in there]
            table.commit(LedgerEntry(kind=ledger.COMPACT, r_us=stamp), added=added, removed=removed, data_change=False)
        after = len(table.snapshot().files)
    return Upkeep(table.view.ref, len(snapshot.files), after)


def _merge(
    con: duckdb.DuckDBPyConnection, table: LakeTable, state: str, day: date, there: list[LakeFile], stamp: int
) -> str:
    view = table.view
    path = files.new_path(table.path, state, day.isoformat(), stamp, view.schema.fingerprint)
    order = quoted([columns.EVENT, *view.key_names, INGESTED])
    target = columns.text(str(table.path / path))
    rows = files.scan(table.path, there, view)
    con.execute(f"copy (select * from ({rows}) order by {order}) to {target} (format parquet, compression zstd)").fetchall()
    return path


def vacuum(table: LakeTable, *, grace_seconds: float = GRACE_SECONDS, dry_run: bool = False) -> Upkeep:
    """Deletes data files that no version of the last `grace_seconds` refers to, leftovers of killed runs among them.

    Ages are real time, since what they protect is running readers and writers. The log stays whole: it is the ledger.
    Raises SK505, SK506.
    """
    with table.writing(), table.committing():
        there = [p for p in table.path.rglob("*.parquet") if "_delta_log" not in p.parts]
        keep = _referred(table, time.time() - grace_seconds)
        oldest = time.time() - grace_seconds - (WRITE_SECONDS if grace_seconds else 0)
        gone = [p for p in there if str(p.relative_to(table.path)) not in keep and p.stat().st_mtime < oldest]
        size = sum(p.stat().st_size for p in gone)
        if not dry_run:
            for path in gone:
                path.unlink()
            for folder in _dropped(table.path, oldest):
                shutil.rmtree(folder, ignore_errors=True)
    return Upkeep(table.view.ref, len(there), len(there) - len(gone), size)


def _referred(table: LakeTable, since: float) -> set[str]:
    """Paths that are live now or were live at some time since then."""
    paths, version = set[str](), table._open().version()
    while version > 0:
        actions = ledger.actions(table.path, version, "commitInfo", "add")
        if max((a["commitInfo"].get("timestamp", 0) for a in actions if "commitInfo" in a), default=0) / 1000 <= since:
            break
        paths |= {unquote(a["add"]["path"]) for a in actions if "add" in a}
        version -= 1
    return paths | {f.path for f in files.live(table._open(version))}


def _dropped(table: Path, oldest: float) -> list[Path]:
    found = table.parent.glob(f".{table.name}.dropped-*")
    return [p for p in found if p.is_dir() and p.stat().st_mtime < oldest]
