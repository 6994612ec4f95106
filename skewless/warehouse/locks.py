"""Exclusive use of one view's table, or of another thing of the project, by the kernel: a killed process leaves no lock behind.

Two locks a table. `writer` is held for a whole run, so two runs never mix. `commit` is held while one commit takes its stamp,
writes its files and appears, so stamps follow the order of versions; a stream's flush takes only this one.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from skewless.errors import SkewlessError


class FileLock:
    """A context manager over a file of its own. Raises SK505 with this fact when it is not free within `wait_seconds`."""

    def __init__(self, file: Path, *, fact: str, wait_seconds: float = 0.0) -> None:
        self.file, self.fact, self.wait_seconds = file, fact, wait_seconds
        self._fd: int | None = None

    def acquire(self) -> Self:
        """Takes the lock; a second call by the holder changes nothing."""
        if self._fd is not None:
            return self
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + self.wait_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(fd, 40, 0).decode() or "unknown"
                    os.close(fd)
                    raise self._refusal(holder) from None
                time.sleep(0.02)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd
        return self

    def release(self) -> None:
        """Frees the lock; a second call changes nothing."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _refusal(self, holder: str) -> SkewlessError:
        return SkewlessError(
            "SK505", self.fact,
            detail=f"Process {holder} holds {self.file.name}. Nothing was written.",
            hint="Wait until it has finished, then run this again.",
        )


class TableLock(FileLock):
    """The lock of one table, of kind `writer` or `commit`."""

    def __init__(self, table: Path, kind: str, *, wait_seconds: float = 0.0) -> None:
        file = table.parent / f".{table.name}.{kind}.lock"
        fact = f"another process is writing {table.parent.name} {table.name}"
        super().__init__(file, fact=fact, wait_seconds=wait_seconds)
