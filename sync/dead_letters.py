"""Messages that are no rows go to the view's topic of dead letters, as JSON; nothing vanishes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from skewless.errors import SkewlessError
from skewless.sync.feature_topic import Refused

PAYLOAD_BYTES_MAX = 256 * 1024
ANSWER_SECONDS_MAX = 10.0


class DeadLetters:
    """Sends dead letters. `flush` returns once the brokers have all of them; what is sent twice is there twice."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._producer: Any = None
        self._waiting: list[tuple[str, bytes]] = []
        self._failed: list[tuple[str, bytes]] = []
        self._known: set[str] = set()

    def send(self, topic: str, refused: Iterable[Refused]) -> None:
        """Keeps these for the next `flush`."""
        self._waiting += [(topic, letter(one)) for one in refused]

    @property
    def waiting(self) -> int:
        """Letters that no `flush` has taken yet."""
        return len(self._waiting)

    def flush(self) -> None:
        """Raises SK862 while the brokers do not have everything that was sent; call it again."""
        if not self._waiting:
            return
        from confluent_kafka import KafkaException, Producer

        try:
            if self._producer is None:
                self._producer = Producer({**self._settings, "enable.idempotence": True, "message.timeout.ms": 20_000})
            for topic in {topic for topic, _ in self._waiting} - self._known:
                self._make(topic)
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._produce(*one)
            left = self._producer.flush(2 * ANSWER_SECONDS_MAX)
        except (KafkaException, BufferError) as error:
            raise _refusal(str(error)) from None
        if left or self._failed:
            if left:
                self._producer = None           # its messages may still arrive; better twice than never
                self._failed = waiting
            self._waiting, self._failed = [*self._failed, *self._waiting], []
            raise _refusal(f"{len(self._waiting)} letters were not acknowledged")

    def _produce(self, topic: str, value: bytes) -> None:
        def told(error: Any, message: Any) -> None:
            if error is not None:
                self._failed.append((topic, value))

        while True:
            try:
                self._producer.produce(topic, value, on_delivery=told)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def _make(self, topic: str) -> None:
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient(self._settings)
        if topic not in admin.list_topics(timeout=ANSWER_SECONDS_MAX).topics:
            wanted = NewTopic(topic, num_partitions=1, config={"message.timestamp.type": "LogAppendTime"})
            try:
                admin.create_topics([wanted])[topic].result(ANSWER_SECONDS_MAX)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._known.add(topic)


def letter(refused: Refused) -> bytes:
    """topic, partition, offset, reason, and the payload: as text where it is UTF-8 (`encoding`: utf-8), else base64.

    A payload of more than 256 KiB is cut, and `bytes` says how many there were.
    """
    message = refused.message
    raw = message.value()
    payload, encoding = None, "utf-8"
    if raw is not None:
        cut = raw[:PAYLOAD_BYTES_MAX]
        try:
            payload = cut.decode()
        except UnicodeDecodeError:
            payload, encoding = base64.b64encode(cut).decode(), "base64"
    return orjson.dumps({
        "topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "reason": refused.reason,
        "payload": payload, "encoding": encoding, "bytes": 0 if raw is None else len(raw),
    })


def _refusal(detail: str) -> SkewlessError:
    return SkewlessError("SK862", "Kafka does not take the dead letters", detail=f"{detail}.")
