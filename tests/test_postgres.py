"""A PostgreSQL of our own: settings in force, other users' folders, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from skewless import postgres as module
from skewless.errors import SkewlessError
from skewless.postgres import PostgresServer

SETTINGS = "SELECT current_setting('TimeZone'), current_setting('server_encoding'), 'a' < 'B', 'é' < 'z', now() - now()"
DRIVER = """
import json, sys
from skewless.postgres import PostgresServer
server = PostgresServer()
print(json.dumps([server._lifeline.pid, str(server.folder)]), flush=True)
sys.stdin.read()
"""


def test_it_runs_in_utc_with_code_point_order_and_goes() -> None:
    with PostgresServer() as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute(SETTINGS).fetchone()[:4] == ("UTC", "UTF8", False, False)  # type: ignore[index]
        family = psutil.Process(server._lifeline.pid).children(recursive=True)
        assert family and server.folder.exists()
    assert not server.folder.exists()
    assert not psutil.wait_procs(family, timeout=10)[1]


def test_a_killed_parent_leaves_no_server_and_no_file() -> None:
    parent = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lifeline, files = json.loads(parent.stdout.readline())
    family = [psutil.Process(lifeline), *psutil.Process(lifeline).children(recursive=True)]
    assert len(family) > 1
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 60
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family) or Path(files).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_binaries_that_another_user_cannot_reach_are_copied_and_run(tmp_path: Path) -> None:
    """A home folder of mode 700 is the usual reason."""
    package = module._binaries().parents[1]
    closed = tmp_path / "closed"
    closed.mkdir()
    for name in (package.name, f"{package.name}.libs"):
        (closed / name).symlink_to(package.with_name(name))
    binaries = closed / package.name / module._binaries().relative_to(package)
    closed.chmod(0o700)
    copied = module._reachable(binaries, tmp_path / "open")
    assert tmp_path / "open" in copied.parents
    assert "PostgreSQL" in subprocess.run([copied / "postgres", "--version"], capture_output=True, text=True, check=True).stdout


def test_without_the_wheel_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WHEEL", "nothing_of_that_name")
    with pytest.raises(SkewlessError) as caught:
        PostgresServer()
    assert caught.value.code == "SK927" and "pip install" in caught.value.hint
