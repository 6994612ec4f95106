"""The process behind `skewless dev up`: it holds the servers of one project until it is told to stop.

It holds a lock on `<folder>/lock` as long as it lives; `pid` says which process that is, and `state.json` is there once
everything takes work. Both may be left from a process that was killed, so they count only while the one they name has the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from skewless.config import Config
from skewless.dev.process import began
from skewless.dev.stack import Stack
from skewless.errors import SkewlessError

UP_SECONDS_MAX = 900.0      # the first time it downloads
DOWN_SECONDS_MAX = 60.0
WATCH_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_LOCK_SECONDS_MAX = 1.0     # who looks whether the lock is held has it for an instant
_BUSY = 75                  # exit code: another process holds the servers


def folder_of(config: Config) -> Path:
    """Where a project's development servers keep their data and logs."""
    return config.state / "dev"


def state(config: Config) -> dict[str, Any] | None:
    """What runs: `pid`, `servers` and `endpoints`; None when nothing does, or it is not ready yet."""
    return _state(folder_of(config))


def up(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """Starts the servers in a process of their own and waits until they take work; its `state`. What runs already stays.

    Servers that another process is starting, or stopping, are waited for. Raises SK931 when other servers of this project run;
    see `Stack.start`.
    """
    folder = folder_of(config)
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + UP_SECONDS_MAX
    while time.monotonic() < deadline:
        now = _state(folder)
        if now is not None:
            if process is not None and process.pid != now["pid"]:       # another was first; ours must not follow it later
                process.terminate()
                process.wait()
            return _with(now, names)
        ended = process is not None and process.poll() is not None
        if process is not None and ended and process.returncode != _BUSY:
            raise _error(folder, process)
        if (process is None or ended) and not _held(folder):
            process = _begin(folder, names)
        time.sleep(_LOOK_SECONDS)
    if process is not None:
        process.terminate()
    raise SkewlessError("SK930", f"the servers are not ready after {UP_SECONDS_MAX:.0f} s", detail=f"{folder / 'supervisor.log'}")


def down(config: Config, *, remove: bool = False) -> bool:
    """Stops the servers, also those that are only starting; whether any ran. `remove` deletes what they held, and their logs.

    Raises SK931 when they do not end.
    """
    folder, asked = folder_of(config), 0
    ran, deadline = _held(folder), time.monotonic() + DOWN_SECONDS_MAX
    while _held(folder):
        pid = _holder(folder)
        if pid and pid != asked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            asked = pid
        if time.monotonic() > deadline:
            raise SkewlessError("SK931", f"the servers do not stop: process {pid}", detail=f"{folder / 'supervisor.log'}")
        time.sleep(_LOOK_SECONDS)
    if remove and folder.exists():
        with _locked(folder) as locked:
            if not locked:
                raise SkewlessError("SK931", "the servers were started again meanwhile", hint="Stop them: skewless dev down")
            shutil.rmtree(folder, ignore_errors=True)
    return ran


def main(folder: Path, names: tuple[str, ...]) -> int:
    """Runs until SIGTERM, which also ends a start that is not done."""
    stop, starting = threading.Event(), False

    def told(*_: object) -> None:
        if starting and not stop.is_set():
            stop.set()
            raise SystemExit(0)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    with _locked(folder) as locked:
        if not locked:
            return _BUSY
        (folder / "state.json").unlink(missing_ok=True)
        _write(folder / "pid", {"pid": os.getpid(), "began": began(os.getpid())})
        stack = Stack(folder, names, lambda step, text: print(f"{step}: {text}", flush=True))
        try:
            starting = True
            if stop.is_set():
                return 0
            stack.start()
            starting = False
            _write(folder / "state.json", {"pid": os.getpid(), "servers": list(names), "endpoints": stack.endpoints})
            while not stop.wait(WATCH_SECONDS):
                for name in stack.watch():
                    print(f"{name} had ended and was started again", flush=True)
        except SkewlessError as error:
            _write(_said(folder, os.getpid()), error.as_dict())
            return error.exit_code
        finally:
            starting = False
            (folder / "state.json").unlink(missing_ok=True)
            stack.stop()
    return 0


def _begin(folder: Path, names: tuple[str, ...]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "supervisor.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "skewless.dev.supervisor", str(folder), *names], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True, cwd=folder,
        )


def _with(now: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What runs, where those servers are among it. Raises SK931."""
    if not {*names} <= {*now["servers"]}:
        raise SkewlessError(
            "SK931", f"other servers run already: {', '.join(now['servers'])}", hint="Stop them first: skewless dev down"
        )
    return now


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process holds the servers of the folder, as long as the context lasts."""
    with open(folder / "lock", "ab") as lock:
        yield _lock(lock) and _is_there(lock)


def _is_there(lock: BinaryIO) -> bool:
    """Whether the file was not deleted since it was opened: then the lock keeps nobody out."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
    return False


def _lock(lock: BinaryIO) -> bool:
    deadline = time.monotonic() + _LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > deadline:
                return False
        time.sleep(_LOOK_SECONDS)


def _held(folder: Path) -> bool:
    try:
        with open(folder / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _holder(folder: Path) -> int:
    """The process that holds the lock; 0 when none does, or it has not written that down yet."""
    found = _read(folder / "pid") if _held(folder) else None
    pid = found["pid"] if found is not None else 0
    return pid if found is not None and found["began"] and found["began"] == began(pid) else 0


def _state(folder: Path) -> dict[str, Any] | None:
    found, pid = _read(folder / "state.json"), _holder(folder)
    return found if found is not None and pid == found["pid"] else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _said(folder: Path, pid: int) -> Path:
    """Where a process leaves the error that ended its start."""
    return folder / f"error-{pid}.json"


def _error(folder: Path, process: subprocess.Popen[bytes]) -> SkewlessError:
    """Why the start of the process ended."""
    path = _said(folder, process.pid)
    found = _read(path)
    path.unlink(missing_ok=True)
    if found is not None:
        return SkewlessError(**found)
    fact = "the servers were stopped while they started" if process.returncode == 0 else "the servers do not start"
    return SkewlessError("SK930", fact, detail=f"{folder / 'supervisor.log'}")


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=1))
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), tuple(sys.argv[2:])))
