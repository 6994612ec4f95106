"""Publishing events again, at a chosen speed, with the record timestamps that they arrived with."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import format_instant
from skewless.dev.events import DAY_MS, Events, Record
from skewless.errors import SkewlessError

ANSWER_SECONDS_MAX = 15.0
DELIVER_SECONDS_MAX = 120.0
HEAD_SECONDS = 2.0          # a job that reads takes a record within much less
_SLICE_SECONDS = 0.1
_RECORDS_PER_POLL = 500
_TYPE = "message.timestamp.type"
_CONFIG = {_TYPE: "CreateTime", "retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
_SETTINGS = {"linger.ms": 5, "batch.num.messages": 10_000, "queue.buffering.max.messages": 200_000, "enable.idempotence": True}


@dataclass
class Sent:
    """What was published. `complete`: all of it, not ended before."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    first_ms: int | None = None
    last_ms: int | None = None
    seconds: float = 0.0
    complete: bool = False

    def add(self, record: Record) -> None:
        """Counts one more record."""
        self.counts.setdefault(record.topic, Counter())[record.kind] += 1
        self.first_ms = record.arrived_ms if self.first_ms is None else self.first_ms
        self.last_ms = record.arrived_ms

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.counts.values())

    def as_dict(self) -> dict[str, Any]:
        kinds = ("event", "late", "duplicate", "malformed")
        topics = {topic: {kind: counts[kind] for kind in kinds} for topic, counts in sorted(self.counts.items())}
        ends = {"first_arrived_at": self.first_ms, "last_arrived_at": self.last_ms}
        return {
            "topics": topics, **{name: None if ms is None else format_instant(ms * 1000) for name, ms in ends.items()},
            "seconds": round(self.seconds, 3), "complete": self.complete,
        }


class Topics:
    """The topics of a replay. Every method raises SK942 where the brokers do not answer, or refuse."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from confluent_kafka.admin import AdminClient

        self._admin = AdminClient(settings)

    def prepare(self, names: Iterable[str], partitions: int, first_ms: int, *, recreate: bool) -> dict[str, int]:
        """Makes the topics that are absent; the number of partitions of each. Raises SK941 for one that does not fit."""
        from confluent_kafka.admin import NewTopic

        wanted = sorted(set(names))
        there = self._partitions(wanted)
        if recreate and there:
            self._done(self._admin.delete_topics([*there], operation_timeout=ANSWER_SECONDS_MAX), "delete its topic")
            while there := self._partitions(wanted):
                time.sleep(_SLICE_SECONDS)
        for name, count in there.items():
            self._check(name, count, first_ms)
        fresh = [NewTopic(name, partitions, config=_CONFIG) for name in wanted if name not in there]
        if fresh:
            self._done(self._admin.create_topics(fresh, request_timeout=ANSWER_SECONDS_MAX), "create a topic")
        return {name: there.get(name, partitions) for name in wanted}

    def _partitions(self, names: list[str]) -> dict[str, int]:
        from confluent_kafka import KafkaException

        try:
            topics = self._admin.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        except KafkaException as error:
            raise _refusal("answer", error) from None
        return {name: len(topics[name].partitions) for name in names if name in topics and topics[name].partitions}

    def _check(self, name: str, count: int, first_ms: int) -> None:
        from confluent_kafka import KafkaException, TopicPartition
        from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType

        try:
            (future,) = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
            kind = future.result(ANSWER_SECONDS_MAX)[_TYPE].value
            asked = {TopicPartition(name, p): OffsetSpec.max_timestamp() for p in range(count)}
            newest = [f.result(ANSWER_SECONDS_MAX).timestamp for f in self._admin.list_offsets(asked).values()]
        except KafkaException as error:
            raise _refusal(f'describe the topic "{name}"', error) from None
        if kind != "CreateTime":
            hint = "A replay needs CreateTime: use a development topic, or --recreate to delete this one."
            fact = f'the broker stamps the records of topic "{name}" itself'
            raise SkewlessError("SK941", fact, detail=f"{_TYPE}={kind}.", hint=hint)
        if max(newest, default=-1) >= first_ms:
            raise SkewlessError(
                "SK941", f'topic "{name}" holds newer records than those to come, which would all be too late',
                detail=f"Its newest arrived at {format_instant(max(newest) * 1000)}; the replay begins with "
                f"{format_instant(first_ms * 1000)}.",
                hint="--recreate deletes the topic first, and a job that reads it has to begin afresh: "
                "skewless stream upgrade VIEW --reset. --from starts later.",
            )

    def _done(self, futures: Any, what: str) -> None:
        from confluent_kafka import KafkaException

        for future in futures.values():
            try:
                future.result(ANSWER_SECONDS_MAX)
            except KafkaException as error:
                raise _refusal(what, error) from None


class Replay:
    """One replay. `speed`: seconds of the events in a second; None: as fast as it goes. `live`: nothing is published before
    its arrival. `ending` may be set from a signal's handler; what was sent by then is delivered."""

    def __init__(
        self, settings: dict[str, Any], *, speed: float | None = None, live: bool = False, closing: bool = False,
        partitions: int = 2, recreate: bool = False,
    ) -> None:
        self.settings, self.speed, self.live, self.closing = settings, speed, live, closing
        self.partitions, self.recreate = partitions, recreate
        self.ending = threading.Event()
        self._lost = ""

    def prepare(self, events: Events) -> dict[str, int]:
        """Makes the topics of these events where they are absent; the number of partitions of each. Raises SK941, SK942."""
        names = [copy.source.topic for copy in events.copies]
        return Topics(self.settings).prepare(names, self.partitions, events.span()[1], recreate=self.recreate)

    def run(
        self, events: Events, on_progress: Callable[[int, int], None] = lambda done, total: None,
        on_wait: Callable[[int, float], None] = lambda arrived_ms, seconds: None,
    ) -> Sent:
        """Publishes all of it, record after record over the partitions in turn. Raises SK941, SK942.

        `on_wait` hears again and again for when the next record is, and how many seconds that is away.
        """
        from confluent_kafka import Producer

        total, first_ms, _ = events.span()
        counts = self.prepare(events)
        producer = Producer({**_SETTINGS, **self.settings})
        sent, started, turn = Sent(), time.monotonic(), Counter[str]()
        for record in events:
            if self._wait(producer, record.arrived_ms, first_ms, started, on_wait):
                break
            self._send(producer, record, turn[record.topic] % counts[record.topic])
            turn[record.topic] += 1
            sent.add(record)
            if turn[record.topic] == counts[record.topic]:
                self._let_read(producer, counts[record.topic])
            if sent.total % _RECORDS_PER_POLL == 0:
                producer.poll(0)
                on_progress(sent.total, total)
        else:
            sent.complete = True
            self._close(producer, counts, sent)
        self._deliver(producer)
        sent.seconds = time.monotonic() - started
        on_progress(sent.total, total)
        return sent

    def _wait(self, producer: Any, arrived_ms: int, first_ms: int, started: float, on_wait: Callable[[int, float], None]) -> bool:
        """Until the record's turn; whether the replay is to end."""
        while not self.ending.is_set() and not self._lost:
            due = 0.0 if self.speed is None else (arrived_ms - first_ms) / 1000 / self.speed - (time.monotonic() - started)
            if self.live:
                due = max(due, arrived_ms / 1000 - time.time())
            if due <= 0:
                return False
            producer.poll(0)
            on_wait(arrived_ms, due)
            self.ending.wait(min(due, _SLICE_SECONDS))
        return True

    def _let_read(self, producer: Any, partitions: int) -> None:
        """Gives jobs time to take the first record of each partition of a topic.

        To a job whose topic was silent for longer than its idle_timeout, the partition that it reads first would be the only one:
        what it reads of the others a moment later, of a replay that is faster than life, would be too late.
        """
        if partitions > 1 and (self.speed is None or self.speed > 1):
            self._deliver(producer)
            self.ending.wait(HEAD_SECONDS)

    def _send(self, producer: Any, record: Record, partition: int) -> None:
        while True:
            try:
                producer.produce(
                    record.topic, record.value, None, partition, on_delivery=self._delivered, timestamp=record.arrived_ms
                )
                return
            except BufferError:
                producer.poll(_SLICE_SECONDS)

    def _close(self, producer: Any, counts: dict[str, int], sent: Sent) -> None:
        """One record a partition that is no event and arrives a day later: the last windows of the stream end."""
        if self.closing and sent.last_ms is not None:
            for topic, count in counts.items():
                for partition in range(count):
                    self._send(producer, Record(topic, sent.last_ms + DAY_MS, b"{}"), partition)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._lost = self._lost or str(error.str())

    def _deliver(self, producer: Any) -> None:
        left = producer.flush(DELIVER_SECONDS_MAX)
        if left or self._lost:
            raise SkewlessError(
                "SK942", "Kafka did not take all records", detail=f"{self._lost or f'{left} are not delivered'}.",
                hint="Look at: skewless dev status; then start over with --recreate.",
            )


def _refusal(what: str, error: Any) -> SkewlessError:
    cause = error.args[0] if error.args else error
    said = cause.str() if hasattr(cause, "str") else str(cause)
    hint = "Start a broker with: skewless dev up kafka"
    return SkewlessError("SK942", f"Kafka does not {what}", detail=f"{said}.", hint=hint)
