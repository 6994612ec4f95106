"""Waiting for a fact: the only clock of the tests that real servers take their time in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
def in_a_thread(
    run: Callable[[], Any], stop: Callable[[], None] = lambda: None, seconds: float = SECONDS_MAX
) -> Iterator[threading.Thread]:
    """`run` meanwhile; it has to end so many seconds after `stop`. The next wait, or the end, raises what it raised."""
    def live() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield thread
    finally:
        stop()
        thread.join(seconds)
        assert not thread.is_alive()
    if failures:
        raise failures.pop()


def repeating(action: Callable[[], Any], every_seconds: float) -> AbstractContextManager[threading.Thread]:
    """`action` again and again meanwhile."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(every_seconds):
            action()

    return in_a_thread(go_on, ended.set)
