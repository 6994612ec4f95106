"""The peer's side of bench/serving.py; runs under a Python that has feast[redis].

Arguments ROOT REDIS_PORT ENTITIES: writes a repository of 3 views of 50 features, and rows; `feast serve` in ROOT then answers.
Prints {"features": [...]}.
"""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

COUNTS = {"Float64": 20, "Int64": 15, "String": 5, "Bool": 5, "Nullable": 5}
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
source = FileSource(path="unused.parquet", timestamp_field="event_timestamp")
types = {"Float64": Float64, "Int64": Int64, "String": String, "Bool": Bool, "Nullable": Float64}
def fields(n):
    named = [(f"v{n}_{kind}_{i}", types[kind]) for kind, count in COUNTS.items() for i in range(count)]
    return [Field(name="user_id", dtype=Int64)] + [Field(name=name, dtype=dtype) for name, dtype in named]

views = [
    FeatureView(name=f"view_{n}", entities=[user], ttl=timedelta(days=3650), source=source, schema=fields(n)) for n in range(3)
]
view_0, view_1, view_2 = views
"""


def value(kind: str) -> object:
    if kind == "Int64":
        return random.randrange(1_000_000)
    if kind == "String":
        return f"text_{random.randrange(1000)}"
    if kind == "Bool":
        return random.random() < 0.5
    return None if kind == "Nullable" and random.random() < 0.2 else random.random() * 1000


def setup(root: Path, port: int, entities: int) -> None:
    import pandas as pd
    from feast import FeatureStore

    root.mkdir(parents=True, exist_ok=True)
    (root / "feature_store.yaml").write_text(
        f"project: bench\nregistry: {root}/registry.db\nprovider: local\nentity_key_serialization_version: 3\n"
        f"online_store: {{type: redis, connection_string: 'localhost:{port}'}}\n"
    )
    (root / "definitions.py").write_text(f"COUNTS = {COUNTS!r}\n" + DEFINITIONS)
    now = datetime.now(UTC) - timedelta(minutes=5)
    pd.DataFrame({"user_id": [1], "event_timestamp": [now]}).to_parquet(root / "unused.parquet")
    subprocess.run([str(Path(sys.executable).parent / "feast"), "apply", "--skip-source-validation"], cwd=root, check=True,
                   stdout=subprocess.DEVNULL)
    store = FeatureStore(repo_path=str(root))
    names = []
    for n in range(3):
        columns = [(f"v{n}_{kind}_{i}", kind) for kind, count in COUNTS.items() for i in range(count)]
        names += [f"view_{n}:{name}" for name, _ in columns]
        for first in range(0, entities, 1000):
            size = min(1000, entities - first)
            frame = {"user_id": range(first, first + size), "event_timestamp": [now] * size, "created": [now] * size}
            frame |= {name: [value(kind) for _ in range(size)] for name, kind in columns}
            store.write_to_online_store(f"view_{n}", pd.DataFrame(frame).drop(columns="created"))
    print(json.dumps({"features": names}))


if __name__ == "__main__":
    setup(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
