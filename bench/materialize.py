"""Claim: history costs what the change costs. First load, a no-change day, a 1 % correction of three days; growth over sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import project, report
from bench.measure import sample

FEATURES = 20


def one(rows: int) -> list[dict[str, object]]:
    out = []
    with tempfile.TemporaryDirectory(prefix="bench-materialize-") as folder:
        root = Path(folder) / "p"
        project.create(root, rows=rows, features=FEATURES)
        project.register(root)
        with sample("first load of a year") as first:
            project.skewless(root, "materialize", "wide", "--stores", "offline")
        with sample("no-change re-run of one day") as same:
            project.skewless(root, "materialize", "wide", "--stores", "offline", "--from", "2025-12-30", "--to", "2025-12-31")
        project.write_source(root, rows=rows, features=FEATURES, corrected_days=("2025-06-03", "2025-06-04", "2025-06-05"))
        with sample("1 % of three old days corrected") as corrected:
            project.skewless(root, "materialize", "wide", "--stores", "offline", "--from", "2025-06-03", "--to", "2025-06-06")
        for s in (first, same, corrected):
            out.append(
                {
                    "what": s.name,
                    "rows": rows,
                    "wall s": s.wall_s,
                    "CPU s": s.cpu_s,
                    "RSS MB": s.rss_mb_max,
                    "foreign cores": s.foreign_cores,
                }
            )
    return out


def run(sizes: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)) -> None:
    """Each size in a project of its own; times include dbt's and the command line's start."""
    rows = [row for size in sizes for row in one(size)]
    report.table("materialize", rows)
    names = list(dict.fromkeys(str(r["what"]) for r in rows))
    report.plot(
        "materialize",
        "rows x 20 features",
        "wall seconds",
        {n: [(float(str(r["rows"])), float(str(r["wall s"]))) for r in rows if r["what"] == n] for n in names},
    )
