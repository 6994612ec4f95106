"""What a sync asks the history about single entities: the newest row of some, and which ones have none any more."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, unquote_to_bytes

import pyarrow as pa

from skewless import rows
from skewless.registry.model import JoinKey, View
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.session import memory


def newest_rows(lake: LakeTable, view: View, keys: Sequence[bytes], *, version: int | None = None) -> pa.Table:
    """Keys, event_timestamp, features, ingested_at of the newest row of each entity that has one, as of a version of the lake."""
    wanted = entities(view, keys)
    names = ", ".join(f'"{k.name}"' for k in view.join_keys)
    columns = ", ".join(f'r."{n}"' for n in (*view.key_names, "event_timestamp", *view.feature_names, "ingested_at"))
    with memory() as con:
        con.register("skw_wanted", wanted)
        return con.sql(
            f"select {columns} from {lake.relation(version=version)} r semi join skw_wanted using ({names}) "
            f"qualify row_number() over (partition by {names} order by event_timestamp desc, ingested_at desc) = 1"
        ).to_arrow_table()


def departed(
    lake: LakeTable, view: View, living: pa.Table, *, since_us: int, alive_us: int | None, version: int | None = None
) -> pa.Table:
    """The join keys of entities with a version superseded after `since_us` and no row of `living` at or after `alive_us`."""
    names = ", ".join(f'"{k.name}"' for k in view.join_keys)
    columns = ", ".join(f'v."{k.name}"' for k in view.join_keys)
    where = "" if alive_us is None else f" where event_timestamp >= make_timestamp({alive_us})"
    with memory() as con:
        con.register("skw_living", living)
        return con.sql(
            f"select distinct {columns} from {lake.relation('versions', version=version)} v "
            f"anti join (select {names} from skw_living{where}) l using ({names}) "
            f"where v.superseded_at > make_timestamp({since_us})"
        ).to_arrow_table()


def entities(view: View, keys: Sequence[bytes]) -> pa.Table:
    """The join key columns that Redis keys of the view name."""
    parts = [key.decode().partition("{")[2].partition("}")[0].split("|")[1:] for key in keys]
    return pa.table({k.name: rows.column([_value(k, p[i]) for p in parts], k.type) for i, k in enumerate(view.join_keys)})


def _value(join_key: JoinKey, part: str) -> object:
    return unquote_to_bytes(part) if join_key.type == "bytes" else rows.parse_key(join_key.type, unquote(part))
