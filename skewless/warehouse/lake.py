"""The history of one feature view: a Delta table with every row version, and a ledger entry in each commit.

Layout: `<lake root>/<entity>/<storage name>/v<version>/`, partitioned by row_state (current, superseded, pending) and
event_date (the day, or the month's first day). Readers get SQL text over an explicit file list, for any DuckDB connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skewless import clock
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.warehouse import columns, files, ledger
from skewless.warehouse.columns import EVENT, INGESTED, PARTITIONS, SUPERSEDED
from skewless.warehouse.files import LakeFile
from skewless.warehouse.ledger import LedgerEntry, Position
from skewless.warehouse.locks import TableLock
from skewless.warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.warehouse.feed import Changes
    from skewless.warehouse.pending import Appended, Part

COMMIT_WAIT_SECONDS = 60.0
WRITER = "writer"                           # the Delta transaction that makes two runs conflict


class LakeTable:
    """The table of one view-version. Construction reads nothing; every method reads the newest state."""

    def __init__(self, lake_root: Path, view: View) -> None:
        self.view = view
        self.path = Path(lake_root) / view.entity / (view.storage or view.name) / f"v{view.version}"
        self._cache: Snapshot | None = None

    def exists(self) -> bool:
        """True once the table was created: by the first run, or by `apply`."""
        return (self.path / "_delta_log").is_dir() and any((self.path / "_delta_log").iterdir())

    def snapshot(self, version: int | None = None) -> Snapshot:
        """The newest commit, or that of a past Delta version. Raises SK506 when there is no table."""
        table = self._open(version)
        table_id, at = str(table.metadata().id), table.version()
        cached = self._cache
        if cached and (cached.position.table_id, cached.position.version) == (table_id, at):
            return cached
        entries = self._ledger_of(table_id, at)
        snapshot = Snapshot(
            root=self.path, view=self.view, entries=entries, files=files.live(table),
            position=Position(table_id, at, max((e.r_us for e in entries), default=0)),
            partition=next((e.partition for e in entries if e.partition), self.view.partition),
        )
        if version is None:
            self._cache = snapshot
        return snapshot

    def position(self) -> Position:
        """Table id, version and stamp of the newest commit. Raises SK506."""
        return self.snapshot().position

    def ledger(self) -> list[LedgerEntry]:
        """Every entry, oldest first; empty without a table."""
        return self.snapshot().entries if self.exists() else []

    def complete_through_us(self, feature: str | None = None) -> int | None:
        """The instant up to which (exclusive) the history has no gap since its begin; of one feature, where it was computed."""
        return self.snapshot().complete_through_us(feature) if self.exists() else None

    def applied_hash(self) -> str | None:
        """The definition that `apply` accepted last; None for a draft."""
        return next((e.definition_hash for e in reversed(self.ledger()) if e.kind == ledger.APPLIED), None)

    def mark_applied(self, definition_hash: str, *, restate: bool = False) -> None:
        """From now on the table takes only this definition. Creates the table where there is none.

        Windows of the definition applied before keep counting as coverage, unless `restate`: then history is due again.
        """
        if not self.exists():
            self.create()
        with self.writing(wait_seconds=10), self.committing():
            entries = self.snapshot().entries
            before = ledger.counting_hashes(entries) if any(e.kind == ledger.APPLIED for e in entries) else set()
            counts = () if restate else tuple(sorted((before or set()) - {definition_hash}))
            if self.applied_hash() == definition_hash and not restate:
                return
            self.commit(LedgerEntry(
                kind=ledger.APPLIED, r_us=self.next_stamp(), definition_hash=definition_hash, counts=counts, restates=restate
            ))

    def relation(
        self, kind: Literal["current", "versions"] = "current", *, lo_us: int | None = None, hi_us: int | None = None,
        version: int | None = None,
    ) -> str:
        """SQL text `(select …)` of keys, event_timestamp, features, ingested_at (and superseded_at), within [lo, hi] inclusive.

        Without a table it selects no rows, with the right types. A past `version` is read from its own files, or, after they
        were vacuumed, rebuilt from the versions kept.
        """
        if not self.exists():
            wanted = columns.stored(self.view)[: None if kind == "versions" else -1]
            return f"({columns.empty(wanted)})"
        snapshot = self.snapshot(version)
        if version is not None and not all((self.path / f.path).exists() for f in snapshot.files):
            return self.snapshot().as_known(snapshot.position.r_us, lo_us=lo_us, hi_us=hi_us)
        return snapshot.relation(kind, lo_us=lo_us, hi_us=hi_us)

    def changes(self, since: Position | None, *, active_since_us: int | None = None) -> Changes:
        """What a reader at `since` must apply to hold the newest row of every entity. Raises SK506."""
        from skewless.warehouse.feed import changes

        return changes(self.snapshot(), since, active_since_us=active_since_us)

    def append_pending(self, rows: pa.Table, *, app_id: str, app_version: int) -> bool:
        """Appends a stream's rows (keys, event_timestamp, features, ingested_at) in one commit, exactly once.

        False when the transaction (`app_id`, `app_version` or a newer one) is there already. Raises SK501, SK506.
        """
        from skewless.warehouse.pending import append

        return append(self, rows, app_id=app_id, app_version=app_version)

    def append_parts(self, parts: Sequence[Part]) -> Appended:
        """`append_pending` of several partitions of a topic in one commit; see `skewless.warehouse.pending.Part`."""
        from skewless.warehouse.pending import append_parts

        return append_parts(self, parts)

    def statistics(self) -> dict[str, Any]:
        """Rows current, superseded and pending, files, bytes, newest_event_timestamp_us; zeros without a table."""
        if not self.exists():
            zeros = dict.fromkeys(("current", "superseded", "pending", "files", "bytes"), 0)
            return {**zeros, "newest_event_timestamp_us": None}
        return self.snapshot().statistics()

    # -- writing: the materialization, streams, upkeep ------------------------------------------------------------------

    def create(self) -> None:
        """Makes the empty table. A log entry never expires, since the log is the ledger. Two creators: one table."""
        from deltalake import CommitProperties, DeltaTable

        entry = LedgerEntry(kind=ledger.CREATE, r_us=clock.now_us(), partition=self.view.partition)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            self.path, columns.arrow_schema(self.view), mode="ignore", partition_by=list(PARTITIONS),
            configuration={"delta.enableExpiredLogCleanup": "false"},
            commit_properties=CommitProperties(custom_metadata={ledger.METADATA_KEY: ledger.encode(entry)}),
        )

    def start_over(self) -> None:
        """Drops a draft's history: an empty table of another id takes its place. Hold `writing()`."""
        import shutil

        trash = self.path.with_name(f".{self.path.name}.dropped-{secrets.token_hex(4)}")
        with self.committing():
            self.path.rename(trash)
            self.create()
        shutil.rmtree(trash, ignore_errors=True)

    def writing(self, *, wait_seconds: float = 0.0) -> TableLock:
        """The lock of a whole run."""
        return TableLock(self.path, "writer", wait_seconds=wait_seconds)

    def committing(self) -> TableLock:
        """The lock of one commit, from its stamp to its appearance."""
        return TableLock(self.path, "commit", wait_seconds=COMMIT_WAIT_SECONDS)

    def next_stamp(self) -> int:
        """The stamp of the next commit: after the clock, every stamp and every ingested_at so far. Hold `committing()`."""
        entries = self.snapshot().entries
        return max([clock.now_us(), *(max(e.r_us, e.newest_ingested_us) + 1 for e in entries)])

    def commit(
        self, entry: LedgerEntry, *, added: list[str] | None = None, removed: list[LakeFile] | None = None,
        transactions: Sequence[tuple[str, int]] = (), data_change: bool = True,
    ) -> Position:
        """One atomic commit of written files, removed files and the ledger entry. Hold `committing()`. Raises SK511.

        Without `transactions` it counts as a writer's, so that a second writer's commit fails instead of doubling rows.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import CommitFailedError

        actions = [a for p in added or [] if (a := files.add_action(self.path, p, data_change=data_change))]
        actions += [files.remove_action(f, data_change=data_change) for f in removed or []]
        table = self._open()
        several = transactions or [(WRITER, (table.transaction_version(WRITER) or 0) + 1)]
        properties = CommitProperties(
            custom_metadata={ledger.METADATA_KEY: ledger.encode(entry)},
            app_transactions=[Transaction(name, number) for name, number in several],
        )
        try:
            table.create_write_transaction(
                actions, "append", table.schema(), list(PARTITIONS), commit_properties=properties
            )
        except CommitFailedError as error:
            raise SkewlessError(
                "SK511", "another commit came first; nothing of this one was written", detail=str(error), hint="Run it again."
            ) from None
        files.sync_to_disk(self.path / "_delta_log")
        return self.position()

    def add_columns(self, names: list[str]) -> None:
        """Adds features to the table; older files read as NULL."""
        from deltalake import Schema

        wanted = [f for f in Schema.from_arrow(columns.arrow_schema(self.view)).fields if f.name in names]
        self._open().alter.add_columns(wanted)

    def column_types(self) -> dict[str, str]:
        """Name and Delta type of every column that the table has now."""
        return {f.name: str(f.type) for f in self._open().schema().fields}

    def _ledger_of(self, table_id: str, at: int) -> list[LedgerEntry]:
        """The entries up to version `at`; those that the cached snapshot has are not read again."""
        known = self._cache
        if known is None or known.position.table_id != table_id or known.position.version > at:
            return ledger.read(self.path, 0, at)
        return [*known.entries, *ledger.read(self.path, known.position.version + 1, at)]

    def _open(self, version: int | None = None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if not self.exists():
            raise SkewlessError(
                "SK506", f"{self.view.ref} has no history yet", detail=f"There is no table at {self.path}.",
                hint=f"skewless materialize {self.view.name}",
            )
        try:
            return DeltaTable(self.path, version=version)
        except (DeltaError, OSError) as error:
            raise SkewlessError(
                "SK513", f"the history of {self.view.ref} cannot be read", detail=f"{self.path}: {str(error)[:200]}",
                hint="Its log is damaged, or not readable for you: restore the folder, or its rights.",
            ) from None


__all__ = ["EVENT", "INGESTED", "SUPERSEDED", "LakeTable", "LedgerEntry", "Position"]
