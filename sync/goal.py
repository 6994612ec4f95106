"""How far the topics reached when a consumer started, and whether its group is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from skewless.sync.view_stream import Place

ASK_SECONDS = 0.5
ANSWER_SECONDS_MAX = 15.0


class Goal:
    """The ends of all partitions at the start. `client` is a confluent_kafka.Consumer. Raises KafkaException."""

    def __init__(self, client: Any, places: list[Place]) -> None:
        from confluent_kafka import TopicPartition

        self._client, self._asked = client, 0.0
        marks = {p: client.get_watermark_offsets(TopicPartition(*p), timeout=ANSWER_SECONDS_MAX) for p in places}
        self.ends: dict[Place, int] = {place: high for place, (low, high) in marks.items() if high > low}

    def forget(self, topic: str) -> None:
        """This topic is read no longer."""
        self.ends = {place: end for place, end in self.ends.items() if place[0] != topic}

    def read(self, own: Mapping[Place, int | None]) -> bool:
        """Whether everything of a consumer's own partitions has been read up to the goal. `own`: what each was read up to."""
        return bool(own) and all((read or 0) >= self.ends.get(place, 0) for place, read in own.items())

    def reached(self, own: Mapping[Place, int | None]) -> bool:
        """Whether everything up to the goal is committed, by this consumer (`own`) or another one of its group."""
        from confluent_kafka import TopicPartition

        if any((own[place] or 0) < end for place, end in self.ends.items() if place in own):
            return False
        elsewhere = [place for place in self.ends if place not in own]
        if not elsewhere:
            return True
        if time.monotonic() - self._asked < ASK_SECONDS:
            return False
        self._asked = time.monotonic()
        found = self._client.committed([TopicPartition(*place) for place in elsewhere], timeout=ANSWER_SECONDS_MAX)
        return all(p.offset >= self.ends[p.topic, p.partition] for p in found)
