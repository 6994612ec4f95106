"""The topics of streams, by the brokers' admin protocol: made once, and where everybody stands in them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from skewless import messages
from skewless.brokers import client_settings
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.stream.tables import Kafka

ANSWER_SECONDS_MAX = 15.0
_TIMESTAMP_TYPE, _APPENDED = "message.timestamp.type", "LogAppendTime"
_POLL_SECONDS = 0.1

_FINDING_COORDINATOR = (
    KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR,
)

Offsets = dict[int, int]
"""Partition -> offset."""


class Topics:
    """The brokers of a project. Every method raises SK838 where they do not answer within `seconds`, or refuse."""

    def __init__(self, kafka: Kafka, seconds: float = ANSWER_SECONDS_MAX) -> None:
        self.servers, self._seconds = kafka.bootstrap_servers, seconds
        try:
            self._admin = AdminClient(client_settings(kafka.bootstrap_servers, kafka.properties))
        except KafkaException as error:
            raise self._refusal("make a client", error) from None

    def reach(self) -> None:
        """Returns when they answer."""
        try:
            self._admin.describe_cluster(request_timeout=self._seconds).result()
        except KafkaException as error:
            raise self._refusal("describe themselves", error) from None

    def prepare(self, view: View, namespace: str, partitions: int = 0) -> tuple[str, ...]:
        """Makes a view's topics where they are absent; the names of those that were made.

        The rows' topic has `partitions`, or 0 for as many as the topic of events with the most. Raises SK833 for a topic of
        events that does not exist, for a topic of rows whose timestamps are not the broker's, or with other partitions.
        """
        assert view.stream is not None
        counts = self.partitions([source.topic for source in view.stream.sources])
        for source in view.stream.sources:
            if source.topic not in counts:
                raise SkewlessError(
                    "SK833", f'the topic "{source.topic}" does not exist', detail=f"{view.ref} reads it at {self.servers}.",
                    hint="Create it with message.timestamp.type=LogAppendTime, keyed by the entity. To replay what the "
                    "warehouse has: skewless dev replay --create",
                )
        rows, dead = messages.topic(namespace, view), messages.dead_letter_topic(namespace, view)
        there = self.partitions([rows, dead])
        if rows in there:
            self._check(rows, there[rows], partitions)
        wanted = {rows: partitions or max(counts.values()), dead: 1}
        return tuple(name for name, count in wanted.items() if name not in there and self._create(name, count))

    def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """The number of partitions of each topic that exists."""
        out = {}
        for name, future in self._admin.describe_topics(TopicCollection([*topics]), request_timeout=self._seconds).items():
            try:
                out[name] = len(future.result().partitions)
            except KafkaException as error:
                if _code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._refusal(f'describe the topic "{name}"', error) from None
        return out

    def stamped_by(self, topic: str) -> str:
        """Who gives the records of a topic their timestamps: `broker`, `producer`, or "" where the brokers do not tell us, which
        is no error."""
        try:
            kind = self._timestamp_type(topic)
        except SkewlessError:       # who may read a topic need not be allowed to see its settings
            return ""
        return kind and ("broker" if kind == _APPENDED else "producer")

    def ends(self, topic: str, count: int) -> Offsets:
        """The next offset of each partition."""
        return self._offsets(topic, count, OffsetSpec.latest())

    def begins(self, topic: str, count: int) -> Offsets:
        """The first offset that is still there, of each partition."""
        return self._offsets(topic, count, OffsetSpec.earliest())

    def arrived(self, topic: str, count: int, at_ms: int) -> Offsets:
        """The first offset of each partition that arrived at `at_ms` or later; the next offset where none did."""
        found, ends = self._offsets(topic, count, OffsetSpec.for_timestamp(at_ms)), self.ends(topic, count)
        return {p: offset if offset >= 0 else ends[p] for p, offset in found.items()}

    def cut(self, topic: str, count: int, at_ms: int) -> list[int]:
        """The partitions from which records that arrived at `at_ms` or later may have been deleted."""
        begins, found = self.begins(topic, count), self.arrived(topic, count, at_ms)
        return [p for p, begin in begins.items() if begin > 0 and found[p] <= begin]

    def committed(self, group: str, topic: str, count: int) -> tuple[Offsets, int]:
        """Where a group of readers goes on, of each partition in which it has committed; and how many messages before that it
        says were deleted unread."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(count)])
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                (future,) = self._admin.list_consumer_group_offsets([asked], request_timeout=self._seconds).values()
                found = [p for p in future.result().topic_partitions if p.offset >= 0]
                return {p.partition: p.offset for p in found}, sum(messages.lost(p.metadata) for p in found)
            except KafkaException as error:     # brokers find a coordinator for the first group that they are asked about
                if _code(error) not in _FINDING_COORDINATOR or time.monotonic() > deadline:
                    raise self._refusal(f'read the offsets of the group "{group}"', error) from None
            time.sleep(_POLL_SECONDS)

    def _offsets(self, topic: str, count: int, spec: OffsetSpec) -> Offsets:
        asked = {TopicPartition(topic, p): spec for p in range(count)}
        try:
            found = self._admin.list_offsets(asked, request_timeout=self._seconds)
            return {place.partition: future.result().offset for place, future in found.items()}
        except KafkaException as error:
            raise self._refusal(f'read the offsets of the topic "{topic}"', error) from None

    def _create(self, name: str, count: int) -> bool:
        topic = NewTopic(name, num_partitions=count, config={_TIMESTAMP_TYPE: _APPENDED})
        (future,) = self._admin.create_topics([topic], request_timeout=self._seconds).values()
        try:
            future.result()
        except KafkaException as error:
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:     # somebody else was faster
                raise self._refusal(f'create the topic "{name}"', error) from None
            return False
        return True

    def _check(self, topic: str, count: int, wanted: int) -> None:
        if wanted not in (0, count):
            raise SkewlessError(
                "SK833", f'the topic "{topic}" has {count} partitions, not {wanted}',
                hint="Leave --partitions out, or delete the topic first: more partitions later would part a key's rows.",
            )
        kind = self._timestamp_type(topic)
        if kind != _APPENDED:
            raise SkewlessError(
                "SK833", f'the topic "{topic}" has {_TIMESTAMP_TYPE}={kind}',
                detail="A row's ingested_at is its message's broker time.", hint=f"Set {_TIMESTAMP_TYPE}={_APPENDED} on it.",
            )

    def _timestamp_type(self, topic: str) -> str:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        (future,) = self._admin.describe_configs([resource], request_timeout=self._seconds).values()
        try:
            found: Any = future.result().get(_TIMESTAMP_TYPE)
        except KafkaException as error:
            raise self._refusal(f'describe the topic "{topic}"', error) from None
        return str(found.value) if found else ""

    def _refusal(self, what: str, error: KafkaException) -> SkewlessError:
        cause = error.args[0] if error.args else error
        said = cause.str() if isinstance(cause, KafkaError) else str(cause)
        return SkewlessError(
            "SK838", f"Kafka at {self.servers} does not answer, or refuses to {what}", detail=f"{said}.",
            hint="Check kafka in skewless.yml, or start a broker with: skewless dev up kafka",
        )


def _code(error: KafkaException) -> int:
    cause = error.args[0] if error.args else None
    return int(cause.code()) if isinstance(cause, KafkaError) else 0
