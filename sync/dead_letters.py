"""Messages that are no rows go to the view's topic of dead letters, as JSON; nothing vanishes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from skewless.errors import SkewlessError
from skewless.sync.feature_topic import Refused

PAYLOAD_BYTES_MAX = 256 * 1024       # as it stands in a letter: escapes and base64 make it longer than it was
REASON_CHARACTERS_MAX = 1_000
ANSWER_SECONDS_MAX = 10.0
_SETTINGS = {"enable.idempotence": True, "message.timeout.ms": 10_000, "topic.metadata.propagation.max.ms": 1_000}
Letters = dict[int, tuple[str, bytes]]


class DeadLetters:
    """Sends dead letters. `flush` returns once the brokers have all of them; what is sent twice is there twice."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._producer: Any = None
        self._waiting: list[tuple[str, bytes]] = []
        self._known: set[str] = set()

    def send(self, topic: str, refused: Iterable[Refused]) -> None:
        """Keeps these for the next `flush`."""
        self._waiting += [(topic, letter(one)) for one in refused]

    @property
    def waiting(self) -> int:
        """Letters that the brokers do not have yet, as far as is known."""
        return len(self._waiting)

    def flush(self) -> None:
        """Raises SK862 while the brokers do not have everything that was sent; call it again."""
        if not self._waiting:
            return
        from confluent_kafka import KafkaException

        letters, said = dict(enumerate(self._waiting)), [""]
        try:
            self._deliver(letters, said)
        except (KafkaException, BufferError) as error:
            said.append(str(error))
        finally:
            self._waiting = list(letters.values())
        if letters:
            self._producer = None               # its letters may still arrive; better twice than never
            self._known -= {topic for topic, _ in self._waiting}
            raise _refusal(f"{len(letters)} letters were not acknowledged {said[-1]}".rstrip())

    def _deliver(self, letters: Letters, said: list[str]) -> None:
        """Takes out of `letters` what the brokers have acknowledged; what was too long for them is shorter afterwards."""
        from confluent_kafka import KafkaException, Producer

        if self._producer is None:
            self._producer = Producer({**self._settings, **_SETTINGS})
        for topic in {topic for topic, _ in letters.values()} - self._known:
            self._make(topic)
        for number in [*letters]:
            try:
                self._produce(letters, number, said)
            except KafkaException as error:     # of this letter; the others go on
                _told(letters, number, said, error.args[0])
        self._producer.flush(2 * ANSWER_SECONDS_MAX)

    def _produce(self, letters: Letters, number: int, said: list[str]) -> None:
        while True:
            try:
                self._producer.produce(*letters[number], on_delivery=lambda error, _: _told(letters, number, said, error))
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


def _told(letters: Letters, number: int, said: list[str], error: Any) -> None:
    from confluent_kafka import KafkaError

    if error is None:
        letters.pop(number, None)
        return
    said.append(f"({error.str()})")
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and number in letters:
        topic, value = letters[number]
        letters[number] = topic, shorter(value)


def letter(refused: Refused) -> bytes:
    """topic, partition, offset, reason, and the payload: as text where it is UTF-8 (`encoding`: utf-8), else base64.

    A payload that would take more than 256 KiB of the letter is cut, and `bytes` says how many it had.
    """
    message = refused.message
    raw = message.value()
    payload, encoding = None, "utf-8"
    if raw is not None:
        try:
            payload = raw.decode()
        except UnicodeDecodeError:
            payload, encoding = base64.b64encode(raw).decode(), "base64"
        payload = _cut(payload, encoding, PAYLOAD_BYTES_MAX)
    return orjson.dumps({
        "topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
        "reason": refused.reason[:REASON_CHARACTERS_MAX], "payload": payload, "encoding": encoding,
        "bytes": 0 if raw is None else len(raw),
    })


def shorter(value: bytes) -> bytes:
    """The letter with half of its payload, for brokers that take no longer one."""
    known = orjson.loads(value)
    if known["payload"]:
        known["payload"] = _cut(known["payload"], known["encoding"], len(orjson.dumps(known["payload"])) // 2)
    return orjson.dumps(known)


def _cut(payload: str, encoding: str, bytes_max: int) -> str:
    while payload and (size := len(orjson.dumps(payload)) - 2) > bytes_max:
        payload = payload[: len(payload) * bytes_max // size]
    return payload[: len(payload) // 4 * 4] if encoding == "base64" else payload


def _refusal(detail: str) -> SkewlessError:
    return SkewlessError("SK862", "Kafka does not take the dead letters", detail=f"{detail}.")
