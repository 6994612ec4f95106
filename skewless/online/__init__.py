"""The online store: one Redis or Valkey, one script that decides which row wins, and the client that runs it.

`connection` opens clients · `script` is the rule · `store` reads and writes rows ·
`position` keeps how far a view was synced, and its lock · `push` frames Arrow columns as one wire
stream and is imported when first used, so a serving install needs no pyarrow.
"""

from __future__ import annotations

from skewless.online.connection import connect, connect_async, shown, speaking, store_url
from skewless.online.position import SyncRecord, SyncRecords
from skewless.online.store import OnlineStore
from skewless.online.written import Written

__all__ = ["OnlineStore", "SyncRecord", "SyncRecords", "Written", "connect", "connect_async", "shown", "speaking", "store_url"]
