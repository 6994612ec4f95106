"""All that a topic holds at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

_ASK_SECONDS = 0.1      # a batch that is not full comes when this is over, never before
_MESSAGES_MAX = 10_000


def read_topic(brokers: Mapping[str, Any], name: str) -> list[Message]:
    """The messages of every partition, each in its order, read by a reader of its own."""
    reader = Consumer({**brokers, "group.id": "test", "enable.auto.commit": False, "enable.partition.eof": True})
    partitions = reader.list_topics(name, timeout=30).topics[name].partitions
    reader.assign([TopicPartition(name, partition, 0) for partition in partitions])
    found: list[Message] = []
    ended: set[int | None] = set()
    while len(ended) < len(partitions):
        for message in reader.consume(_MESSAGES_MAX, _ASK_SECONDS):
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
    reader.close()
    return found
