"""Lookups: which features a request means, which keys they need, and what the rows answer. No I/O: HTTP and `get` share it.

    Lookups(registry, namespace)   one per snapshot; keeps the plans it has made
      .service(name) .references([...]) .view(ref)   -> Plan
    Plan.keys(entities)            -> one Redis key per view
    Plan.answer(rows, now_us)      -> Answer: values, statuses, freshness
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from skewless import rows
from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.registry.model import (
    FeatureRef,
    JoinKey,
    Registry,
    Selected,
    View,
    parse_ref,
    select,
)

PLANS_MAX = 1_000
KEY_BYTES_MAX = 4_096            # of a Redis key, percent-encoded
PLANS_BYTES_MAX = 8_000_000
OK, NULL, MISSING, STALE, EXPIRED = "ok", "null", "missing", "stale", "expired"


class RefusedFeatures(SkewlessError):
    """SK422 or SK423: the definition of a view refuses to answer. `features` holds the output names."""

    def __init__(self, code: str, features: list[str], fact: str, detail: str, hint: str) -> None:
        self.features = features
        super().__init__(code, fact + ", ".join(f'"{name}"' for name in features), detail=detail, hint=hint)


class MissingFeatures(RefusedFeatures):
    """SK422: features are `missing` and their view says `missing: error`."""

    def __init__(self, features: list[str], views: list[str]) -> None:
        super().__init__(
            "SK422", features, "no valid row for ", f"The definition of {', '.join(views)} says missing: error.",
            "Ask without these features, or set missing: default or missing: null on the view.",
        )


class StaleFeatures(RefusedFeatures):
    """SK423: features are `stale` and their view says `stale: error`."""

    def __init__(self, features: list[str], views: list[str]) -> None:
        super().__init__(
            "SK423", features, "the freshness_sla is broken for ",
            f"The definition of {', '.join(views)} says stale: error.",
            "Bring the view up to date: skewless materialize; or set stale: serve or stale: default on it.",
        )


class Answer(msgspec.Struct, frozen=True):
    """What one entity's rows say. Features in requested order; the other mappings are keyed by feature or by view.

    `status` is ok, null, missing or stale for each feature; `detail` holds `expired` for features whose row is older than ttl.
    `deprecation` holds deprecated_at and sunset_at (RFC 3339 or None) of each deprecated view.
    `freshness_ms` is now minus event time of the row that is there, expired or not, and None where there is none.
    """

    features: dict[str, Any]
    status: dict[str, str]
    detail: dict[str, str]
    freshness_ms: dict[str, int | None]
    event_us: dict[str, int | None]
    version: dict[str, int]
    deprecation: dict[str, dict[str, str | None]] = {}

    def as_json(self) -> dict[str, Any]:
        """`features` and `metadata`: one entity's reply over HTTP, and what `skewless get --json` prints."""
        return {"features": self.features, "metadata": self.metadata()}

    def metadata(self) -> dict[str, Any]:
        """The JSON object `metadata` of every reply."""
        at = {view: None if us is None else format_instant(us) for view, us in self.event_us.items()}
        more = {"deprecation": self.deprecation} if self.deprecation else {}
        return {
            "freshness_ms": self.freshness_ms, "status": self.status, "detail": self.detail,
            "event_timestamp": at, "version": self.version, **more,
        }


class ViewPlan:
    """The part of a plan that one view answers, with everything that depends only on the snapshot computed once."""

    def __init__(self, view: View, label: str, chosen: Sequence[Selected], newest: Mapping[str, int]) -> None:
        self.view, self.label, self._newest = view, label, newest
        self.names = tuple(item.name for item in chosen)
        positions = {name: i for i, name in enumerate(view.feature_names)}
        picks = tuple(positions[item.feature.name] for item in chosen)
        self.picks = None if picks == tuple(range(len(view.features))) else picks
        self.reader = rows.Reader(view)
        self.ttl_us = view.ttl_us
        self.short = tuple((item.name, item.feature.ttl_us) for item in chosen if item.feature.ttl_us is not None)
        self.defaults = {item.name: item.feature.default if view.missing == "default" else None for item in chosen}
        self.plain_defaults = {item.name: item.feature.default for item in chosen}
        self.refuses = view.missing == "error"
        self.stale, self.stale_us = view.stale, view.error_after_us
        self.all_ok = dict.fromkeys(self.names, OK)
        self.all_missing = dict.fromkeys(self.names, MISSING)
        self.all_stale = dict.fromkeys(self.names, STALE)
        self.all_expired = dict.fromkeys(self.names, EXPIRED)

    def is_stale(self, age_us: int, now_us: int) -> bool:
        """Whether a row of that age is stale: it and all that is known of its view are older than error_after."""
        if self.stale_us is None or age_us <= self.stale_us:
            return False
        newest_us = self._newest.get(self.view.ref)
        return newest_us is None or now_us - newest_us > self.stale_us

    def values(self, raw: bytes) -> list[Any]:
        """The JSON values of the chosen features. Raises SK454 for a row that this snapshot cannot read."""
        try:
            values = orjson.loads(self.reader.values_json(raw))
        except (SkewlessError, ValueError) as error:
            raise unreadable(self.view, error) from None
        return values if self.picks is None else [values[i] for i in self.picks]

    def event_us(self, raw: bytes | None) -> int | None:
        """Event time of a stored row; None for no row and for a tombstone. Raises SK454."""
        if raw is None:
            return None
        try:
            header = rows.read_header(raw)
        except SkewlessError as error:
            raise unreadable(self.view, error) from None
        return None if header.tombstone else header.event_timestamp_us


class Plan:
    """What one request shape needs from one snapshot. Immutable, so it may be shared by all requests."""

    def __init__(
        self, selected: Sequence[Selected], namespace: str, known_keys: frozenset[str], newest: Mapping[str, int]
    ) -> None:
        self.namespace, self.known_keys = namespace, known_keys
        self.names = tuple(item.name for item in selected)
        groups: dict[str, list[Selected]] = {}
        for item in selected:
            groups.setdefault(item.view.ref, []).append(item)
        views = [group[0].view for group in groups.values()]
        once = {v.name for v in views if sum(v.name == w.name for w in views) == 1}
        self.views = tuple(
            ViewPlan(group[0].view, group[0].view.name if group[0].view.name in once else ref, group, newest)
            for ref, group in groups.items()
        )
        self.key_groups = _key_groups(namespace, views)
        maker, members = self.key_groups[0]
        alone = len(self.key_groups) == 1 and len(maker.names) == 1
        self.simple = (maker, [suffix for _, suffix in members]) if alone else None         # one join key for all views
        self.grouped = self.names == tuple(name for vp in self.views for name in vp.names)
        self.size = sum(64 + len(name) for name in self.names)      # about; what the cache of plans is bounded by
        self.compiled: dict[Any, Any] = {}                          # for whoever renders replies
        self.version = {vp.label: vp.view.version for vp in self.views}
        self.join_keys: dict[str, JoinKey] = {k.name: k for vp in self.views for k in vp.view.join_keys}
        self.deprecation = {vp.label: _deprecation(vp.view) for vp in self.views if vp.view.deprecated_at_us is not None}
        self.sunset_us = min((v.sunset_at_us for v in views if v.sunset_at_us is not None), default=None)

    def keys(self, entities: Mapping[str, Any]) -> list[bytes | None]:
        """One Redis key per view, in the order of `views`; None where a join key is NULL (that view is missing).

        Values may be JSON values or text. Raises SK402 for join keys that are absent or unknown, SK3xx for a wrong type,
        SK413 for longer ones than KEY_BYTES_MAX.
        """
        if len(entities) != len(self.join_keys) and entities.keys() - self.known_keys:
            raise self._key_names(entities)
        out: list[bytes | None] = [None] * len(self.views)
        for maker, members in self.key_groups:
            try:
                stem = maker.stem(entities)
            except KeyError:
                raise self._key_names(entities) from None
            if stem is not None:
                if len(stem) > KEY_BYTES_MAX:
                    raise SkewlessError("SK413", f"join keys of more than {KEY_BYTES_MAX} bytes together")
                for position, suffix in members:
                    out[position] = stem + suffix
        return out

    def keys_of(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """`keys` of each entity, one after the other. Raises what `keys` raises; the fact names the entity's index."""
        if self.simple is not None and set(map(len, entities)) == {1}:
            maker, suffixes = self.simple
            stems = maker.plain_stems(entities)
            if stems is not None:
                return [stem + suffix for stem in stems for suffix in suffixes]
        out: list[bytes | None] = []
        for index, one in enumerate(entities):
            try:
                out += self.keys(one)
            except SkewlessError as error:
                error.fact = f"entities[{index}]: {error.fact}"
                raise
        return out

    def typed(self, entities: Mapping[str, Any]) -> dict[str, Any]:
        """The join keys as JSON values of their types: text `7` of an int64 key becomes 7. After `keys` has accepted them."""
        parts = {name: _parsed(key, entities[name]) for name, key in self.join_keys.items()}
        return {name: None if part is None else rows.json_value(self.join_keys[name].type, part) for name, part in parts.items()}

    def answer(self, raws: Sequence[bytes | None], now_us: int) -> Answer:
        """Values and statuses at `now_us` by laws 3 and 4, from one row or None per view.

        Raises MissingFeatures (SK422), StaleFeatures (SK423), SK410 for a view past its sunset, SK454 for a row that does not
        read.
        """
        self.check_sunset(now_us)
        answer = Answer({}, {}, {}, {}, {}, self.version, self.deprecation)
        for vp, raw in zip(self.views, raws, strict=True):
            _answer_view(vp, raw, now_us, answer)
        self.check_refusals([answer.status[name] for vp in self.views for name in vp.names])
        return answer if self.grouped else self._in_order(answer)

    def check_sunset(self, now_us: int) -> None:
        """Raises SK410 when a view is past its sunset."""
        if self.sunset_us is not None and self.sunset_us <= now_us:
            raise self._sunset(now_us)

    def check_refusals(self, statuses: Sequence[str]) -> None:
        """Statuses by view, then in the view's order. Raises SK422, SK423 where a view refuses what they say."""
        by_view = iter(statuses)
        named = [(vp, name, next(by_view)) for vp in self.views for name in vp.names]
        for status, kind, refuses in ((MISSING, MissingFeatures, lambda vp: vp.refuses),
                                      (STALE, StaleFeatures, lambda vp: vp.stale == "error")):
            found = [(vp.view.ref, name) for vp, name, one in named if one == status and refuses(vp)]
            if found:
                raise kind([name for _, name in found], list(dict.fromkeys(ref for ref, _ in found)))

    def _in_order(self, answer: Answer) -> Answer:
        features = {name: answer.features[name] for name in self.names}
        status = {name: answer.status[name] for name in self.names}
        return msgspec.structs.replace(answer, features=features, status=status)

    def _key_names(self, entities: Mapping[str, Any]) -> SkewlessError:
        absent = [name for name in self.join_keys if name not in entities]
        unknown = sorted(str(name) for name in entities.keys() - self.known_keys)
        parts = ["absent: " + ", ".join(absent)] if absent else []
        parts += ["not known: " + ", ".join(text[:80] for text in unknown[:10])] if unknown else []
        needed = ", ".join(f"{key.name} ({key.type})" for key in self.join_keys.values())
        return SkewlessError("SK402", "join keys do not fit; " + "; ".join(parts), hint=f"Needed: {needed}.")

    def _sunset(self, now_us: int) -> SkewlessError:
        gone = [vp.view for vp in self.views if vp.view.sunset_at_us is not None and vp.view.sunset_at_us <= now_us]
        facts = ", ".join(f"{v.ref} ({format_instant(v.sunset_at_us or 0)})" for v in gone)
        return SkewlessError("SK410", f"past its sunset: {facts}", hint="Ask for a newer version of the view.")


class Lookups:
    """The plans of one snapshot. Made on first use of a request shape; the oldest shapes go when there are too many.

    `newest`: the newest event time of views with a freshness_sla, by reference (`skewless.online.newest`); its owner changes it.
    Of a view that is not in it each row's own age tells whether it is stale.
    """

    def __init__(
        self, registry: Registry, namespace: str, snapshot_id: str = "", newest: Mapping[str, int] | None = None
    ) -> None:
        self.registry, self.namespace, self.snapshot_id = registry, namespace, snapshot_id
        self.newest: Mapping[str, int] = {} if newest is None else newest
        self._known_keys = frozenset(k.name for v in registry.views for k in v.join_keys)
        self._plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        self.compiled: dict[Any, Any] = {}                          # for whoever answers requests
        self._bytes = 0

    def service(self, name: str) -> Plan:
        """The plan of a feature service. Raises SK404, SK407."""
        def make() -> Plan:
            service = self.registry.service(name)
            return self._plan(service.features, service.full_names)

        return self._cached(("service", name), make)

    def references(self, refs: tuple[str, ...], full_names: bool = False) -> Plan:
        """The plan of a list of references (`view`, `view@2:feature as name`). Raises SK104, SK105, SK404, SK407."""
        return self._cached(
            ("references", refs, full_names), lambda: self._plan(tuple(parse_ref(r) for r in refs), full_names)
        )

    def view(self, name: str, version: int | None = None, features: tuple[str, ...] = ()) -> Plan:
        """The plan of one view, all of its features or those named, in the order named. Raises SK105, SK404, SK407."""
        refs = tuple(FeatureRef(view=name, version=version, feature=f) for f in features or (None,))
        return self._cached(("view", name, version, features), lambda: self._plan(refs, False))

    def _plan(self, refs: tuple[FeatureRef, ...], full_names: bool) -> Plan:
        selected = select(self.registry, refs, full_names=full_names)
        for item in selected:
            if not item.view.online:
                raise SkewlessError(
                    "SK407", f'feature view "{item.view.ref}" is not served online',
                    hint="Set online: true in its definition, then plan, apply and sync.",
                )
        return Plan(selected, self.namespace, self._known_keys, self.newest)

    def _cached(self, shape: tuple[Any, ...], make: Callable[[], Plan]) -> Plan:
        plan = self._plans.get(shape)
        if plan is None:
            plan = make()
            self._bytes += plan.size
            while len(self._plans) >= PLANS_MAX or (self._plans and self._bytes > PLANS_BYTES_MAX):
                self._bytes -= self._plans.popitem(last=False)[1].size
            self._plans[shape] = plan
        return plan


def _key_groups(namespace: str, views: Sequence[View]) -> tuple[tuple[rows.KeyMaker, list[tuple[int, bytes]]], ...]:
    """Views whose keys differ in the suffix only: what makes the rest, and position and suffix of each."""
    groups: dict[Any, tuple[rows.KeyMaker, list[tuple[int, bytes]]]] = {}
    for position, view in enumerate(views):
        if (view.entity, view.join_keys) not in groups:
            groups[view.entity, view.join_keys] = (rows.KeyMaker(namespace, view), [])
        _, members = groups[view.entity, view.join_keys]
        members.append((position, rows.key_suffix(view).encode()))
    return tuple(groups.values())


def _parsed(key: JoinKey, value: Any) -> Any:
    return None if value is None else rows.parse_key(key.type, value)


def _answer_view(vp: ViewPlan, raw: bytes | None, now_us: int, answer: Answer) -> None:
    event_us = vp.event_us(raw)
    if raw is None or event_us is None or event_us > now_us:
        answer.event_us[vp.label] = answer.freshness_ms[vp.label] = None
        answer.features.update(vp.defaults)
        answer.status.update(vp.all_missing)
        return
    age_us = now_us - event_us
    answer.event_us[vp.label] = event_us
    answer.freshness_ms[vp.label] = age_us // 1000
    if vp.ttl_us is not None and age_us > vp.ttl_us:
        answer.features.update(vp.defaults)
        answer.status.update(vp.all_missing)
        answer.detail.update(vp.all_expired)
        return
    stale = vp.is_stale(age_us, now_us)
    values = list(vp.plain_defaults.values()) if stale and vp.stale == "default" else vp.values(raw)
    answer.features.update(zip(vp.names, values, strict=True))
    answer.status.update(vp.all_stale if stale else vp.all_ok)
    if None in values and not stale:
        for name, value in zip(vp.names, values, strict=True):
            if value is None:
                answer.status[name] = NULL
    for name, ttl_us in vp.short:
        if age_us > ttl_us:
            answer.features[name], answer.status[name], answer.detail[name] = vp.defaults[name], MISSING, EXPIRED


def _deprecation(view: View) -> dict[str, str | None]:
    at = {"deprecated_at": view.deprecated_at_us, "sunset_at": view.sunset_at_us}
    return {name: None if us is None else format_instant(us) for name, us in at.items()}


def unreadable(view: View, error: Exception) -> SkewlessError:
    """SK454 for a stored row of the view that `error` kept from being read."""
    fact = error.fact if isinstance(error, SkewlessError) else "its values are not JSON"
    return SkewlessError(
        "SK454", f'a stored row of "{view.ref}" does not read: {fact}',
        hint="If a schema was applied just now, ask again; otherwise push the view again: skewless sync --full",
    )
