"""What a write to the online store did."""

from __future__ import annotations

from typing import NamedTuple


class Written(NamedTuple):
    """Rows written, rows that changed nothing, and (streams) the indexes of rows whose writer must re-read the ledger."""

    applied: int
    ignored: int
    refresh: tuple[int, ...] = ()
