"""The difference between the definitions that the project wants and those that are applied, as one plan.

Inside a version only additive change is free. Breaking changes are of two kinds: of the schema (type, removal, rename, entity,
storage), which need a new version, and of a published feature's definition, which `--redefine` may take: it restates history.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from skewless.clock import format_duration, format_instant
from skewless.errors import SkewlessError
from skewless.registry.model import Entity, Feature, Registry, Schema, Service, Streaming, View, to_json

Kind = Literal["added", "changed", "breaking", "deprecated", "vanished"]
Effect = Literal["schema", "definition"]
KINDS: tuple[Kind, ...] = ("added", "changed", "breaking", "deprecated", "vanished")
ID_LENGTH = 12


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One line below a change. `sign` is + ~ - or !; `breaks` is set where the line alone makes the change breaking."""

    sign: str
    name: str
    text: str
    breaks: Effect | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One definition that differs. `follows` is what it takes afterwards: backfill, backfill_features, restate, push."""

    kind: Kind
    what: Literal["view", "service", "entity"]
    name: str
    headline: str = ""
    details: tuple[Detail, ...] = ()
    follows: tuple[str, ...] = ()

    @property
    def breaks(self) -> set[Effect]:
        return {d.breaks for d in self.details if d.breaks}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` would do. `wanted` is what will be applied: the project's definitions and each version's past schemas."""

    id: str
    changes: tuple[Change, ...]
    notices: tuple[str, ...]
    wanted: Registry
    applied: Registry

    def of_kind(self, kind: Kind) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.kind == kind)

    def refuse(self, *, redefine: bool = False) -> None:
        """Raises SK254 when a change is breaking, or with `redefine` when one breaks more than definitions."""
        refused = [c for c in self.of_kind("breaking") if not redefine or "schema" in c.breaks]
        if not refused:
            return
        lines = [f"{c.name}: {d.name} {d.text}".strip() for c in refused for d in c.details if d.breaks]
        hint = "Add a version beside it (versions: in the model's YAML)"
        if all("schema" not in c.breaks for c in refused):
            hint += ", or restate its history and online rows with: skewless apply --redefine " + self.id
        raise SkewlessError(
            "SK254", f"{len(lines)} breaking change{'s' * (len(lines) > 1)} inside a version", detail="; ".join(lines) + ".",
            hint=hint if hint.endswith(self.id) else hint + ".",
        )


def diff(wanted: Registry, applied: Registry) -> Plan:
    """The plan from `applied` to `wanted`. Its id is a hash of both, so it names exactly this plan."""
    before = {v.ref: v for v in applied.views}
    merged = msgspec.structs.replace(wanted, views=tuple(_with_past(v, before.get(v.ref)) for v in wanted.views))
    changes, notices = _view_changes(merged, applied)
    changes += _entity_changes(merged, applied) + _service_changes(merged, applied)
    changes.sort(key=lambda c: (KINDS.index(c.kind), ("entity", "view", "service").index(c.what), c.name))
    return Plan(
        id=plan_id(merged, applied), changes=tuple(changes), notices=tuple(notices), wanted=merged, applied=applied
    )


def plan_id(wanted: Registry, applied: Registry) -> str:
    """The first hex digits of SHA-256 over both registries' JSON."""
    return hashlib.sha256(to_json(wanted) + b"\n" + to_json(applied)).hexdigest()[:ID_LENGTH]


def _with_past(view: View, before: View | None) -> View:
    """The view with every schema that rows of this version may still carry."""
    if before is None:
        return view
    past: dict[str, Schema] = {s.fingerprint: s for s in (*before.past_schemas, before.schema)}
    past.pop(view.schema.fingerprint, None)
    return msgspec.structs.replace(view, past_schemas=tuple(past.values()))


def _view_changes(wanted: Registry, applied: Registry) -> tuple[list[Change], list[str]]:
    before, after = {v.ref: v for v in applied.views}, {v.ref: v for v in wanted.views}
    changes, notices = [], []
    gone = [v for ref, v in before.items() if ref not in after]
    new = [v for ref, v in after.items() if ref not in before]
    for view in new:
        old = _renamed_from(view, gone)
        changes.append(_added(view, old))
        notices += _looks_renamed(view, gone) if old is None else []
    changes += [_vanished(v, next((n for n in new if _renamed_from(n, [v])), None)) for v in gone]
    for ref, view in after.items():
        if ref in before:
            changes += _changed(view, before[ref])
            notices += _upstream_notices(view, before[ref])
    return changes, notices


def _place(view: View) -> tuple[str, str, int]:
    return view.entity, view.storage, view.version


def _renamed_from(view: View, gone: list[View]) -> View | None:
    return next((old for old in gone if _place(old) == _place(view)), None)


def _looks_renamed(view: View, gone: list[View]) -> list[str]:
    for old in gone:
        if (old.entity, old.schema.fingerprint, old.version) == (view.entity, view.schema.fingerprint, view.version):
            return [f'{view.ref} looks like {old.ref} renamed; "name: {old.storage}" in its meta.skewless would keep the history']
    return []


def _added(view: View, old: View | None) -> Change:
    count = len(view.features)
    how = "batch" if view.stream is None else "stream only" if view.stream.only else "batch and stream"
    headline = f"entity {view.entity}   {count} feature{'s' * (count != 1)}   {how}"
    if old:
        return Change(
            kind="added", what="view", name=view.ref, headline=f"{headline}   renamed from {old.ref}",
            follows=("push",) if view.online else (),
        )
    computed = view.stream is None or not view.stream.only
    return Change(kind="added", what="view", name=view.ref, headline=headline, follows=("backfill",) if computed else ())


def _vanished(view: View, new: View | None) -> Change:
    headline = "gone from the project; its history stays in the lake"
    if new:
        headline = f"renamed to {new.ref}; its history goes with it"
    return Change(kind="vanished", what="view", name=view.ref, headline=headline)


_DURATIONS = {
    "ttl_us": "ttl", "input_lookback_us": "input_lookback", "overlap_us": "overlap",
    "availability_delay_us": "availability_delay", "active_within_us": "active_within",
    "warn_after_us": "warn_after", "error_after_us": "error_after", "cache_us": "cache",
}
_SETTINGS = (
    "online", "missing", "stale", "cold_path", "codec", "owner", "description", "materialized", "file", "relation", "unique_id",
)
_SILENT = ("file", "relation", "unique_id", "description")
_PUSHED = ("ttl_us", "active_within_us", "online", "codec")


def _changed(view: View, before: View) -> list[Change]:
    details = _frame_details(view, before) + _feature_details(view, before) + _setting_details(view, before)
    if view.definition_hash != before.definition_hash and not any(d.sign in "+-" or d.breaks for d in details):
        details.append(Detail(sign="~", name="definition", text="changed, no published feature differs"))
    out = []
    if view.deprecated_at_us != before.deprecated_at_us and view.deprecated_at_us is not None:
        headline = f"deprecated from {format_instant(view.deprecated_at_us)}"
        out.append(Change(kind="deprecated", what="view", name=view.ref, headline=headline))
    elif view.deprecated_at_us != before.deprecated_at_us:
        details.append(Detail(sign="~", name="deprecation", text="withdrawn"))
    if details:
        breaking = any(d.breaks for d in details)
        out.append(Change(
            kind="breaking" if breaking else "changed", what="view", name=view.ref, details=tuple(details),
            follows=_follows(view, before, details),
        ))
    return out


def _follows(view: View, before: View, details: list[Detail]) -> tuple[str, ...]:
    out = []
    if any(d.breaks == "definition" for d in details):
        out.append("restate")
    if any(d.sign == "+" for d in details):
        out.append("backfill_features")
    if view.begin_us is not None and view.begin_us < (before.begin_us if before.begin_us is not None else view.begin_us):
        out.append("backfill")
    if view.online and any(getattr(view, f) != getattr(before, f) for f in _PUSHED):
        out.append("push")
    return tuple(out)


def _frame_details(view: View, before: View) -> list[Detail]:
    """What no version can change: the entity, its keys, where and how history is kept."""
    out = []
    keys = [", ".join(f"{k.name} {k.type}" for k in v.join_keys) for v in (before, view)]
    pairs = (
        ("entity", before.entity, view.entity), ("join keys", *keys), ("storage", before.storage, view.storage),
        ("partition", before.partition, view.partition),
    )
    for name, old, new in pairs:
        if old != new:
            out.append(Detail(sign="!", name=name, text=f"{old} -> {new}", breaks="schema"))
    return out


def _feature_details(view: View, before: View) -> list[Detail]:
    out, old = [], {f.name: f for f in before.features}
    for feature in view.features:
        if feature.name not in old:
            out.append(Detail(sign="+", name=feature.name, text=f"{feature.type}   NULL in old rows"))
        else:
            out += _one_feature(feature, old[feature.name])
    new_names = set(view.feature_names)
    for name in before.feature_names:
        if name not in new_names:
            out.append(Detail(sign="!", name=name, text="removed (a rename is a removal and an addition)", breaks="schema"))
    kept = [n for n in before.feature_names if n in new_names]
    if kept != [n for n in view.feature_names if n in old]:
        out.append(Detail(sign="~", name="order of features", text="changed"))
    return out


def _one_feature(feature: Feature, old: Feature) -> list[Detail]:
    out = []
    if feature.type != old.type:
        out.append(Detail(sign="!", name=feature.name, text=f"type {old.type} -> {feature.type}", breaks="schema"))
    hashes = (old.definition_hash, feature.definition_hash)
    if all(hashes) and hashes[0] != hashes[1]:
        out.append(Detail(sign="!", name=feature.name, text="its definition changed", breaks="definition"))
    for name, was, now in (
        ("default", _plain(old.default), _plain(feature.default)), ("ttl", _duration(old.ttl_us), _duration(feature.ttl_us)),
        ("approximate", _plain(old.approximate), _plain(feature.approximate)),
    ):
        if was != now:
            out.append(Detail(sign="~", name=feature.name, text=f"{name} {was} -> {now}"))
    if feature.description != old.description:
        out.append(Detail(sign="~", name=feature.name, text="description changed"))
    return out


def _setting_details(view: View, before: View) -> list[Detail]:
    out = []
    for field, name in _DURATIONS.items():
        was, now = getattr(before, field), getattr(view, field)
        if was != now:
            out.append(Detail(sign="~", name=name, text=f"{_duration(was)} -> {_duration(now)}"))
    if view.begin_us != before.begin_us:
        out.append(Detail(sign="~", name="begin", text=f"{_instant(before.begin_us)} -> {_instant(view.begin_us)}"))
    if view.stream != before.stream:
        out.append(Detail(sign="~", name="stream", text=_stream(before.stream, view.stream)))
    for name in _SETTINGS:
        was, now = getattr(before, name), getattr(view, name)
        if was != now:
            text = "changed" if name in _SILENT else f"{_plain(was)} -> {_plain(now)}"
            out.append(Detail(sign="~", name=name, text=text))
    return out


def _stream(was: Streaming | None, now: Streaming | None) -> str:
    if was is None or now is None:
        return "on" if was is None else "off"
    pairs = (("only", str(was.only).lower(), str(now.only).lower()),
             ("batch_delay", _duration(was.batch_delay_us), _duration(now.batch_delay_us)))
    changed = [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
    return ", ".join(changed + ["its sources changed"] * (was.sources != now.sources))


def _upstream_notices(view: View, before: View) -> list[str]:
    was, now = dict(before.upstream), dict(view.upstream)
    names = sorted(n for n in now if n in was and was[n] != now[n])
    names += sorted(n for n in {*now} ^ {*was})
    if not names:
        return []
    return [f"{view.ref} is built from {', '.join(names)}, which changed; rows already written are not restated"]


def _entity_changes(wanted: Registry, applied: Registry) -> list[Change]:
    before = {e.name: e for e in applied.entities}
    return [
        Change(kind="changed", what="entity", name=e.name, details=(Detail(sign="~", name="entity", text=_keys(e)),))
        for e in wanted.entities if e.name in before and before[e.name] != e
    ]


def _keys(entity: Entity) -> str:
    return ", ".join(f"{k.name} {k.type}" for k in entity.join_keys)


def _service_changes(wanted: Registry, applied: Registry) -> list[Change]:
    before, after = {s.name: s for s in applied.services}, {s.name: s for s in wanted.services}
    out = []
    for name in sorted({*before, *after}):
        if name not in before:
            count = len(after[name].features)
            headline = f"{count} reference{'s' * (count != 1)}"
            out.append(Change(kind="added", what="service", name=name, headline=headline))
        elif name not in after:
            out.append(Change(kind="vanished", what="service", name=name, headline="gone from the project"))
        elif before[name] != after[name]:
            details = _service_details(after[name], before[name])
            out.append(Change(kind="changed", what="service", name=name, details=tuple(details)))
    return out


def _service_details(service: Service, before: Service) -> list[Detail]:
    was, now = [str(r) for r in before.features], [str(r) for r in service.features]
    out = [Detail(sign="+", name=ref, text="") for ref in now if ref not in was]
    out += [Detail(sign="-", name=ref, text="") for ref in was if ref not in now]
    if not out and was != now:
        out.append(Detail(sign="~", name="order of features", text="changed"))
    for name in ("full_names", "owner", "description", "file", "unique_id"):
        if getattr(service, name) != getattr(before, name):
            out.append(Detail(sign="~", name=name, text="changed"))
    return out


def _duration(us: int | None) -> str:
    return "none" if us is None else format_duration(us)


def _instant(us: int | None) -> str:
    return "none" if us is None else format_instant(us)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return msgspec.json.encode(value).decode().strip('"')
