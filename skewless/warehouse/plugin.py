"""The dbt-duckdb plugin: `skewless_lake(op, json) -> json`, which the feature_view materialization calls.

In the profile: `plugins: [{module: skewless.warehouse.plugin, alias: skewless}]`. Ops: describe, begin, next, relations. An
answer with `error` is a refusal in the form of `SkewlessError.render`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from skewless.config import Config, read_config
from skewless.errors import SkewlessError


class Plugin(BasePlugin):
    """Registers the function on dbt's connection. It never uses that connection itself."""

    def configure_connection(self, conn: Any) -> None:
        """Called by dbt-duckdb once for a new database connection."""
        conn.create_function("skewless_lake", Calls().call, ["VARCHAR", "VARCHAR"], "VARCHAR", side_effects=True)


class Calls:
    """The open runs of one dbt process, one a model."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        self._configs: dict[str, Config] = {}

    def call(self, op: str, document: str) -> str:
        """One op. Never raises a SkewlessError: it is in the answer."""
        ops: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "describe": self.describe, "begin": self.begin, "next": self.next, "relations": self.relations,
        }
        arguments = json.loads(document)
        try:
            return json.dumps(ops[op](arguments), default=str)
        except SkewlessError as error:
            self._drop(_model_id(arguments))
            return json.dumps({"error": error.render()})
        except OSError as error:
            self._drop(_model_id(arguments))
            hint = "Look at the folder `lake` of skewless.yml: rights, and space on its disk."
            said = SkewlessError("SK513", "the lake cannot be written", detail=f"{error}.", hint=hint)
            return json.dumps({"error": said.render()})

    def describe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{model} -> {view}: what the macros render the statements from."""
        from skewless.warehouse.run import describe

        table = self._table(arguments)
        partition = table.snapshot().partition if table.exists() else table.view.partition
        return {"view": describe(table.view, partition)}

    def begin(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Opens the model's run and gives its first step."""
        from skewless.clock import parse_instant
        from skewless.sql.definition import definition_hash
        from skewless.warehouse import canary
        from skewless.warehouse.run import Run, request_of

        node = arguments["model"]
        self._drop(node["unique_id"])
        table = self._table(arguments)
        start, end = arguments.get("start"), arguments.get("end")
        run = Run(table, request_of(
            node, table.view, sql=arguments["sql"], statements=arguments["statements"],
            definition_hash=definition_hash(arguments["sql"], "duckdb"),
            run_id=os.environ.get("SKEWLESS_JOB") or arguments["run_id"], resume="SKEWLESS_JOB" in os.environ,
            start_us=parse_instant(str(start)) if start else None, end_us=parse_instant(str(end)) if end else None,
            full_refresh=bool(arguments["full_refresh"]), allow_retract=bool(arguments["allow_retract"]),
        ))
        steps = canary.steps(run) if os.environ.get(canary.ENVIRONMENT) else run.steps()
        with self._lock:
            self._runs[node["unique_id"]] = (run, steps)
        return self._advance(node["unique_id"], None)

    def next(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Takes the answer of the last step and gives the next one, or `done`."""
        return self._advance(arguments["model"], arguments.get("value"))

    def relations(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The selects of a model's views as the lake is now; nothing where the table does not exist yet."""
        table = self._table(arguments)
        return {"relations": relations(table) if table.exists() else {}}

    def _advance(self, model: str, value: Any) -> dict[str, Any]:
        run, steps = self._runs[model]
        try:
            step = steps.send(value)
        except StopIteration as stop:
            totals = stop.value
            self._drop(model)
            if isinstance(totals, list):
                return {"done": True, "canary": True, "say": [f"canary {json.dumps(part)}" for part in totals]}
            rows = totals.inserted + totals.corrected + totals.retracted
            return {
                "done": True, "say": run.notes, "message": f"HISTORY {totals}", "rows": rows, "relations": relations(run.table),
            }
        return {"done": False, "sql": step.sql, "fetch": step.fetch, "say": step.say}

    def _drop(self, model: str) -> None:
        with self._lock:
            run, steps = self._runs.pop(model, (None, None))
        if run:
            steps.close()
            run.close()

    def _table(self, arguments: dict[str, Any]) -> Any:
        from skewless.warehouse.lake import LakeTable

        config = self._config(arguments["target"])
        return LakeTable(config.lake_root, view_of(config, arguments["model"]))

    def _config(self, target: str) -> Config:
        with self._lock:
            if target not in self._configs:
                self._configs[target] = read_config(_project_dir(), target=target)
            return self._configs[target]


def view_of(config: Config, node: dict[str, Any]) -> Any:
    """The View of one model as dbt describes it. Raises the first finding when it is not a feature view that can be read."""
    from skewless.registry.manifest import read_definitions

    bare = {**node, "compiled_code": ""}                 # columns and block say it all; the SQL would only be hashed
    manifest = {"metadata": {"adapter_type": "duckdb"}, "nodes": {node["unique_id"]: bare}}
    registry, findings = read_definitions(config, manifest)
    if not registry.views:
        errors = [f for f in findings if getattr(f, "level", "error") == "error"]
        raise errors[0] if errors else SkewlessError("SK510", f'"{node["name"]}" has no block meta.skewless with entities')
    return registry.views[0]


def relations(table: Any) -> dict[str, str]:
    """Suffix of a dbt relation -> its select: current rows, all versions, the ledger."""
    from skewless.warehouse.columns import text
    from skewless.warehouse.ledger import METADATA_KEY

    log = text(f"{table.path}/_delta_log/*.json")
    at = f"json_extract_string(skw_line.json, '$.commitInfo.{METADATA_KEY}')"
    stamps = ", ".join(
        f"make_timestamp(cast(skw_entry->>'{name}_us' as bigint)) as {alias}"
        for name, alias in (("window_start", "window_start"), ("window_end", "window_end"), ("r", "committed_at"))
    )
    counts = ", ".join(
        f"cast(skw_entry->>'{n}' as bigint) as {n}" for n in ("rows_in", "rows_inserted", "rows_corrected", "rows_retracted")
    )
    texts = ", ".join(f"skw_entry->>'{n}' as {n}" for n in ("kind", "definition_hash", "run_id"))
    ledger = (
        f"select {stamps}, {counts}, {texts} from (select cast({at} as json) as skw_entry "
        f"from read_ndjson_objects({log}) as skw_line where {at} is not null) order by committed_at"
    )
    current, versions = table.relation(), table.relation("versions")
    return {"": f"select * from {current}", "__versions": f"select * from {versions}", "__ledger": ledger}


def _model_id(arguments: dict[str, Any]) -> str:
    model = arguments.get("model")
    return model if isinstance(model, str) else (model or {}).get("unique_id", "")


def _project_dir() -> str | None:
    """SKEWLESS_PROJECT_DIR, else dbt's own --project-dir."""
    from dbt.flags import get_flags

    root = os.environ.get("SKEWLESS_PROJECT_DIR") or getattr(get_flags(), "PROJECT_DIR", None)
    return str(root) if root else None
