"""The applied definitions and the record of what was done with them: training sets, events. Jobs: `registry.jobs`.

Works without dbt. Everything is scoped to one project and target.
"""

from __future__ import annotations

import getpass
import json
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry import tables
from skewless.registry.database import Database
from skewless.registry.model import Entity, Feature, Registry, Service, View, object_id, to_json


class Store:
    """The registry of `config.project` and `config.target`. Safe to use from several processes at once."""

    def __init__(self, config: Config) -> None:
        self.project, self.target = config.project, config.target
        self.database = Database(config.registry_url)

    def applied(self) -> Registry:
        """What was applied last; without views when nothing was."""
        with self.database.read() as connection:
            return self._applied(connection)

    def require_applied(self) -> Registry:
        """What was applied last. Raises SK251 when there is no view."""
        registry = self.applied()
        if not registry.views:
            raise SkewlessError(
                "SK251", f'nothing is applied for target "{self.target}"',
                hint="Run: skewless plan, then skewless apply <plan id>",
            )
        return registry

    def save(self, wanted: Registry, *, expected: Registry, plan_id: str = "", redefined: Iterable[str] = ()) -> None:
        """Make `wanted` the applied registry, in one transaction, and record the event with the views that were redefined.

        Raises SK253 when the applied registry is no longer `expected`.
        """
        with self.database.write() as connection:
            if to_json(self._applied(connection)) != to_json(expected):
                raise SkewlessError(
                    "SK253", "the registry changed while the plan was being applied", hint="Look at the new plan: skewless plan"
                )
            self._replace(connection, wanted)
            self.append_event(connection, "apply", plan_id, {
                "views": [v.ref for v in wanted.views], "redefined": sorted(redefined)})

    def _applied(self, connection: sa.Connection) -> Registry:
        def read(table: sa.Table, kind: Any) -> list[Any]:
            return [msgspec.json.decode(row[0], type=kind) for row in self._rows(connection, table, table.c.definition)]

        return Registry(
            project=self.project, target=self.target,
            entities=tuple(sorted(read(tables.entities, Entity), key=lambda e: e.name)),
            views=tuple(sorted(read(tables.feature_view_versions, View), key=lambda v: (v.name, v.version))),
            services=tuple(sorted(read(tables.feature_services, Service), key=lambda s: s.name)),
        )

    def _rows(self, connection: sa.Connection, table: sa.Table, *columns: sa.Column) -> list[Any]:
        query = sa.select(*(columns or table.c)).where(table.c.project == self.project, table.c.target == self.target)
        return list(connection.execute(query))

    def _replace(self, connection: sa.Connection, wanted: Registry) -> None:
        now = now_us()
        since = {row.id: row.created_at_us for row in self._rows(connection, tables.feature_views)}
        before = {row.id: row for row in self._rows(connection, tables.feature_view_versions)}
        for table in (
            tables.entities, tables.feature_views, tables.feature_view_versions, tables.features, tables.feature_services,
        ):
            connection.execute(sa.delete(table).where(table.c.project == self.project, table.c.target == self.target))
        self._insert(connection, tables.entities, [
            {"id": self._id("entity", e.name), "name": e.name, "definition": _json(e)} for e in wanted.entities])
        names = {v.name: v for v in wanted.views}
        self._insert(connection, tables.feature_views, [
            {"id": self._id("view", v.name), "name": v.name, "entity": v.entity, "owner": v.owner,
             "created_at_us": since.get(self._id("view", v.name), now)} for v in names.values()])
        self._insert(connection, tables.feature_view_versions, [self._version(v, before, now) for v in wanted.views])
        self._insert(connection, tables.features, [
            self._feature(v, i, f) for v in wanted.views for i, f in enumerate(v.features)])
        self._insert(connection, tables.feature_services, [
            {"id": self._id("service", s.name), "name": s.name, "definition": _json(s)} for s in wanted.services])

    def _id(self, kind: str, name: str) -> str:
        return object_id(self.project, kind, name)

    def _insert(self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            connection.execute(sa.insert(table), [{"project": self.project, "target": self.target, **row} for row in rows])

    def _version(self, view: View, before: dict[str, Any], now: int) -> dict[str, Any]:
        id_, definition = self._id("version", view.ref), _json(view)
        same = id_ in before and before[id_].definition == definition
        status = "deprecated" if view.deprecated_at_us is not None and view.deprecated_at_us <= now else "active"
        return {
            "id": id_, "view_id": self._id("view", view.name), "name": view.name, "version": view.version, "status": status,
            "fingerprint": view.schema.fingerprint, "definition_hash": view.definition_hash, "definition": definition,
            "deprecated_at_us": view.deprecated_at_us, "sunset_at_us": view.sunset_at_us,
            "applied_at_us": before[id_].applied_at_us if same else now,
        }

    def _feature(self, view: View, position: int, feature: Feature) -> dict[str, Any]:
        return {
            "id": self._id("feature", f"{view.ref}:{feature.name}"), "version_id": self._id("version", view.ref),
            "position": position, "name": feature.name, "type": feature.type, "definition_hash": feature.definition_hash,
            "description": feature.description,
        }

    # events

    def append_event(self, connection: sa.Connection, kind: str, subject: str, detail: dict[str, Any]) -> None:
        """One line of who did what, inside a writing transaction."""
        table = tables.events
        last = connection.execute(
            sa.select(sa.func.max(table.c.number)).where(table.c.project == self.project, table.c.target == self.target)
        ).scalar()
        connection.execute(sa.insert(table), [{
            "project": self.project, "target": self.target, "number": (last or 0) + 1, "kind": kind, "subject": subject,
            "actor": _actor(), "detail": json.dumps(detail), "at_us": now_us(),
        }])

    def record_event(self, kind: str, subject: str, detail: dict[str, Any] | None = None) -> None:
        """One line of who did what, when."""
        with self.database.write() as connection:
            self.append_event(connection, kind, subject, detail or {})

    def events(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """The newest events, newest first: number, kind, subject, actor, detail, at_us."""
        table = tables.events
        query = (
            sa.select(table).where(table.c.project == self.project, table.c.target == self.target)
            .order_by(table.c.number.desc()).limit(limit)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        keep = ("number", "kind", "subject", "actor", "detail", "at_us")
        return [{**{k: row[k] for k in keep}, "detail": json.loads(row["detail"])} for row in rows]

    def applied_at_us(self, plan_id: str) -> int | None:
        """When the plan was applied, None when it was not."""
        found = self._application(plan_id)
        return found.at_us if found else None

    def last_plan(self) -> str | None:
        """The id of the plan that was applied last."""
        return next((e["subject"] for e in self.events() if e["kind"] == "apply"), None)

    def redefined_by(self, plan_id: str) -> set[str]:
        """The views (`name@version`) whose published features the plan redefined."""
        found = self._application(plan_id)
        return set(json.loads(found.detail).get("redefined", [])) if found else set()

    def _application(self, plan_id: str) -> Any:
        table = tables.events
        query = sa.select(table.c.at_us, table.c.detail).where(
            table.c.project == self.project, table.c.target == self.target, table.c.kind == "apply", table.c.subject == plan_id
        ).order_by(table.c.number.desc()).limit(1)
        with self.database.read() as connection:
            return connection.execute(query).first()

    # training sets

    def record_dataset(
        self, name: str, *, output_path: str, manifest: dict[str, Any], status: str = "complete", row_count: int | None = None,
        content_hash: str = "", error: str = "", dataset_id: str | None = None,
    ) -> str:
        """A training set, new or (with `dataset_id`) brought up to date; returns its id."""
        id_, table = dataset_id or str(uuid.uuid4()), tables.training_datasets
        mine = table.c.project == self.project, table.c.target == self.target, table.c.id == id_
        with self.database.write() as connection:
            since = connection.execute(sa.select(table.c.created_at_us).where(*mine)).scalar()
            connection.execute(sa.delete(table).where(*mine))
            self._insert(connection, table, [{
                "id": id_, "name": name, "status": status, "output_path": output_path, "row_count": row_count,
                "content_hash": content_hash, "manifest": json.dumps(manifest), "error": error,
                "created_at_us": since or now_us(),
            }])
        return id_

    def datasets(self, *, limit: int = 100, dataset_id: str | None = None) -> list[dict[str, Any]]:
        """The newest training sets, newest first, or the one of that id; the manifest is decoded."""
        table = tables.training_datasets
        query = sa.select(table).where(table.c.project == self.project, table.c.target == self.target)
        query = query.where(table.c.id == dataset_id) if dataset_id else query
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_at_us.desc(), table.c.id).limit(limit)).mappings().all()
        hidden = ("project", "target")
        return [{**{k: v for k, v in row.items() if k not in hidden}, "manifest": json.loads(row["manifest"])} for row in rows]


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
