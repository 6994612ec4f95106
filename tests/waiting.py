"""Waiting for a fact: the only clock of the tests that real servers take their time in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS_MAX = 90.0
failures: list[BaseException] = []
"""Of threads that a test runs: the next wait raises them."""


def eventually(fact: Callable[[], Any], seconds: float = SECONDS_MAX) -> Any:
    """What `fact` gives as soon as it is true; raises AssertionError when it is not in time, and what a thread failed with."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        if failures:
            raise failures.pop()
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return found


@contextmanager
def repeating(action: Callable[[], Any], every_seconds: float) -> Iterator[None]:
    """`action` again and again meanwhile, in a thread; the next wait, or the end, raises what it raised."""
    ended = threading.Event()

    def go_on() -> None:
        try:
            while not ended.wait(every_seconds):
                action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures.pop()
