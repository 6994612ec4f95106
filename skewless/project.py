"""The dbt project against the registry: read, plan, apply. What `check`, `plan` and `apply` do, for programs too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import Findings, SkewlessError
from skewless.registry import snapshot
from skewless.registry.finding import Finding, errors_of
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Registry, View
from skewless.registry.plan import Plan, diff
from skewless.registry.portable import check_portable
from skewless.registry.store import Store

FEATURE_VIEW = "feature_view"


@dataclass(frozen=True)
class Project:
    """What the project wants, and what is wrong with it. `dbt_version` is the one that wrote the manifest."""

    wanted: Registry
    findings: list[SkewlessError]
    dbt_version: str = ""


@dataclass(frozen=True)
class Applied:
    """The plan that is applied now, and the snapshot that serving reads. `again`: it had been applied before."""

    plan: Plan
    snapshot_id: str
    again: bool = False


def read_project(config: Config, manifest: dict[str, Any] | None = None, *, advice: bool = False) -> Project:
    """The wanted definitions and all findings; runs dbt unless a manifest is given. Raises SK9xx when dbt fails.

    `advice`: with what would keep views from being portable that need not be.
    """
    if manifest is None:
        from skewless.warehouse.dbt import ensure_manifest

        manifest = ensure_manifest(config, compiled=True)
    wanted, findings = read_definitions(config, manifest, measured_delay=lambda view: measured_delay_us(config, view))
    findings = with_portability(config, manifest, wanted, findings, advice=advice)
    return Project(wanted, findings, (manifest.get("metadata") or {}).get("dbt_version") or "")


def with_portability(
    config: Config, manifest: dict[str, Any], wanted: Registry, known: list[SkewlessError], *, advice: bool = False
) -> list[SkewlessError]:
    """All findings, with those about portable SQL. A float sum is told once: as SK210 where the rules hold, else as SK131."""
    found = [f for f in check_portable(Path(config.root), manifest, wanted, advice=advice) if isinstance(f, Finding)]
    refused = {f.subject for f in found if f.code == "SK210" and f.level == "error"}
    kept = [f for f in known if not (f.code in ("SK131", "SK132") and getattr(f, "subject", "") in refused)]
    reported = {getattr(f, "subject", "") for f in kept if f.code == "SK131"}
    return [*kept, *(f for f in found if not (f.code == "SK210" and f.subject in reported))]


def make_plan(config: Config, project: Project | None = None) -> Plan:
    """The plan from the applied definitions to the project's. Raises Findings when the project has errors."""
    project = project or read_project(config)
    errors = errors_of(project.findings)
    if errors:
        raise Findings(errors)
    return diff(project.wanted, Store(config).applied())


def apply_plan(config: Config, plan_id: str, *, redefine: bool = False, project: Project | None = None) -> Applied:
    """Apply exactly the plan of that id, then mark the lake and publish the snapshot.

    The plan that was applied last, when nothing changed since, is finished again (an earlier run may have been interrupted).
    Raises SK252 when the project or the registry changed since the plan was shown, SK254 for breaking changes, SK253 when another
    apply came first.
    """
    store, plan = Store(config), make_plan(config, project)
    if plan.id != plan_id:
        applied_at = store.applied_at_us(plan_id)
        if applied_at is not None and not plan.changes and store.last_plan() == plan_id:
            return _finish(config, plan, redefined=store.redefined_by(plan_id), again=True)
        raise _another_plan(plan, plan_id, applied_at)
    plan.refuse(redefine=redefine)
    redefined = {c.name for c in plan.changes if "definition" in c.breaks}
    if plan.wanted != plan.applied:
        store.save(plan.wanted, expected=plan.applied, plan_id=plan.id, redefined=redefined)
    return _finish(config, plan, redefined=redefined, again=False)


def _another_plan(plan: Plan, plan_id: str, applied_at_us: int | None) -> SkewlessError:
    from skewless.clock import format_instant

    if applied_at_us is not None:
        detail = f"It was applied at {format_instant(applied_at_us)}; the project or the registry changed since."
    else:
        detail = f"The plan now is {plan.id}: the project or the registry changed, or the id is mistyped."
    fact = f'"{plan_id}" is not the plan of this project now'
    return SkewlessError("SK252", fact, detail=detail, hint="Look at it: skewless plan")


def _finish(config: Config, plan: Plan, *, redefined: set[str], again: bool) -> Applied:
    from skewless.online import connect, speaking
    from skewless.registry.tokens import Tokens
    from skewless.warehouse.lake import LakeTable

    for view in plan.wanted.views:
        if view.materialized == FEATURE_VIEW:
            table = LakeTable(config.lake_root, view)
            restate = view.ref in redefined and table.exists() and table.applied_hash() != view.definition_hash
            table.mark_applied(view.definition_hash, restate=restate)
    client = connect(config)
    with speaking(config.online_store):
        Tokens(config).publish(client)      # a store that lost them would lock everybody out
        return Applied(plan, snapshot.publish(client, config.namespace, plan.wanted), again)


def measured_delay_us(config: Config, view: View) -> int | None:
    """The 99th percentile of how long after its event time a row was committed, by the ledger; None without enough of it.

    A commit that carries coverage from p to e at the instant r brings rows of [p, e): their delays lie between r - e and r - p.
    The first run is left out, since it loads the past.
    """
    from skewless.warehouse.lake import LakeTable

    table = LakeTable(config.lake_root, view)
    if not table.exists():
        return None
    windows = [e for e in table.ledger() if e.kind == "window"]
    spans, end = [], None
    for entry in windows:
        if end is not None and entry.window_end_us > end and entry.run_id != windows[0].run_id:
            spans.append((entry.r_us - entry.window_end_us, entry.r_us - max(end, entry.window_start_us)))
        end = max(end or entry.window_end_us, entry.window_end_us)
    return percentile_of_spans(spans, 0.99)


def percentile_of_spans(spans: list[tuple[int, int]], share: float) -> int | None:
    """The value below which `share` of the points lie that are spread evenly over the spans (low, high), to a microsecond.

    >>> percentile_of_spans([(0, 100)], 0.99)
    99
    """
    total = sum(high - low for low, high in spans)
    if total <= 0:
        return None
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    while low < high:
        middle = (low + high) // 2
        if sum(max(0, min(h, middle) - lo) for lo, h in spans) >= share * total:
            high = middle
        else:
            low = middle + 1
    return low


def history_facts(config: Config, view: View) -> tuple[int | None, int | None]:
    """(number of entities that would be pushed, complete_through_us) of the view's history; None for what is not there."""
    from skewless.warehouse.lake import LakeTable
    from skewless.warehouse.session import memory

    table = LakeTable(config.lake_root, view)
    if not table.exists():
        return None, None
    complete_us = table.complete_through_us()
    if complete_us is None:
        return None, None
    since = ""
    if view.active_within_us is not None:
        since = f" where event_timestamp >= make_timestamp({now_us() - view.active_within_us})"
    keys = ", ".join(f'"{k}"' for k in view.key_names)
    with memory() as connection:
        row = connection.execute(f"select count(*) from (select distinct {keys} from {table.relation()} v{since})").fetchone()
    return (row[0] if row else None), complete_us
