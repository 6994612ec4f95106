"""`skewless stream emit`: the scripts word for word, and Flink's plan for each of them with the Kafka connector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skewless import messages
from skewless.conformance.engines import Flink
from skewless.errors import SkewlessError
from skewless.registry.manifest import read_definitions
from skewless.registry.model import Feature, Registry, Schema
from skewless.stream.emit import StreamScript, emit
from skewless.stream.gate import gate
from skewless.stream.script import statements
from skewless.stream.tables import Kafka
from tests.registry_project import compiled, write_project
from tests.stream_project import SQLS, YAMLS

KAFKA = Kafka("broker:9092", {"security.protocol": "SSL"})
VIEWS = ("last_landing", "rotation", "packed")


class Project:
    """The compiled project; a view's script."""

    def __init__(self, root: Path) -> None:
        self.config = write_project(root, YAMLS, SQLS)
        self.manifest: dict[str, Any] = compiled(self.config)
        self.registry: Registry = read_definitions(self.config, self.manifest)[0]

    def script(self, name: str, kafka: Kafka = KAFKA, **change: Any) -> StreamScript:
        view = msgspec.structs.replace(self.registry.view(name), **change)
        return emit(self.manifest, view, "duckdb", self.config.namespace, kafka)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("streams"))


@pytest.mark.parametrize("name", VIEWS)
def test_the_text_of_a_script(name: str, project: Project, golden: Callable[[str, str], None]) -> None:
    golden(f"stream/{name}.sql", project.script(name).text())


@pytest.mark.parametrize("name", VIEWS)
def test_flink_has_a_plan_that_appends(name: str, project: Project, flink: Flink) -> None:
    script = project.script(name)
    verdict = gate([s for s in script.setup if not s.startswith("SET ")] + [script.job], flink.session)
    assert (verdict.mode, verdict.fact) == ("append-only", "")


@pytest.mark.parametrize("name", VIEWS)
def test_the_text_splits_into_its_statements(name: str, project: Project) -> None:
    script = project.script(name)
    assert statements(script.text()) == [*script.setup, script.job]


def test_the_fingerprint_is_of_what_state_depends_on(project: Project) -> None:
    rotation = project.script("rotation")
    assert project.script("rotation", Kafka("other:1", {})).fingerprint == rotation.fingerprint
    stream = project.registry.view("rotation").stream
    assert stream is not None
    (source,) = stream.sources
    later = msgspec.structs.replace(stream, sources=(msgspec.structs.replace(source, lateness_us=2_000_000),))
    assert project.script("rotation", stream=later).fingerprint != rotation.fingerprint
    assert rotation.fingerprint[:12] in rotation.name and "shop.dev.rotation@1" in rotation.name


def test_a_key_that_may_be_null_is_refused(project: Project) -> None:
    with pytest.raises(SkewlessError, match='join key "tailnum" of view "keyless@1" may be NULL'):
        project.script("keyless")


def test_a_view_that_does_not_stream_is_refused(project: Project) -> None:
    with pytest.raises(SkewlessError, match="SK830"):
        project.script("rotation", stream=None)


def test_the_message_of_a_view(project: Project, golden: Callable[[str, str], None]) -> None:
    view = project.registry.view("last_landing")
    text = {
        "topic": messages.topic("shop.dev", view), "dead letters": messages.dead_letter_topic("shop.dev", view),
        "header": [messages.HEADER, messages.header(view).hex()], "schema": messages.avro_schema(view),
    }
    golden("stream/message.json", json.dumps(text, indent=1) + "\n")


def test_older_messages_of_a_version_are_known_by_their_header(project: Project) -> None:
    view = project.registry.view("rotation")
    past = Schema(fingerprint="00" * 8, names=("a",), types=("array<float64>",))
    grown = msgspec.structs.replace(view, past_schemas=(past,), features=(*view.features, Feature(name="b", type="bytes")))
    known = messages.schemas(grown)
    assert known == {bytes(8): past, messages.header(grown): grown.schema} and messages.header(grown) != messages.header(view)
    fields = messages.avro_schema(grown, known[bytes(8)])["fields"]
    assert [f["name"] for f in fields] == ["tailnum", "event_timestamp", "a"]
    assert fields[2]["type"] == ["null", {"type": "array", "items": ["null", "double"]}]


def test_the_command(project: Project) -> None:
    def run(*extra: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "skewless.cli", "stream", "emit", "rotation", "--project-dir", project.config.root, *extra]
        return subprocess.run(argv, capture_output=True, text=True)

    without = run()
    assert without.returncode == 3 and "SK831" in without.stderr
    found = run("--kafka", "broker:9092", "--json")
    assert found.returncode == 0, found.stderr
    answer, script = json.loads(found.stdout), project.script("rotation", Kafka("broker:9092", {}))
    assert answer["fingerprint"] == script.fingerprint and answer["statements"] == [*script.setup, script.job]
    assert run("--kafka", "broker:9092").stdout == script.text()
