"""The point of it all: one label frame joined as of each label, and leakily, and how many rows differ.

Two leaks that people do make. `newest`: a plain left join to the newest row of each entity, which is what a table of today's
values gives. `same day`: the newest row of the label's calendar day, which is what a join of daily features on the date gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from skewless.config import read_config
from skewless.registry.model import Registry, View
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable

HORIZONS = {  # leak -> the last instant whose rows it lets a label see
    "newest": "timestamp '9999-01-01'",
    "same day": "date_trunc('day', label_timestamp) + interval 1 day - interval 1 microsecond",
}


@dataclass(frozen=True)
class Leak:
    """Against the correct training set: rows with another value, and rows that were given a value dated after the label.

    `caught`: of the flights that were late, the share whose plane had last landed late, as this join tells it.
    """

    name: str
    rows: int
    differ: int
    from_the_future: int
    caught: float


def compare(project: Path, labels: Path, train: Path) -> tuple[float, list[Leak]]:
    """Join `labels` in both leaky ways, and compare with the training set `train` row by row.

    Returns the share of late flights that are caught without a leak, and the leaks.
    """
    config = read_config(project)
    views = _views(Store(config).applied())
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"create table labels as select row_number() over () as place, * from read_parquet('{labels}')")
    connection.execute(f"create table train as select row_number() over () as place, * from read_parquet('{train}')")
    for view in views:
        connection.execute(f"create table {view.name} as select * from {LakeTable(config.lake_root, view).relation()}")
    honest = connection.execute(f"select {CAUGHT} from train").fetchone()
    assert honest is not None
    return honest[0], [_leak(connection, views, name) for name in HORIZONS]


def _views(registry: Registry) -> tuple[View, ...]:
    """The views of the service that the training set was made for."""
    return tuple(registry.view(ref.view, ref.version) for ref in registry.service("late_flights").features)


CAUGHT = "count_if(late and plane_last_arr_delay >= 30) / count_if(late)"


def _leak(connection: duckdb.DuckDBPyConnection, views: tuple[View, ...], name: str) -> Leak:
    connection.execute(f"create or replace temp table moments as select *, {HORIZONS[name]} as horizon from labels")
    columns = ", ".join(f"{view.name}.{feature}" for view in views for feature in view.feature_names)
    future = " or ".join(f"coalesce({view.name}.event_timestamp > label_timestamp, false)" for view in views)
    differ = " or ".join(f"train.{feature} is distinct from leaky.{feature}" for view in views for feature in view.feature_names)
    connection.execute(f"""
        create or replace temp table leaky as
        select moments.place, late, {columns}, {future} as future from moments {" ".join(_join(view) for view in views)}
    """)
    counts = connection.execute(f"""
        select count(*), count_if({differ}), count_if(future), (select {CAUGHT} from leaky)
        from leaky join train using (place)
    """).fetchone()
    assert counts is not None
    return Leak(name, *counts)


def _join(view: View) -> str:
    keys = " and ".join(f"moments.{key} = {view.name}.{key}" for key in view.key_names)
    return f"asof left join {view.name} on {keys} and moments.horizon >= {view.name}.event_timestamp"
