"""The data files of a Delta table: what the log says about them, how DuckDB reads them, how new ones enter a commit.

Files are immutable and their names are never used again: `<commit stamp>-<schema fingerprint>-<random>.parquet`. Readers take
paths from the log, never from a folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from skewless.clock import EPOCH
from skewless.warehouse.columns import EVENT, PARTITIONS, empty, quote, stored
from skewless.warehouse.columns import text as sql_text

_NAME = re.compile(r"^(\d+)-([0-9a-f]{16})-[0-9a-f]+\.parquet$")
FOREIGN_STAMP = 2**62                      # a file of another tool: newer than any position, so it is always looked at


@dataclass(frozen=True)
class LakeFile:
    """One live data file. `r_us` is the stamp of the commit that wrote it; `path` is relative to the table."""

    path: str
    row_state: str
    event_date: date
    size: int
    rows: int
    r_us: int
    fingerprint: str
    newest_event_us: int | None = None
    oldest_event_us: int | None = None

    def holds(self, partition: str, lo_us: int | None, hi_us: int | None) -> bool:
        """True when the file's partition may hold event times within [lo, hi]."""
        start = (datetime(self.event_date.year, self.event_date.month, self.event_date.day) - EPOCH).days * 86_400_000_000
        length = (1 if partition == "day" else 31) * 86_400_000_000
        return (hi_us is None or start <= hi_us) and (lo_us is None or lo_us < start + length)


def live(table: Any) -> list[LakeFile]:
    """The files of a loaded DeltaTable, ordered by state, date and path."""
    import pyarrow as pa

    columns = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    n = len(columns["path"])
    newest, oldest = columns.get(f"max.{EVENT}", [None] * n), columns.get(f"min.{EVENT}", [None] * n)
    out = []
    for i in range(n):
        found = _NAME.match(columns["path"][i].rsplit("/", 1)[-1])
        out.append(LakeFile(
            path=columns["path"][i], row_state=columns["partition.row_state"][i],
            event_date=columns["partition.event_date"][i], size=columns["size_bytes"][i], rows=columns["num_records"][i] or 0,
            r_us=int(found[1]) if found else FOREIGN_STAMP, fingerprint=found[2] if found else "",
            newest_event_us=_us(newest[i]), oldest_event_us=_us(oldest[i]),
        ))
    return sorted(out, key=lambda f: (f.row_state, f.event_date, f.path))


def scan(root: Path, files: list[LakeFile], view: Any, names: list[str] | None = None) -> str:
    """A select of the stored columns (or `names` of them) over these files; columns that a file lacks are NULL."""
    columns = [(n, t) for n, t in stored(view) if names is None or n in names]
    if not files:
        return empty(columns)
    paths = "[" + ", ".join(sql_text(_plain(root / f.path)) for f in files) + "]"
    items = ", ".join(quote(n) for n, _ in columns)
    if all(f.fingerprint == view.schema.fingerprint for f in files):
        return f"select {items} from read_parquet({paths}, hive_partitioning = false)"
    source = f"select * from read_parquet({paths}, hive_partitioning = false, union_by_name = true)"
    return f"select {items} from ({empty(columns)} union all by name {source})"


def new_path(root: Path, row_state: str, event_date: str, r_us: int, fingerprint: str) -> str:
    """A path, relative to the table, that no file has ever had; its folder exists afterwards."""
    folder = f"{PARTITIONS[0]}={row_state}/{PARTITIONS[1]}={event_date}"
    (root / folder).mkdir(parents=True, exist_ok=True)
    return f"{folder}/{r_us}-{fingerprint}-{secrets.token_hex(6)}.parquet"


def add_action(root: Path, path: str, *, data_change: bool = True) -> Any:
    """Flushes a written file and its folder to the disk, and describes it for the log, with the statistics of its footer.

    A file without rows is deleted instead, and the answer is None.
    """
    import pyarrow.parquet as pq
    from deltalake.transaction import AddAction

    full = root / path
    metadata = pq.read_metadata(full)
    if not metadata.num_rows:
        full.unlink()
        return None
    sync_to_disk(full)
    sync_to_disk(full.parent)
    stats: dict[str, Any] = {"numRecords": metadata.num_rows}
    at = metadata.schema.names.index(EVENT) if EVENT in metadata.schema.names else None
    groups = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)] if at is not None else []
    if groups and all(g is not None and g.has_min_max for g in groups):
        stats["minValues"] = {EVENT: min(g.min for g in groups).isoformat(timespec="microseconds")}
        stats["maxValues"] = {EVENT: max(g.max for g in groups).isoformat(timespec="microseconds")}
        stats["nullCount"] = {EVENT: 0}
    values = dict(part.split("=", 1) for part in path.split("/")[:-1])
    return AddAction(path, full.stat().st_size, values, int(time.time() * 1000), data_change, json.dumps(stats))


def remove_action(file: LakeFile, *, data_change: bool = True) -> Any:
    """Takes a file out of the table; its bytes stay until `vacuum`."""
    from deltalake.transaction import RemoveAction

    values: dict[str, str | None] = {PARTITIONS[0]: file.row_state, PARTITIONS[1]: file.event_date.isoformat()}
    return RemoveAction(file.path, data_change, int(time.time() * 1000), file.size, values)


def sync_to_disk(path: Path) -> None:
    """fsync of a file or folder."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _plain(path: Path) -> str:
    return re.sub(r"([*?\[])", r"[\1]", str(path))      # DuckDB reads every path as a glob


def _us(at: Any) -> int | None:
    return None if at is None else (at.replace(tzinfo=None) - EPOCH) // (datetime.resolution)
