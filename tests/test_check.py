"""What `check` says about a YAML snippet: tests/golden/check/<case>.yml (and <case>.<model>.sql) -> <case>.txt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skewless.config import Config
from skewless.registry.finding import Finding, did_you_mean
from skewless.registry.manifest import read_definitions
from skewless.registry.model import from_json, to_json
from skewless.registry.source import Source
from skewless.types import parse_type
from tests.registry_project import compiled, write_project

CASES = Path(__file__).parent / "golden" / "check"
NAMES = sorted(p.stem for p in CASES.glob("*.yml"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any]]:
    """One dbt project that holds every case, compiled once."""
    yamls = {p.name: p.read_text() for p in CASES.glob("*.yml")}
    sqls = {p.name.split(".")[1]: p.read_text() for p in CASES.glob("*.*.sql")}
    config = write_project(tmp_path_factory.mktemp("check"), yamls, sqls)
    return config, compiled(config)


@pytest.mark.parametrize("name", NAMES)
def test_findings_of_a_snippet(name: str, project: Any, golden: Callable[[str, str], None]) -> None:
    config, manifest = project
    files = {f"models/{name}.yml", *(f"models/{p.name.split('.')[1]}.sql" for p in CASES.glob(f"{name}.*.sql"))}
    _, findings = read_definitions(config, manifest)
    golden(f"check/{name}.txt", "".join(f.render() + "\n" for f in findings if getattr(f, "file", "") in files))


def test_every_finding_has_a_place_and_a_known_level(project: Any) -> None:
    for finding in read_definitions(*project)[1]:
        assert isinstance(finding, Finding)
        assert finding.line > 0, finding.render()


def test_defaults_are_kept_in_their_json_form(project: Any) -> None:
    registry, _ = read_definitions(*project)
    view = registry.view("defaults")
    assert {f.name: f.default for f in view.features if f.default is not None} == {"fits": "1.50"}
    fine = registry.view("fine")
    assert [f.default for f in fine.features] == [0, "NaN"]
    assert (fine.ttl_us, fine.features[0].ttl_us, fine.begin_us) == (7 * 86_400 * 10**6, 86_400 * 10**6, 1356998400 * 10**6)
    assert (fine.stale, view.stale, fine.error_after_us) == ("default", "serve", 86_400 * 10**6)
    assert all(parse_type(f.type) for f in fine.features) and fine.definition_hash and fine.features[0].definition_hash


def test_a_streamed_view_carries_its_streams(project: Any) -> None:
    registry, _ = read_definitions(*project)
    view = registry.view("fine_stream")
    assert view.streamed and view.stream is not None and (view.stream.only, view.stream.batch_delay_us) == (False, 7200 * 10**6)
    (source,) = view.stream.sources
    assert (source.name, source.topic, source.format, source.event_timestamp, source.arrived_at, source.lateness_us) == (
        "landings", "landings", "json", "landed_at", "arrived_at", 2_000_000)
    assert from_json(to_json(registry)) == registry
    off = registry.view("switched_off")
    assert not off.streamed and off.stream is None


def test_the_measured_delay_is_proposed(project: Any) -> None:
    config, manifest = project
    _, findings = read_definitions(config, manifest, measured_delay=lambda view: 90 * 60 * 10**6 + 1)
    hints = [f.hint for f in findings if f.code == "SK130"]
    assert hints and all(h.endswith("Declare availability_delay: 1h31m") for h in hints)


def test_the_command_exits_one_and_gives_json(project: Any) -> None:
    command = [sys.executable, "-m", "skewless.cli", "check", "--json", "--project-dir", project[0].root]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    answer = json.loads(run.stdout)
    assert answer["error"] > 20 and {"level", "code", "fact", "file", "line", "subject", "hint"} <= set(answer["findings"][0])


def test_lines_of_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text("a:\n  - name: b\n    c:\n      d: 1\n")
    source = Source(tmp_path, "x.yml")
    assert source.line("a", ("name", "b"), "c", "d") == 4
    assert source.line("a", ("name", "b"), "c", "no") == 3
    assert source.line("a", ("name", "no")) == 1
    assert Source(tmp_path, "gone.yml").line("a") == 0


def test_did_you_mean() -> None:
    assert did_you_mean("tll", ["ttl", "begin"], "Keys") == 'Did you mean "ttl"?'
    assert did_you_mean("zzz", ["ttl", "begin"], "Keys") == "Keys: begin, ttl."
