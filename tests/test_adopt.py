"""`skewless adopt`: YAML that is edited in place, on a real dbt project."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skewless.adopt import Wish, adopt
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.registry.finding import errors_of
from skewless.registry.manifest import read_definitions
from skewless.registry.yaml_text import Flow, YamlText
from tests.registry_project import compiled, write_project

SELECT = """select 'UA' as carrier, timestamp '2013-01-01' as event_timestamp, 1::bigint as landings, 0.5::double as mean,
    [1::bigint] as all_of
"""
COMMENTED = """# The flight team's models.
version: 2

models:
  # first
  - name: carrier_delays   # late or not
    description: >
      How late.

      Two paragraphs.
    columns:
      - name: landings   # counted
        description: How many.
        data_tests: [not_null]
      - {name: mean, description: "a, b: c"}
      # the end of the columns

  - name: other   # untouched
    description: "Another one."
"""
FLOW = "models: [{name: carrier_flow, config: {tags: [x], meta: {owner: me}}, columns: [{name: carrier}]}]\n"


Made = tuple[Config, dict[str, Any]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("adopt")
    sqls = {
        "carrier_delays": SELECT, "carrier_flow": SELECT, "bare": SELECT, "other": "select 1 as x\n",
        "routes": "{{ config(materialized='table') }}\n" + SELECT.replace("'UA' as carrier", "'JFK' as origin, 'LAX' as dest"),
        "sums": SELECT.replace("1::bigint as", "sum(1) as"),
        "timeless": "select 'UA' as carrier, date '2013-01-01' as day, 1 as n\n",
        "unbuilt": "select * from {{ ref('other') }}\n",
    }
    config = write_project(root, {"flights.yml": COMMENTED, "flow.yml": FLOW}, sqls)
    return config, compiled(config)


def test_block_and_contract_are_written_and_comments_stay(project: Made, golden: Callable[[str, str], None]) -> None:
    config, manifest = project
    done = adopt(config, Wish("carrier_delays", settings={"ttl": "7d"}), manifest)
    assert (done.file, done.changed, done.entity) == ("models/flights.yml", True, "carrier")
    assert done.features == ("landings", "mean", "all_of") and done.notes == ()
    text = (Path(config.root) / done.file).read_text()
    golden("adopt/commented.yml", text)
    kept = [line for line in COMMENTED.splitlines() if "#" in line]
    assert [line for line in text.splitlines() if "#" in line] == kept
    flow = adopt(config, Wish("carrier_flow"), manifest)
    golden("adopt/flow.yml", (Path(config.root) / flow.file).read_text())
    bare = adopt(config, Wish("bare", entity="airline", join_keys=["carrier"]), manifest)
    assert bare.file == "models/bare.yml"
    golden("adopt/new.yml", (Path(config.root) / bare.file).read_text())
    routes = adopt(config, Wish("routes", entity="route", join_keys=["origin", "dest"]), manifest)
    assert "materialized" in routes.notes[0]
    now = compiled(config)
    registry, findings = read_definitions(config, now)
    assert [v.ref for v in registry.views] == ["bare@1", "carrier_delays@1", "carrier_flow@1", "routes@1"]
    assert errors_of(findings) == []
    again = adopt(config, Wish("carrier_delays", entity="carrier", settings={"ttl": "7d"}), now)
    assert not again.changed and (Path(config.root) / done.file).read_text() == text
    run = subprocess.run(
        [sys.executable, "-m", "skewless.cli", "adopt", "bare", "--entity", "carrier", "--project-dir", config.root],
        capture_output=True, text=True,
    )
    assert run.returncode == 3 and 'is a feature view of entity "airline" (carrier) already' in run.stderr


REFUSED = {
    "sums": ('"landings" is hugeint', "sum(x)::bigint"),
    "timeless": ("there is no event_timestamp", "day::timestamp as event_timestamp"),
    "unbuilt": ("Catalog Error", "dbt run --select +unbuilt"),
    "carrier_delay": ("does not exist", 'Did you mean "carrier_delays"?'),
}


@pytest.mark.parametrize("model", REFUSED)
def test_refusals_name_the_way_out(project: Made, model: str) -> None:
    with pytest.raises(SkewlessError) as refused:
        adopt(project[0], Wish(model), project[1])
    assert refused.value.code == "SK256" and refused.value.exit_code == 3
    assert all(part in refused.value.render() for part in REFUSED[model]), refused.value.render()


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text("ab: #'\"{}-\n", max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("pqr"), inner, max_size=3)),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1)


@given(DOCUMENTS, st.booleans(), st.sampled_from(["a", "b", "new"]), VALUES.filter(lambda v: v is not None))
def test_any_document_keeps_the_rest(document: dict[str, object], flow: bool, key: str, value: object) -> None:
    text = YamlText(yaml.safe_dump(document, default_flow_style=flow, sort_keys=False))
    before = text.text
    try:
        text.set(key, value=value)
    except ValueError:
        assert isinstance(document[key], dict | list) and text.text == before
        return
    assert yaml.safe_load(text.text) == {**document, key: value}
    if document.get(key) == value:
        assert text.text == before


@given(st.lists(VALUES, min_size=1, max_size=3), st.booleans(), st.dictionaries(st.sampled_from("pq"), st.integers(), min_size=1))
def test_any_list_takes_another_item(items: list[object], flow: bool, item: dict[str, int]) -> None:
    text = YamlText("# head\n" + yaml.safe_dump({"a": {"b": items}, "z": 1}, default_flow_style=flow, sort_keys=False))
    text.append("a", "b", value=Flow(item))
    assert yaml.safe_load(text.text) == {"a": {"b": [*items, item]}, "z": 1}
    assert text.text.startswith("# head\n")


def test_a_comment_after_a_list_stays_after_it() -> None:
    text = YamlText("a:\n  - x   # one\n  # two\n\nb: 1\n")
    text.append("a", value="y")
    assert text.text == "a:\n  - x   # one\n  - y\n  # two\n\nb: 1\n"
