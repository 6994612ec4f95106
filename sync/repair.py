"""What a sync asks the history about single entities: which ones have no row any more."""

from __future__ import annotations

import pyarrow as pa

from skewless.registry.model import View
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.session import memory


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
