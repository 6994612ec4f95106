"""Messages that the brokers deleted before they were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless import messages
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.sync.lane import Partition
from skewless.sync.view_stream import Place

ANSWER_SECONDS_MAX = 10.0


def lost(client: Any, place: Place, expected: int | None, first: int) -> range:
    """The offsets between `expected` (None: what the group has committed) and `first`, the first one that came, that are
    deleted. `client` is a confluent_kafka.Consumer. Raises SK862.

    Offsets that only were never messages (marks of transactions, compaction) lie behind the beginning of the partition.
    """
    from confluent_kafka import KafkaException, TopicPartition

    if expected == first or first == 0:
        return range(0)
    try:
        if expected is None:
            (known,) = client.committed([TopicPartition(*place)], timeout=ANSWER_SECONDS_MAX)
            expected = first if known.offset < 0 else known.offset
        if expected >= first:
            return range(0)
        begin, _ = client.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_SECONDS_MAX)
    except KafkaException as error:
        raise SkewlessError("SK862", "Kafka does not answer", detail=f"{error}.") from None
    return range(expected, max(expected, min(begin, first)))


def recall(client: Any, parts: Mapping[Place, Partition]) -> None:
    """Reads how many messages of these partitions the group had lost before, where that is not known yet: it stands beside the
    offset that was committed last. Raises confluent_kafka.KafkaException."""
    from confluent_kafka import KafkaException, TopicPartition

    asked = [TopicPartition(*place) for place, part in parts.items() if part.lost_before is None]
    for known in client.committed(asked, timeout=ANSWER_SECONDS_MAX) if asked else ():
        if known.error is not None:
            raise KafkaException(known.error)
        parts[known.topic, known.partition].lost_before = messages.lost(known.metadata)


def warning(view: View, place: Place, gone: range) -> str:
    """Code, fact, place and way out, as an error is shown."""
    only = view.stream is not None and view.stream.only
    way_out = "They are nowhere else, since no batch computes this view." if only else (
        "A run computes them once the time is complete: dbt run, or skewless materialize."
    )
    error = SkewlessError(
        "SK865", f"{len(gone)} messages of {view.ref} were deleted before they were read",
        detail=f"{place[0]}, partition {place[1]}, offsets {gone.start} to {gone.stop - 1}.",
        hint=f"{way_out} Let the topic keep its messages for longer than a consumer may be away (retention.ms).",
    )
    return error.render().replace("error[", "warning[", 1)
