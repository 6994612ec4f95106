"""Claim: the point-in-time join is near the bare engine and far from the peer. 10M rows x 10 features, three label counts."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import duckdb

from bench import project, report
from bench.measure import sample
from bench.peer import feast_python

FEATURES = 10
HISTORY_ROWS = int(os.environ.get("BENCH_HISTORY_ROWS", "10000000"))
REPEATS = 2


def run(sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)) -> None:
    """Ours end to end (files in, Arrow out), a bare ASOF over the same files, and Feast where it installs."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        root = Path(folder) / "p"
        project.create(root, rows=HISTORY_ROWS, features=FEATURES, online=False)
        project.register(root)
        project.skewless(root, "materialize", "wide", "--stores", "offline")
        for size in sizes:
            labels = write_labels(root, size)
            for name, call in (("skewless", ours), ("bare ASOF, all features", bare), ("Feast (DuckDB store)", feast)):
                times = [s for s in (call(root, labels) for _ in range(REPEATS)) if s is not None]
                if times:
                    rows.append({"what": name, "labels": size, "history": HISTORY_ROWS, "wall s": min(times)})
    report.table("training", rows)
    report.plot(
        "training",
        "labels",
        "wall seconds",
        {
            n: [(float(str(r["labels"])), float(str(r["wall s"]))) for r in rows if r["what"] == n]
            for n in dict.fromkeys(str(r["what"]) for r in rows)
        },
    )


def write_labels(root: Path, size: int) -> Path:
    """`size` labels, random entities, spread over nine months."""
    path = root / f"labels-{size}.parquet"
    entities = max(1, HISTORY_ROWS // project.EVENTS_PER_ENTITY)
    con = duckdb.connect()
    con.execute(
        f"copy (select (hash(range, 7) % {entities})::bigint as uid, "
        f"timestamp '2025-03-15' + to_seconds((hash(range, 8) % {270 * 86400})::bigint) as label_timestamp from range({size})) "
        f"to '{path}' (format parquet)"
    ).fetchall()
    con.close()
    return path


def ours(root: Path, labels: Path) -> float:
    os.environ.update(SKEWLESS_CLOCK=project.CLOCK)
    from skewless import FeatureStore

    store = FeatureStore(root)
    with sample("skewless") as s:
        table = store.training_set(labels, features=["wide@1"]).arrow()
    assert table.num_rows == duckdb.sql(f"select count(*) from '{labels}'").fetchall()[0][0]
    return s.wall_s


def bare(root: Path, labels: Path) -> float:
    from skewless.config import read_config
    from skewless.registry.store import Store
    from skewless.warehouse.lake import LakeTable

    config = read_config(root)
    relation = LakeTable(config.lake_root, Store(config).applied().view("wide")).relation()
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    names = ", ".join(f"h.{n}" for n, _ in project.columns(FEATURES))
    with sample("bare") as s:
        con.sql(
            f"select l.*, {names} from read_parquet('{labels}') l asof left join {relation} h "
            "on l.uid = h.uid and l.label_timestamp >= h.event_timestamp"
        ).to_arrow_table()
    return s.wall_s


def feast(root: Path, labels: Path) -> float | None:
    python = feast_python()
    if python is None:
        return None
    script = Path(__file__).parent / "peer_feast.py"
    done = subprocess.run(
        [python, str(script), str(root), str(labels), str(FEATURES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        print(f"Feast failed: {done.stderr[-600:]}")
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["wall_s"])
