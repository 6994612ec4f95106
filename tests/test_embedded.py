"""The embedded server: shared by processes, stopped by the last, joined after a kill, durable."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless import embedded
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import connect

USER = """
import sys
from skewless.config import Config
from skewless.online import connect
client = connect(Config(root=sys.argv[1], project="p"))
print(client.info("server")["process_id"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    config = Config(root=str(tmp_path), project="p")
    yield config
    embedded.release(config)


def user(config: Config) -> tuple[subprocess.Popen[str], int]:
    """Another process that uses the server, and the server's pid."""
    other = subprocess.Popen([sys.executable, "-c", USER, config.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    return other, int(other.stdout.readline())


def leave(other: subprocess.Popen[str]) -> None:
    other.communicate("", timeout=30)


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_it_starts_keeps_and_stops(config: Config) -> None:
    assert not embedded.running(config)
    client = connect(config)
    assert embedded.running(config) and client.config_get("appendonly")["appendonly"] == "yes"
    client.set("a", "1")
    pid = client.info("server")["process_id"]
    embedded.release(config)
    assert not embedded.running(config) and gone(pid)
    assert connect(config).get("a") == b"1"


def test_two_processes_share_one_and_the_last_one_stops_it(config: Config) -> None:
    first, pid = user(config)
    second, same = user(config)
    assert pid == same
    leave(first)
    assert embedded.running(config)
    leave(second)
    assert not embedded.running(config) and gone(pid)


def test_a_killed_user_leaves_a_server_that_the_next_one_joins_and_stops(config: Config) -> None:
    first, pid = user(config)
    first.kill()
    first.communicate()
    assert embedded.running(config)
    assert connect(config).info("server")["process_id"] == pid
    embedded.release(config)
    assert gone(pid)


def test_a_killed_server_is_started_again_with_what_it_had(config: Config) -> None:
    client = connect(config)
    client.set("a", "1")
    time.sleep(1.2)
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    assert connect(config).get("a") == b"1"


def test_many_start_at_once(config: Config) -> None:
    command = [sys.executable, "-c", USER, config.root]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {other.stdout.readline() for other in others if other.stdout}
    assert len(pids) == 1
    for other in others:
        leave(other)
    assert gone(int(pids.pop()))


def test_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    config = Config(root=str(tmp_path / ("x" * 120)), project="p")
    assert connect(config).ping()
    assert len(str(embedded.socket_path(config))) < 100
    embedded.release(config)
    assert not embedded.running(config)


def test_a_server_whose_folder_was_removed_is_stopped(tmp_path: Path) -> None:
    config = Config(root=str(tmp_path / "p"), project="p")
    pid = connect(config).info("server")["process_id"]
    shutil.rmtree(tmp_path / "p")
    embedded.release(config)
    assert gone(pid)


def test_a_server_that_cannot_start_says_why(config: Config) -> None:
    folder = embedded.folder_of(config)
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(SkewlessError, match="SK602") as caught:
        connect(config)
    assert "valkey.log" in caught.value.detail


@pytest.mark.parametrize(("url", "code"), [
    ("redis://127.0.0.1:1/0", "SK600"), ("unix:///nowhere/at/all.sock", "SK600"), ("http://localhost", "SK601"),
    ("localhost:6379", "SK601"), ("redis+cluster://a:1", "SK601"), ("redis://localhost:x/0", "SK601"),
])
def test_an_online_store_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path, url: str, code: str) -> None:
    with pytest.raises(SkewlessError, match=code) as caught:
        connect(Config(root=str(tmp_path), project="p", online_store=url))
    assert caught.value.detail or caught.value.hint


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SkewlessError) as caught:
        connect(Config(root=str(tmp_path), project="p", online_store="redis://me:secret@127.0.0.1:1/0"))
    assert "secret" not in str(caught.value)
