"""The scripts of `stream emit` in PyFlink, by the programs of docs/streams.md, one after the other in one `flink run`: real jobs,
rows come out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.cli.stream_project import Project, kafka_of
from skewless.dev.flink import OPENS
from skewless.dev.stack import Stack
from skewless.stream.environment import locate
from skewless.stream.topics import Topics
from tests.stream_feed import Feed, write
from tests.test_stream_jobs import World

PAGE = Path(__file__).parent.parent / "docs" / "streams.md"
# What a job of SQL needs of PyFlink is pure Python. Flink itself and py4j are in the Flink environment.
PYFLINK = """apache-flink==2.3.0 --hash=sha256:0e5f612704de1610b153e919c0564b62ad513cddfcf4960f5a021658cdf41a13
ruamel.yaml==0.19.1 --hash=sha256:27592957fedf6e0b62f281e96effd28043345e0e66001f97683aa9a40c667c93
"""
BOTH = """import runpy
import sys

for program, given in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.argv = [program, given]
    runpy.run_path(program)
"""


@pytest.fixture
def world(stack: Stack, tmp_path: Path) -> Iterator[World]:
    feed = Feed(stack.endpoints["kafka"], "pyflink")
    config = write(tmp_path / "project", feed.servers, stack.endpoints["gateway"], topic=feed.topic, project="pyflink")
    made = World(stack, feed, config, Project(config).manifest)
    yield made
    manager = made.jobs.cluster.manager
    for job, name, _ in manager.jobs():
        if name.startswith("pyflink."):
            manager.cancel(job)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with PyFlink's modules, from the one wheel, whatever the machine is."""
    (tmp_path / "pyflink.txt").write_text(PYFLINK)
    argv = [
        "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        "--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--target", "packages", "--requirement", "pyflink.txt",
    ]
    done = subprocess.run([sys.executable, "-m", "pip", *argv], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tmp_path / "packages"


def program(name: str, folder: Path) -> str:
    """A program of the page, as a file."""
    (text,) = re.findall(rf"```python\n(# {re.escape(name)}\n.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_programs_of_the_page_run_scripts_in_pyflink(world: World, packages: Path, tmp_path: Path) -> None:
    kafka, given = kafka_of(world.config), []
    for name, version, argv in (("job.py", 1, ["--json"]), ("script.py", 2, [])):
        Topics(kafka).prepare(world.registry.view("rotation", version), world.config.namespace)
        emitted = world.command("emit", f"rotation@{version}", *argv)
        script = tmp_path / f"{name}.given"
        script.write_text(emitted.stdout)
        given += [program(name, tmp_path), str(script)]
    (tmp_path / "both.py").write_text(BOTH)
    flink = locate()
    opt = Path(flink.flink_home) / "opt"
    run = [
        flink.java, "-XX:TieredStopAtLevel=1", *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS),
        "-cp", flink.class_path(), "org.apache.flink.client.cli.CliFrontend", "run",
        "--jobmanager", world.stack.endpoints["flink"].removeprefix("http://"), "--pyClientExecutable", flink.python,
    ]
    env = {"FLINK_CONF_DIR": str(world.stack.folder / "flink" / "conf"), "FLINK_OPT_DIR": str(opt), "PYTHONPATH": str(packages)}
    done = subprocess.run(
        [*run, "--python", str(tmp_path / "both.py"), *given], cwd=tmp_path, env={**os.environ, **env}, capture_output=True,
        text=True,
    )
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("\tat "))
    assert done.returncode == 0, said[-6000:]
    jobs = {name.partition(" ")[0] for _, name, state in world.jobs.cluster.manager.jobs() if name.startswith("pyflink.")}
    assert jobs == {"pyflink.dev.rotation@1", "pyflink.dev.rotation@2"}
    world.feed.send(20)
    assert world.check(1) >= 20 and world.check(2) >= 20
