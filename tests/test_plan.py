"""Plans: golden trees for the cases that people meet, laws for all others."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.errors import SkewlessError
from skewless.registry.model import Registry, Streaming, View
from skewless.registry.plan import Plan, diff
from skewless.registry.plan_text import as_data, render
from tests.registries import CARRIER, DAY, ROUTE, changed, feature, registries, registry, service, view

EMPTY = registry()
DELAYS = view("carrier_delays", feature("landings_24h"), feature("mean_delay", "float64"))
ROUTES = view("route_delays", feature("landings_30d"), entity=ROUTE, ttl_us=30 * DAY, online=False)
BASE = registry(DELAYS, ROUTES, services=(service("late_flights", "carrier_delays@1", "route_delays@1"),))


def with_view(new: View, *, base: Registry = BASE) -> Registry:
    return changed(base, views=tuple(new if v.ref == new.ref else v for v in base.views))


CASES: dict[str, tuple[Registry, Registry]] = {
    "first": (EMPTY, BASE),
    "first that stream": (EMPTY, registry(
        changed(DELAYS, stream=Streaming()), changed(ROUTES, stream=Streaming(only=True)))),
    "nothing": (BASE, BASE),
    "additive": (BASE, with_view(changed(DELAYS, features=(*DELAYS.features, feature("late_24h")), definition_hash="d1"))),
    "settings": (BASE, with_view(changed(DELAYS, ttl_us=30 * DAY, codec="msgpack", begin_us=DELAYS.begin_us - 365 * DAY,
                                         owner="flight_ops", warn_after_us=DAY))),
    "one setting": (BASE, with_view(changed(DELAYS, overlap_us=3 * DAY))),
    "defaults": (BASE, with_view(changed(DELAYS, features=(feature("landings_24h", default=0), DELAYS.features[1])))),
    "redefined": (BASE, with_view(changed(
        DELAYS, definition_hash="d1", features=(DELAYS.features[0], feature("mean_delay", "float64", "another"))))),
    "definition only": (BASE, with_view(changed(DELAYS, definition_hash="d1"))),
    "upstream": (with_view(changed(DELAYS, upstream=(("stg", "1"),))), with_view(changed(DELAYS, upstream=(("stg", "2"),)))),
    "type": (BASE, with_view(changed(DELAYS, features=(feature("landings_24h", "int32"), DELAYS.features[1])))),
    "removal": (BASE, with_view(changed(DELAYS, features=DELAYS.features[:1]))),
    "entity": (BASE, with_view(changed(DELAYS, entity="route", join_keys=ROUTE.join_keys))),
    "storage": (BASE, with_view(changed(DELAYS, storage="delays", partition="day"))),
    "order": (BASE, with_view(changed(DELAYS, features=DELAYS.features[::-1]))),
    "deprecated": (BASE, with_view(changed(DELAYS, deprecated_at_us=1404172800_000000))),
    "vanished": (BASE, registry(DELAYS)),
    "renamed with its storage": (BASE, registry(changed(DELAYS, name="delays"), ROUTES)),
    "renamed without": (BASE, registry(changed(DELAYS, name="delays", storage="delays"), ROUTES)),
    "service": (BASE, changed(BASE, services=(service("late_flights", "carrier_delays@1", "route_delays@1:landings_30d"),))),
    "next version": (BASE, registry(DELAYS, changed(DELAYS, version=2, features=DELAYS.features[:1]), ROUTES)),
}


def no_history(_: View) -> tuple[None, None]:
    return None, None


def some_history(_: View) -> tuple[int, int]:
    return 1_204_331, 1388577600_000000


def text_of(plan: Plan, **options: bool) -> str:
    """The tree with the plan's id left out, since any new field of a view changes it."""
    return render(plan, no_history, **options).replace(plan.id, "<id>")


@pytest.mark.parametrize("case", CASES)
def test_tree(case: str, golden: Callable[[str, str], None]) -> None:
    applied, wanted = CASES[case]
    golden(f"plan/{case.replace(' ', '_')}.txt", text_of(diff(wanted, applied)))


def test_tree_of_a_redefinition_and_of_history_that_is_there(golden: Callable[[str, str], None]) -> None:
    applied, wanted = CASES["redefined"]
    golden("plan/redefined_with_the_option.txt", text_of(diff(wanted, applied), redefine=True))
    plan = diff(BASE, EMPTY)
    golden("plan/first_with_history.txt", render(plan, some_history).replace(plan.id, "<id>"))
    data = as_data(plan, some_history)
    golden("plan/first.json", json.dumps({**data, "id": "<id>"}, indent=2) + "\n")


def test_past_schemas_are_kept_and_end_when_the_schema_returns() -> None:
    wider = CASES["additive"][1]
    first = diff(wider, BASE).wanted
    assert [s.names for s in first.view("carrier_delays").past_schemas] == [("landings_24h", "mean_delay")]
    widest = with_view(changed(wider.view("carrier_delays"), features=(*wider.view("carrier_delays").features, feature("x"))))
    second = diff(widest, first).wanted.view("carrier_delays")
    assert [len(s.names) for s in second.past_schemas] == [2, 3]
    turned = with_view(changed(DELAYS, features=DELAYS.features[::-1]))
    back = diff(BASE, diff(turned, BASE).wanted).wanted.view("carrier_delays")
    assert [s.names for s in back.past_schemas] == [("mean_delay", "landings_24h")]


def test_refusals() -> None:
    for case in ("type", "removal", "entity", "storage"):
        plan = diff(*reversed(CASES[case]))
        for redefine in (False, True):
            with pytest.raises(SkewlessError) as refused:
                plan.refuse(redefine=redefine)
            assert refused.value.code == "SK254" and "--redefine" not in refused.value.hint and refused.value.exit_code == 3
    plan = diff(*reversed(CASES["redefined"]))
    plan.refuse(redefine=True)
    with pytest.raises(SkewlessError, match=f"skewless apply --redefine {plan.id}"):
        plan.refuse()


@given(registries())
def test_nothing_differs_from_itself(one: Registry) -> None:
    plan = diff(one, one)
    assert not plan.changes and not plan.notices and plan.wanted == one
    assert "Nothing changes." in text_of(plan)


@given(registries(), registries())
@settings(max_examples=200)
def test_after_apply_nothing_is_left(wanted: Registry, applied: Registry) -> None:
    plan = diff(wanted, applied)
    again = diff(wanted, plan.wanted)
    assert not again.changes and not again.notices
    assert again.wanted == plan.wanted
    assert (not plan.changes) <= all(v.ref in {a.ref for a in applied.views} for v in wanted.views)


@given(registries(), registries(), registries())
def test_ids_name_one_plan(a: Registry, b: Registry, c: Registry) -> None:
    assert diff(a, b).id == diff(a, b).id
    if b != c:
        assert diff(a, b).id != diff(a, c).id
    if diff(a, c).wanted != diff(b, c).wanted:
        assert diff(a, c).id != diff(b, c).id


@given(registries(), registries())
@settings(max_examples=200)
def test_breaking_is_what_an_old_row_or_model_would_notice(wanted: Registry, applied: Registry) -> None:
    plan = diff(wanted, applied)
    breaking = {c.name: c.breaks for c in plan.of_kind("breaking")}
    before = {v.ref: v for v in applied.views}
    for new in wanted.views:
        old = before.get(new.ref)
        if old is None:
            assert new.ref not in breaking
            continue
        olds, news = {f.name: f for f in old.features}, {f.name: f for f in new.features}
        both = olds.keys() & news.keys()
        schema = (
            (old.entity, old.join_keys, old.storage, old.partition) != (new.entity, new.join_keys, new.storage, new.partition)
            or bool(olds.keys() - news.keys()) or any(olds[n].type != news[n].type for n in both)
        )
        definition = any(olds[n].definition_hash != news[n].definition_hash for n in both)
        assert breaking.get(new.ref, set()) == {x for x, on in (("schema", schema), ("definition", definition)) if on}


@given(registries(), registries())
def test_every_schema_that_was_ever_applied_stays_readable(wanted: Registry, applied: Registry) -> None:
    before = {v.ref: v for v in applied.views}
    for new in diff(wanted, applied).wanted.views:
        known = {new.schema.fingerprint, *(s.fingerprint for s in new.past_schemas)}
        assert len(known) == 1 + len(new.past_schemas)
        if new.ref in before:
            assert before[new.ref].schema.fingerprint in known


@given(registries(), registries(), st.booleans())
def test_both_forms_render(wanted: Registry, applied: Registry, redefine: bool) -> None:
    plan = diff(wanted, applied)
    assert msgspec.json.encode(as_data(plan, some_history, redefine=redefine))
    assert render(plan, some_history, redefine=redefine).endswith("\n")
    assert CARRIER.name
