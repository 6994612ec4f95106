"""Claim: a sync encodes and pushes 50 features a row through the atomic guard at the numbers of the README."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench import project, report
from bench.measure import sample

FEATURES = 50


def run(sizes: tuple[int, ...] = (10_000, 100_000, 500_000)) -> None:
    """`sizes` entities, one row each, into an empty embedded store: unthrottled, JSON."""
    from skewless.registry.store import Store
    from skewless.sync.batch import sync_view

    from skewless.config import read_config

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
