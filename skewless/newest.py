"""The newest row of single entities, out of the history: what a sync repairs, and what the cold path answers."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, unquote_to_bytes

import duckdb
import pyarrow as pa

from skewless import rows
from skewless.registry.model import JoinKey, View
from skewless.warehouse.lake import LakeTable


def newest_rows(
    lake: LakeTable, view: View, keys: Sequence[bytes], *, version: int | None = None, lo_us: int | None = None,
    hi_us: int | None = None,
) -> pa.Table:
    """Keys, event_timestamp, features, ingested_at of the newest row of each entity that has one within [lo, hi].

    `keys` are Redis keys of the view; `version` is one of the lake, default: the newest.
    """
    wanted = entities(view, keys)
    names = ", ".join(f'"{k.name}"' for k in view.join_keys)
    columns = ", ".join(f'r."{n}"' for n in (*view.key_names, "event_timestamp", *view.feature_names, "ingested_at"))
    relation = lake.relation(version=version, lo_us=lo_us, hi_us=hi_us)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.register("skw_wanted", wanted)
        return con.sql(
            f"select {columns} from {relation} r semi join skw_wanted using ({names}) "
            f"qualify row_number() over (partition by {names} order by event_timestamp desc, ingested_at desc) = 1"
        ).to_arrow_table()


def entities(view: View, keys: Sequence[bytes]) -> pa.Table:
    """The join key columns that Redis keys of the view name."""
    parts = [key.decode().partition("{")[2].partition("}")[0].split("|")[1:] for key in keys]
    return pa.table({k.name: rows.column([_value(k, p[i]) for p in parts], k.type) for i, k in enumerate(view.join_keys)})


def _value(join_key: JoinKey, part: str) -> object:
    return unquote_to_bytes(part) if join_key.type == "bytes" else rows.parse_key(join_key.type, unquote(part))
