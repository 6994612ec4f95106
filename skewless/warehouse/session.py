"""Our own DuckDB: in memory, UTC, over files only. dbt's `.duckdb` file is never opened here, since one writer excludes all."""

from __future__ import annotations

import duckdb


def memory() -> duckdb.DuckDBPyConnection:
    """A fresh in-memory connection whose session is pinned to UTC (law 10), and silent on stdout."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'; set enable_progress_bar = false").fetchall()
    return connection
