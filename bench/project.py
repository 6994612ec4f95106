"""A synthetic project of any size: one view over month files, half of the features bigint, half double, a year of events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).parent.parent
CLOCK = "2026-01-01T00:00:00Z"
EVENTS_PER_ENTITY = 100  # on average, uniform


def columns(features: int) -> list[tuple[str, str]]:
    """(name, SQL type) of each feature: even ones bigint, odd ones double."""
    return [(f"f{i}", "bigint" if i % 2 == 0 else "double") for i in range(features)]


def create(root: Path, *, rows: int, features: int, online: bool = True, events_per_entity: int = EVENTS_PER_ENTITY) -> None:
    """Write the dbt project and its source files; nothing is run yet."""
    (root / "models").mkdir(parents=True)
    (root / "source").mkdir()
    names = columns(features)
    (root / "dbt_project.yml").write_text(
        "name: bench\nversion: '1.0'\nprofile: bench\n" "models: {bench: {+materialized: feature_view}}\n"
    )
    (root / "packages.yml").write_text(f"packages: [{{local: {ROOT}}}]\n")
    (root / "skewless.yml").write_text("project: bench\n")
    (root / "profiles.yml").write_text(
        "bench:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n"
        f"      path: {root}/bench.duckdb\n      threads: 1\n      settings: {{TimeZone: UTC}}\n"
        "      plugins: [{module: skewless.warehouse.plugin, alias: skewless}]\n"
    )
    (root / "models" / "wide.sql").write_text(
        f"select uid, event_timestamp, {', '.join(n for n, _ in names)}\nfrom read_parquet('{root}/source/*.parquet')\n"
        "where {{ skewless.input_window('event_timestamp') }}\n"
    )
    features_yaml = "".join(f"      - {{name: {n}, data_type: {t}}}\n" for n, t in names)
    (root / "models" / "wide.yml").write_text(
        "models:\n  - name: wide\n    config:\n      contract: {enforced: true}\n      meta:\n        skewless:\n"
        "          entities: [{name: user, join_keys: [uid]}]\n          begin: 2025-01-01\n          partition: day\n"
        f"          availability_delay: 0s\n          online: {str(online).lower()}\n"
        "    columns:\n      - {name: uid, data_type: bigint}\n"
        f"      - {{name: event_timestamp, data_type: timestamp}}\n{features_yaml}"
    )
    write_source(root, rows=rows, features=features, events_per_entity=events_per_entity)


def write_source(
    root: Path, *, rows: int, features: int, corrected_days: tuple[str, ...] = (), events_per_entity: int = EVENTS_PER_ENTITY
) -> None:
    """The month files. Every hundredth row of `corrected_days` gets another value in f0."""
    step_us = 365 * 86_400_000_000 // rows
    entities = max(1, rows // events_per_entity)
    days = ", ".join(f"date '{d}'" for d in corrected_days) or "null"
    bump = f"case when i % 100 = 0 and event_timestamp::date in ({days}) then 1 else 0 end"
    exprs = [
        (f"(hash(i, {n}) % 1000000)::bigint" if n % 2 == 0 else f"(hash(i, {n}) % 1000000) / 997.0")
        + (f" + {bump}" if n == 0 else "")
        for n in range(features)
    ]
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    every = f"""
        select (hash(i) % {entities})::bigint as uid, event_timestamp,
               {", ".join(f"{e} as f{n}" for n, e in enumerate(exprs))}
        from (
            select range as i, make_timestamp(epoch_us(timestamp '2025-01-01') + range * {step_us}) as event_timestamp
            from range({rows}))
    """
    for month in range(1, 13):
        last = f"timestamp '{2025 + month // 12}-{month % 12 + 1:02}-01'"
        con.execute(
            f"copy (select * from ({every}) where event_timestamp >= timestamp '2025-{month:02}-01' and event_timestamp < {last})"
            f" to '{root}/source/{month:02}.parquet' (format parquet, compression zstd, use_tmp_file true)"
        ).fetchall()
    con.close()


def environment() -> dict[str, str]:
    """The clock stands at the end of the synthetic year; with an empty CLOCK it goes."""
    return {**os.environ, **({"SKEWLESS_CLOCK": CLOCK} if CLOCK else {})}


def skewless(root: Path, *args: str) -> str:
    """Run the command line in the project; its stdout. Stops the bench when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "skewless.cli", *args], cwd=root, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"skewless {' '.join(args)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def register(root: Path) -> None:
    """plan and apply."""
    import json

    plan = json.loads(skewless(root, "plan", "--json"))
    skewless(root, "apply", plan["id"])
