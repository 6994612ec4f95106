"""Our own DuckDB: in memory, UTC, over files only. dbt's `.duckdb` file is never opened here, since one writer excludes all."""

from __future__ import annotations

import duckdb


def memory() -> duckdb.DuckDBPyConnection:
    """A fresh in-memory connection whose session is pinned to UTC (law 10)."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'").fetchall()
    return connection
