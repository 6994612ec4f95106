"""The peer's side of bench/training.py; runs under a Python that has feast[duckdb]. Prints {"wall_s": …}."""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64


def main(root: str, labels: str, features: int) -> None:
    config = RepoConfig(
        project="bench",
        registry=f"{root}/feast-registry.db",
        provider="local",
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": f"{root}/feast-online.db"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    source = FileSource(path=f"{root}/source/*.parquet", timestamp_field="event_timestamp")
    entity = Entity(name="user", join_keys=["uid"], value_type=ValueType.INT64)
    names = [f"f{i}" for i in range(features)]
    view = FeatureView(
        name="wide",
        entities=[entity],
        ttl=timedelta(0),
        source=source,
        schema=[Field(name="uid", dtype=Int64)]
        + [Field(name=n, dtype=Int64 if i % 2 == 0 else Float64) for i, n in enumerate(names)],
    )
    store.apply([entity, view])
    frame = pd.read_parquet(labels).rename(columns={"label_timestamp": "event_timestamp"})
    started = time.monotonic()
    table = store.get_historical_features(frame, [f"wide:{n}" for n in names]).to_arrow()
    seconds = time.monotonic() - started
    assert table.num_rows == len(frame), (table.num_rows, len(frame))
    print(json.dumps({"wall_s": seconds}))


main(sys.argv[1], sys.argv[2], int(sys.argv[3])) if Path(sys.argv[1]).exists() else sys.exit("no such project")
