"""The materialization without dbt: its statements rendered once by dbt, its steps driven on a DuckDB connection."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from skewless.registry.model import Feature, View
from skewless.warehouse.dbt import compile_inline
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.run import WINDOW_END, WINDOW_START, Request, Run, Totals, describe
from skewless.warehouse.session import memory
from tests.history_project import Project, view

SQL = f"select k, seen as event_timestamp, a, x from source where seen >= {WINDOW_START} and seen < {WINDOW_END}"
VIEWS: dict[str, View] = {
    "day": view(partition="day", overlap_us=86_400_000_000),
    "month": view(overlap_us=86_400_000_000),
    "wide": view(features=(*view().features, Feature(name="b", type="string"))),
    "approximate": view(features=(Feature(name="a", type="int64"), Feature(name="x", type="float64", approximate=1e-6))),
}


@functools.cache
def statements(name: str) -> dict[str, str]:
    """The statements for one of `VIEWS`, all rendered by one `dbt compile --inline`."""
    return _rendered()[name]


@functools.cache
def _rendered() -> dict[str, dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "p")
        calls = ", ".join(
            f"'{name}': skewless.feature_view_statements(fromjson({json.dumps(json.dumps(describe(v, v.partition)))}))"
            for name, v in VIEWS.items()
        )
        return json.loads(compile_inline(project.config, "{{ tojson({" + calls + "}) }}"))


class Driver:
    """One table and one DuckDB session with the table `source` (k, seen, a, x)."""

    def __init__(self, lake_root: Path, name: str = "day", **changes: Any) -> None:
        self.name = name
        self.table = LakeTable(lake_root, VIEWS[name])
        self.con = memory()
        self.con.execute("create table source (k varchar, seen timestamp, a bigint, x double)").fetchall()
        self.options: dict[str, Any] = {"chunk_us": 3 * 86_400_000_000, "definition_hash": "d1", **changes}

    def request(self, **changes: Any) -> Request:
        options = {"sql": SQL, "run_id": "r", **self.options, **changes}
        return Request(view=self.table.view, statements=statements(self.name), **options)

    def run(self, *, stop_after: int | None = None, **changes: Any) -> Totals | None:
        """One run; with `stop_after` it dies after that many statements, as a killed process does."""
        run = Run(self.table, self.request(**changes))
        steps = run.steps()
        try:
            answer = None
            for number in range(100_000):
                if number == stop_after:
                    return None
                step = steps.send(answer)
                rows = self.con.execute(step.sql).fetchall()
                answer = rows[0][0] if step.fetch else None
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()
            run.close()
        return None

    def close(self) -> None:
        self.con.close()
