"""Failures that pass are waited out, and said; nothing is skipped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from skewless.errors import SkewlessError

FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX = 0.1, 5.0
PASSING = ("SK251", "SK255", "SK505", "SK511", "SK513", "SK600", "SK604", "SK862")
SHARED = ("SK251", "SK255", "SK600", "SK604", "SK862")       # what all views wait for
_STEP_SECONDS = 0.1
T = TypeVar("T")


class GaveUp(Exception):
    """The writer was told to stop, and what it was at did not succeed in time."""


class Patience:
    """Repeats what fails. `abandon` ends it; `meanwhile` is called while it waits."""

    def __init__(
        self, say: Callable[[str], None], abandon: threading.Event, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        self._say, self._abandon, self._meanwhile = say, abandon, meanwhile
        self.is_waiting = False

    def until_done(self, what: str, action: Callable[[], T], *, shared: bool = False) -> T:
        """The action's result. Raises GaveUp, and at once whatever does not pass by itself; with `shared` also what one view
        alone waits for."""
        wait, failed = FIRST_WAIT_SECONDS, False
        while True:
            try:
                result = action()
                self.is_waiting = False
                if failed:
                    self._say(f"{what}: done")
                return result
            except Exception as error:
                if not passes(error) or (shared and is_of_one_view(error)):
                    raise
                failed = self.is_waiting = True
                self._say(f"{what}: {sentence(error)}; waiting, nothing is lost")
            self._sleep(wait)
            wait = min(2 * wait, WAIT_SECONDS_MAX)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            if self._abandon.is_set():
                raise GaveUp
            left = until - time.monotonic()
            if left <= 0:
                return
            self._meanwhile()
            self._abandon.wait(min(left, _STEP_SECONDS))


def passes(error: Exception) -> bool:
    """Whether a failure is one of the world around (store, disk, another writer), which may be another a moment later."""
    import duckdb
    from deltalake.exceptions import DeltaError

    if isinstance(error, SkewlessError):
        return error.code in PASSING
    return isinstance(error, (OSError, duckdb.IOException, duckdb.OutOfMemoryException, DeltaError))


def is_of_one_view(error: Exception) -> bool:
    """Whether a failure that passes is one of a single view's history."""
    return passes(error) and not (isinstance(error, SkewlessError) and error.code in SHARED)


def sentence(error: Exception) -> str:
    """The failure on one line."""
    if isinstance(error, SkewlessError):
        return f"{error.code} {error.fact}" + (f" ({error.detail.rstrip('.')})" if error.detail else "")
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'}"
