"""Random rows and what is none, on their way into a topic while a test goes on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skewless import messages
from tests.feature_messages import NOON, Topic
from tests.waiting import eventually, repeating

_BAD = b"no record "


class Events:
    """Random rows, some out of order, some twice, some of a slot with other values."""

    def __init__(self, seed: int = 7) -> None:
        self.chance, self.sent = random.Random(seed), list[tuple[Any, ...]]()

    def some(self, n: int) -> list[tuple[Any, ...]]:
        out: list[tuple[Any, ...]] = []
        for _ in range(n):
            kind = self.chance.random()
            if self.sent and kind < 0.1:
                row = self.chance.choice(self.sent)
            elif self.sent and kind < 0.2:
                row = (*self.chance.choice(self.sent)[:2], self.chance.randrange(3), None)
            else:
                at = NOON + (len(self.sent) + self.chance.randrange(-50, 50)) * 1000
                row = (f"e{self.chance.randrange(20)}", at, self.chance.randrange(5), self.chance.choice([0.5, -0.0, None]))
            self.sent.append(row)
            out.append(row)
        return out


def send_bad(t: Topic, number: int) -> None:
    """A message that is no row, to a partition by its number: half a record, one of no known schema, one without a header."""
    headers = [[(messages.HEADER, messages.header(t.view))], [(messages.HEADER, b"12345678")], []][number % 3]
    t.producer.produce(t.name, _BAD + str(number).encode(), b"{}", number % t.partitions, headers=headers)


@contextmanager
def producing(t: Topic, events: Events, rows_a_turn: int = 20) -> Iterator[None]:
    """Messages go on coming meanwhile, one of them a turn that is no row."""
    turns = itertools.count(1)

    def produce() -> None:
        t.send(*events.some(rows_a_turn), wait=False)
        send_bad(t, next(turns))

    try:
        with repeating(produce, 0.02):
            yield
    finally:
        eventually(lambda: not t.producer.flush(5))


def check_letters(t: Topic) -> None:
    """What is no row has a letter, at least one; nothing else has any."""
    wanted = {(t.name, m.partition(), m.offset()) for m in t.read() if m.value().startswith(_BAD)}
    assert wanted and {(letter["topic"], letter["partition"], letter["offset"]) for letter in t.dead()} == wanted
