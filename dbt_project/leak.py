"""The point of it all: one label frame joined twice, leakily and as of each label, and how many rows differ.

Leaky is what a plain left join to "the newest row of each entity" gives: what is in the table today, not what was known then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from skewless.config import read_config
from skewless.registry.model import View
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable


@dataclass(frozen=True)
class Leak:
    """Labels in all; those for which any feature differs; those that were given a row dated after the label."""

    rows: int
    differ: int
    from_the_future: int
    differ_by_feature: dict[str, int]


def compare(project: Path, labels: Path, train: Path) -> Leak:
    """Join `labels` leakily to every view of the project, and compare with the training set `train`, row by row."""
    config = read_config(project)
    views = Store(config).applied().views
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"create table labels as select *, row_number() over () as place from read_parquet('{labels}')")
    connection.execute(f"create table train as select *, row_number() over () as place from read_parquet('{train}')")
    for view in views:
        connection.execute(f"create table {view.name} as {newest_rows(view, LakeTable(config.lake_root, view).relation())}")
    joins = "\n".join(f"left join {view.name} using ({', '.join(view.key_names)})" for view in views)
    features = [name for view in views for name in view.feature_names]
    wrong = [f"(train.{name} is distinct from leaky.{name})" for name in features]
    future = " or ".join(f"coalesce({view.name}.event_timestamp > label_timestamp, false)" for view in views)
    columns = ", ".join(f"{view.name}.{name}" for view in views for name in view.feature_names)
    counts = connection.execute(f"""
        with leaky as (select labels.place, {columns}, {future} as future from labels {joins})
        select count(*), count_if({" or ".join(wrong)}), count_if(future), {", ".join(f"count_if({test})" for test in wrong)}
        from leaky join train using (place)
    """).fetchone()
    assert counts is not None
    return Leak(counts[0], counts[1], counts[2], dict(zip(features, counts[3:], strict=True)))


def newest_rows(view: View, relation: str) -> str:
    """SQL for the newest row of each entity, whenever that was."""
    keys = ", ".join(view.key_names)
    return f"select * from {relation} qualify row_number() over (partition by {keys} order by event_timestamp desc) = 1"
