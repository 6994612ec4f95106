"""The process behind `skewless dev up`: it holds the servers of one project until it is told to stop.

It holds a lock on `<folder>/lock` as long as it lives; `state.json` is there once everything takes work.
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
from pathlib import Path
from typing import Any

from skewless.config import Config
from skewless.dev.stack import Stack
from skewless.errors import SkewlessError

UP_SECONDS_MAX = 900.0      # the first time it downloads
DOWN_SECONDS_MAX = 60.0
_WATCH_SECONDS = 0.5


def folder_of(config: Config) -> Path:
    """Where a project's development servers keep their data and logs."""
    return config.state / "dev"


def state(config: Config) -> dict[str, Any] | None:
    """What runs: `pid`, `servers` and `endpoints`; None when nothing does, or it is not ready yet."""
    return _state(folder_of(config)) if _held(folder_of(config)) else None


def up(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """Starts the servers in a process of their own and waits until they take work; its `state`. What runs already stays.

    Raises SK931 when other servers of this project run; see `Stack.start`.
    """
    folder = folder_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    now = state(config)
    if now is not None and not {*names} <= {*now["servers"]}:
        raise SkewlessError(
            "SK931", f"other servers run already: {', '.join(now['servers'])}", hint="Stop them first: skewless dev down"
        )
    if now is not None:
        return now
    for name in ("state.json", "error.json"):
        (folder / name).unlink(missing_ok=True)
    with open(folder / "supervisor.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skewless.dev.supervisor", str(folder), *names], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True, cwd=folder,
        )
    deadline = time.monotonic() + UP_SECONDS_MAX
    while time.monotonic() < deadline:
        now = _state(folder)
        if now is not None:
            return now
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.terminate()
    raise _error(folder)


def down(config: Config, *, remove: bool = False) -> bool:
    """Stops the servers; whether any ran. `remove` deletes what they held, and their logs. Raises SK931 when they do not end."""
    folder = folder_of(config)
    ran = _held(folder)
    if ran:
        pid = int((folder / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS_MAX
        while _held(folder):
            if time.monotonic() > deadline:
                raise SkewlessError("SK931", f"the servers do not stop: process {pid}", detail=f"{folder / 'supervisor.log'}")
            time.sleep(0.05)
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    return ran


def main(folder: Path, names: tuple[str, ...]) -> int:
    """Runs until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open(folder / "lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0    # another `up` was faster; its state is the one to read
        (folder / "pid").write_text(str(os.getpid()))
        stack = Stack(folder, names, lambda step, text: print(f"{step}: {text}", flush=True))
        try:
            stack.start()
            _write(folder / "state.json", {"pid": os.getpid(), "servers": list(names), "endpoints": stack.endpoints})
            while not stop.wait(_WATCH_SECONDS):
                for name in stack.watch():
                    print(f"{name} had ended and was started again", flush=True)
        except SkewlessError as error:
            _write(folder / "error.json", error.as_dict())
            return error.exit_code
        finally:
            (folder / "state.json").unlink(missing_ok=True)
            stack.stop()
    return 0


def _held(folder: Path) -> bool:
    try:
        with open(folder / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _state(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "state.json").read_text())
        return found
    except (OSError, ValueError):
        return None


def _error(folder: Path) -> SkewlessError:
    try:
        return SkewlessError(**json.loads((folder / "error.json").read_text()))
    except (OSError, ValueError, TypeError):
        return SkewlessError("SK930", "the servers do not start", detail=f"{folder / 'supervisor.log'}")


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=1))
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), tuple(sys.argv[2:])))
