"""One server process that never outlives who started it: `lifeline.py` stands between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skewless.errors import SkewlessError

STOP_SECONDS_MAX = 20.0
_LIFELINE = Path(__file__).parent.parent / "lifeline.py"


@dataclass
class Server:
    """A program to run: `name` also names its log, `<folder>/<name>.log`. `ready` says whether it takes work."""

    name: str
    folder: Path
    argv: list[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Starts it; does not wait."""
        body = {
            "argv": self.argv, "log": str(self.log), "user": "", "stop_signal": int(self.stop_signal),
            "stop_seconds": STOP_SECONDS_MAX, "remove": "",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_LIFELINE), json.dumps(body)], stdin=subprocess.PIPE, start_new_session=True,
            cwd=self.folder, env={**os.environ, **self.env},
        )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process that holds the server, which is its only child; None when it does not run."""
        return self._process.pid if self.alive and self._process is not None else None

    def wait_ready(self, seconds: float) -> None:
        """Returns when it takes work. Raises SK930 with the end of its log when it ends, or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.alive or time.monotonic() > deadline:
                raise SkewlessError(
                    "SK930", f"{self.name} does not start", detail=f"{self.log}: {last_lines(self.log)}",
                    hint="Read its log; start from nothing with: skewless dev down --remove",
                )
            time.sleep(0.05)

    def begin_stop(self) -> None:
        """Asks it to end; does not wait."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self) -> None:
        """Ends it and waits until it is gone."""
        self.begin_stop()
        if self._process is not None:
            self._process.wait(STOP_SECONDS_MAX * 2)
            self._process = None


def began(pid: int) -> str:
    """When a process began, in whatever words the system has: two processes of one number differ in it. "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()


def last_lines(log: Path, count: int = 4) -> str:
    """The end of a log on one line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " ".join(line.strip() for line in lines[-count:] if line.strip())


def free_ports(count: int, wanted: list[int] | None = None) -> list[int]:
    """Ports of loopback that nobody listens on: those of `wanted` where they all are free, else others."""
    for ports in ([wanted] if wanted and len(wanted) == count else []) + [[0] * count]:
        links = []
        try:
            for port in ports:
                link = socket.socket()
                links.append(link)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                link.bind(("127.0.0.1", port))
            return [link.getsockname()[1] for link in links]
        except OSError:
            continue
        finally:
            for link in links:
                link.close()
    raise SkewlessError("SK930", "there is no free port on 127.0.0.1")


def answers(port: int) -> bool:
    """Whether something listens on that port of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
