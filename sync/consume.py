"""Feature topics -> the online store and the history: every message counts once in both, whatever dies in between.

A row goes to the online store at once, and to the history with the next flush; offsets are committed after both, and after what
could not be used is in the dead letters. What was read and not committed is read again: the online store's script and the
table's transactions make the second time change nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import OnlineStore, connect
from skewless.registry.model import View
from skewless.sync.dead_letters import DeadLetters
from skewless.sync.feature_topic import Rows
from skewless.sync.goal import Goal
from skewless.sync.patience import GaveUp, Patience
from skewless.sync.retention import lost, warning
from skewless.sync.view_stream import Piece, Place, Reload, ViewStream

STORES = ("both", "online", "offline")
FLUSH_ROWS, FLUSH_SECONDS = 50_000, 30.0
FLUSH_BYTES = 128 * 2**20
MESSAGES_PER_READ, READ_SECONDS = 10_000, 0.05
LETTERS_MAX = 1_000
DRAIN_SECONDS_MAX = 30.0                # after SIGTERM; what is not written by then is left to the next consumer
REVOKE_SECONDS_MAX = 20.0
SILENT_SECONDS_MAX = 5.0                # the group waits for a member that does not ask for messages
ANSWER_SECONDS_MAX = 10.0
_SETTINGS = {
    "session.timeout.ms": 10_000, "heartbeat.interval.ms": 2_000, "fetch.queue.backoff.ms": 20, "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 32 * 1024, "topic.metadata.refresh.interval.ms": 5_000,
    "reconnect.backoff.max.ms": 2_000,
}
_FIXED = {
    "enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky", "enable.partition.eof": True, "allow.auto.create.topics": False,
    "log_level": 0,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """`stores`: both, online, offline. A flush is due after so many rows or seconds. `until_caught_up`: end when everything that
    was in the topics at the start is written. `member`: a name of this process that no other one of the group has; started
    again under it, the process gets its partitions back at once."""

    stores: str = "both"
    flush_rows: int = FLUSH_ROWS
    flush_seconds: float = FLUSH_SECONDS
    until_caught_up: bool = False
    member: str = ""


@dataclass
class Partition:
    """What this consumer holds of one partition. Offsets are those after the last message: read, written to both stores,
    committed; None before the first."""

    chunks: list[Rows] = field(default_factory=list)
    read: int | None = None
    written: int | None = None
    committed: int | None = None


@dataclass(frozen=True)
class Flight:
    """A flush on its way: which partitions it holds, up to which offset, and the doubtful rows of each view at its end."""

    ends: dict[Place, tuple[Partition, int]]
    result: Future[list[tuple[ViewStream, Rows | None]]]


class Consumer:
    """One member of the group. `run` is its life; `stop` may be set from a signal's handler. `say` hears what it waits for,
    `on_flush` is called after each commit of offsets."""

    def __init__(
        self, config: Config, views: Sequence[View], brokers: Mapping[str, Any], options: Options, *,
        reload: Reload = lambda view: None, say: Callable[[str], None] = lambda text: None,
        on_flush: Callable[[], None] = lambda: None,
    ) -> None:
        self.options, self.brokers, self.say, self.on_flush = options, dict(brokers), say, on_flush
        self.stop, self._abandon = threading.Event(), threading.Event()
        self._patience, self._offline_patience = Patience(say, self._abandon, self._stay), Patience(say, self._abandon)
        self.group = group(config, options.stores)
        self.partitions: dict[Place, Partition] = {}
        self._config, self._views, self._reload = config, list(views), reload
        self.streams: dict[str, ViewStream] = {}
        self._dead_letters = DeadLetters(self.brokers)
        self._held: list[tuple[Any, Partition | None]] = []
        self._flight: Flight | None = None
        self._goal: Goal | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="offline")
        self._kafka: Any = None
        self._since = self._asked = self._committed_at = time.monotonic()
        self._deadline = self._revoke_deadline = float("inf")
        self._told: dict[str, float] = {}
        self._busy = self._in_callback = False

    def run(self) -> None:
        """Until `stop` is set, or everything is caught up with. Raises SK861 when Kafka does not answer at the start, SK863 when
        it ends the membership, SK864 when it stopped before everything that was read was written."""
        from confluent_kafka import Consumer as Client

        self._kafka = Client(self._settings())
        try:
            self._open()
            self._subscribe()
            while not self.stop.is_set() and not self._caught_up():
                self._turn()
            self._drain()
        except GaveUp:
            raise SkewlessError(
                "SK864", "stopped before everything that was read was written", detail="Its offsets are not committed.",
                hint="Nothing is lost: the next consumer goes on from there.",
            ) from None
        finally:
            self._abandon.set()
            self._pool.shutdown(wait=True)
            self.partitions.clear()
            self._kafka.close()

    def lag(self) -> int:
        """Messages of this consumer's partitions that are not read yet, as far as its client knows."""
        from confluent_kafka import TopicPartition

        total = 0
        for place, part in self.partitions.items():
            _, high = self._kafka.get_watermark_offsets(TopicPartition(*place), cached=True)
            total += max(0, high - (part.read or 0)) if part.read is not None else 0
        return total

    def _settings(self) -> dict[str, Any]:
        own = {"group.id": self.group, "error_cb": lambda error: self._tell(f"Kafka: {error.str()}")}
        own |= {"group.instance.id": f"{self.group}.{self.options.member}"} if self.options.member else {}
        return {**_SETTINGS, **self.brokers, **_FIXED, **own}

    def _open(self) -> None:
        """Waits for the online store, reads the ledgers, and, to catch up, how far the topics reach."""
        from confluent_kafka import KafkaException

        store = None
        if self.options.stores != "offline":
            client = self._patience.until_done("the online store", lambda: connect(self._config))
            store = OnlineStore(client, self._config.namespace)
        for view in self._views:
            stream = ViewStream(self._config, view, self._reload, store=store, offline=self.options.stores != "online")
            self.streams[stream.topic.name] = stream
            self._patience.until_done(f"the online store, {view.ref}", stream.look)
        try:
            topics = self._kafka.list_topics(timeout=ANSWER_SECONDS_MAX).topics
            there = [n for n in self.streams if n in topics and topics[n].error is None]
            for name in {*self.streams} - {*there}:
                self._tell(f"the topic {name} does not exist yet")
            if self.options.until_caught_up:
                self._goal = Goal(self._kafka, [(n, p) for n in there for p in topics[n].partitions])
        except KafkaException as error:
            raise SkewlessError(
                "SK861", "Kafka does not answer", detail=f"{self.brokers.get('bootstrap.servers')}: {_words(error)}.",
                hint="Check kafka in skewless.yml, or start a broker with: skewless dev up kafka",
            ) from None

    def _subscribe(self) -> None:
        names = [name for name, stream in self.streams.items() if not stream.ended]
        self._kafka.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def _end_views(self) -> None:
        """Reads views that are past their sunset no longer; what was read before is written. Ends after the last one."""
        now = now_us()
        over = [s for s in self.streams.values() if not s.ended and s.sunset_us is not None and s.sunset_us <= now]
        for stream in over:
            stream.ended = True
            self.say(f"{stream.view.ref}: is not consumed any more, it is past its sunset")
            if self._goal is not None:
                self._goal.forget(stream.topic.name)
        if over and all(stream.ended for stream in self.streams.values()):
            self.stop.set()
        elif over:
            self._subscribe()

    def _turn(self) -> None:
        self._end_views()
        self._settle()
        self._start_flush()
        while self._flight is not None and self._is_full():
            self._stay()                        # memory is bounded: the slower store sets the pace
            wait([self._flight.result], 0.05)
            self._settle()
            self._start_flush()
        self._take(self._receive())

    # -- reading --------------------------------------------------------------------------------------------------------

    def _receive(self) -> list[Any]:
        from confluent_kafka import KafkaException

        try:
            fresh = self._kafka.consume(MESSAGES_PER_READ, READ_SECONDS)
        except KafkaException as error:
            raise _ended(_words(error)) from None
        held, self._held = self._held, []
        self._asked = time.monotonic()
        return [m for m, part in held if part is not None and self._part(m) is part] + fresh

    def _part(self, message: Any) -> Partition | None:
        return self.partitions.get((message.topic(), message.partition()))

    def _take(self, received: list[Any]) -> None:
        """Messages -> the online store, and into the hands of the next flush."""
        by_topic: dict[str, list[Any]] = {}
        owners, ends = dict(self.partitions), {place: part.read for place, part in self.partitions.items()}
        for message in received:
            place = (message.topic(), message.partition())
            if message.error() is not None:
                self._event(message, place, ends)
            elif place in owners and not self.streams[place[0]].ended:
                at, expected = message.offset(), ends[place]
                if at != expected:
                    if at < (expected or 0):
                        raise _ended(f"the offsets of {place[0]} go back: the topic was deleted and made again, or cut")
                    self._gap(place, expected, at)
                ends[place] = at + 1
                by_topic.setdefault(place[0], []).append(message)
        self._busy = True
        try:
            for topic, some in by_topic.items():
                self._write(self.streams[topic], some, owners)
        finally:
            self._busy = False
        for place, end in ends.items():
            if self.partitions.get(place) is owners[place]:
                owners[place].read = end

    def _gap(self, place: Place, expected: int | None, first: int) -> None:
        """Says and counts what the brokers deleted before it was read."""
        busy, self._busy = self._busy, True
        try:
            gone = self._patience.until_done("Kafka", lambda: lost(self._kafka, place, expected, first))
        finally:
            self._busy = busy
        if gone:
            self.streams[place[0]].counts.lost += len(gone)
            self.say(warning(self.streams[place[0]].view, place, gone))

    def _write(self, stream: ViewStream, some: list[Any], owners: dict[Place, Partition]) -> None:
        before = stream.view
        _, refused, write = self._patience.until_done("the registry", lambda: stream.write(some))
        if stream.view is not before:
            self.say(f"{stream.view.ref}: goes on with a newer definition")
        rows = self._patience.until_done(f"the online store, {stream.view.ref}", write)
        self._dead_letters.send(stream.topic.dead_letters, refused)
        if self._dead_letters.waiting > LETTERS_MAX:
            self._patience.until_done("dead letters", self._dead_letters.flush)
        for partition in np.unique(rows.partition).tolist():
            place = (stream.topic.name, partition)
            if self.partitions.get(place) is owners[place]:
                owners[place].chunks.append(rows.where(rows.partition == partition))

    def _event(self, message: Any, place: Place, ends: dict[Place, int | None]) -> None:
        from confluent_kafka import KafkaError

        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if place in ends:
                if message.offset() > (ends[place] or 0):
                    self._gap(place, ends[place], message.offset())
                ends[place] = max(message.offset(), ends[place] or 0)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._tell(f"the topic {message.topic()} does not exist yet; waiting for it")
        elif error.fatal():
            raise _ended(error.str())
        else:
            self._tell(f"Kafka: {error.str()}")

    # -- writing --------------------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        chunks = [chunk for part in self.partitions.values() for chunk in part.chunks]
        rows, size = sum(map(len, chunks)), sum(chunk.table.nbytes for chunk in chunks)
        return rows >= self.options.flush_rows or size >= FLUSH_BYTES

    def _start_flush(self, *, now: bool = False, only: set[Place] | None = None) -> None:
        """Hands what was read to the thread of the history, when a flush is due and none is on its way."""
        if self._flight is not None:
            return
        ready = {
            place: (part, part.read) for place, part in self.partitions.items()
            if part.read is not None and part.read != part.written and (only is None or place in only)
        }
        if not ready:
            self._since = time.monotonic()
        due = now or self._is_full() or time.monotonic() - self._since >= self.options.flush_seconds
        if not ready or not (due or self._goal is not None and self._goal.read(self._reads())):
            return
        jobs: dict[str, list[Piece]] = {}
        for place, (part, end) in ready.items():
            jobs.setdefault(place[0], []).append((place, end, part.chunks))
            part.chunks = []
        self._since = time.monotonic()
        self._flight = Flight(ready, self._pool.submit(self._flush, jobs))

    def _flush(self, jobs: dict[str, list[Piece]]) -> list[tuple[ViewStream, Rows | None]]:
        """In the thread of the history."""
        out = []
        for topic, pieces in jobs.items():
            stream = self.streams[topic]

            def append(stream: ViewStream = stream, pieces: list[Piece] = pieces) -> Rows | None:
                return stream.append(pieces, self._topic_id)

            out.append((stream, self._offline_patience.until_done(f"the history of {stream.view.ref}", append)))
            stream.ask_for_sunset()
        return out

    def _topic_id(self, name: str) -> str:
        """What tells a topic from one that had its name before; "" where the brokers do not say. Raises SK862."""
        from confluent_kafka import KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        try:
            client = AdminClient(self.brokers)          # an answer ends with its client
            (asked,) = client.describe_topics(TopicCollection([name])).values()
            return str(asked.result(ANSWER_SECONDS_MAX).topic_id or "")
        except KafkaException as error:
            raise SkewlessError("SK862", "Kafka does not answer", detail=f"{_words(error)}.") from None

    def _settle(self) -> None:
        """After a flush: keys to repair, dead letters, offsets."""
        flight = self._flight
        if flight is not None and flight.result.done():
            results, busy = flight.result.result(), self._busy
            self._busy = True
            try:
                while results:
                    stream, doubtful = results[0]
                    self._patience.until_done(
                        f"the online store, {stream.view.ref}", lambda s=stream, d=doubtful: s.settle(d)   # type: ignore[misc]
                    )
                    del results[0]
                self._patience.until_done("dead letters", self._dead_letters.flush)
            finally:
                self._busy = busy
            self._flight = None
            for place, (part, end) in flight.ends.items():
                if self.partitions.get(place) is part:
                    part.written = end
            self._commit()
            self.on_flush()
        elif time.monotonic() - self._committed_at > 1.0:
            self._commit()

    def _commit(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        self._committed_at = time.monotonic()
        due = {p: x.written for p, x in self.partitions.items() if x.written is not None and x.written != x.committed}
        if not due:
            return
        try:
            done = self._kafka.commit(offsets=[TopicPartition(*p, offset) for p, offset in due.items()], asynchronous=False)
        except KafkaException as error:
            self._tell(f"Kafka does not take the offsets: {_words(error)}")
            return
        failed = {(p.topic, p.partition) for p in done or () if p.error is not None}
        for place, offset in due.items():
            if place not in failed:
                self.partitions[place].committed = offset

    # -- the group ------------------------------------------------------------------------------------------------------

    def _on_assign(self, client: Any, places: list[Any]) -> None:
        client.incremental_assign(places)
        for place in places:
            self.partitions[place.topic, place.partition] = Partition()
        if places:
            self.say(f"reads {_shown(places)}")

    def _on_revoke(self, client: Any, places: list[Any]) -> None:
        """What was read of these partitions is written before another consumer gets them; what takes too long, it reads again."""
        mine = {(p.topic, p.partition) for p in places} & {*self.partitions}
        if mine and not self._busy:
            self._in_callback, self._revoke_deadline = True, time.monotonic() + REVOKE_SECONDS_MAX
            try:
                self._land()
                self._start_flush(now=True, only=mine)
                self._land()
            except GaveUp:
                pass
            finally:
                self._in_callback, self._revoke_deadline = False, float("inf")
        for place in mine:
            del self.partitions[place]
        client.incremental_unassign(places)
        if places:
            self.say(f"gives away {_shown(places)}")

    def _on_lost(self, client: Any, places: list[Any]) -> None:
        for place in places:
            self.partitions.pop((place.topic, place.partition), None)
        self.say(f"lost {_shown(places)}")

    def _stay(self) -> None:
        """While a store is waited for: stays a member of the group, which ends the membership of those that never ask for
        messages. Raises GaveUp when the time to stop, or to give partitions away, is over."""
        now = time.monotonic()
        if self.stop.is_set() and self._deadline == float("inf"):
            self._deadline = now + DRAIN_SECONDS_MAX
        if now > self._deadline:
            self._abandon.set()
        if now > min(self._deadline, self._revoke_deadline):
            raise GaveUp
        if self._kafka is not None and not self._in_callback and now - self._asked >= SILENT_SECONDS_MAX:
            self._asked, busy, self._busy = now, self._busy, True
            try:
                message = self._kafka.poll(0)
            finally:
                self._busy = busy
            if message is not None:
                self._held.append((message, self._part(message)))

    # -- the end --------------------------------------------------------------------------------------------------------

    def _reads(self) -> dict[Place, int | None]:
        return {place: part.read for place, part in self.partitions.items()}

    def _caught_up(self) -> bool:
        from confluent_kafka import KafkaException

        if self._goal is None:
            return False
        try:
            return self._goal.reached({place: part.committed for place, part in self.partitions.items()})
        except KafkaException as error:
            self._tell(f"Kafka: {_words(error)}")
            return False

    def _drain(self) -> None:
        """Writes what was read; gives up after a while, since the next consumer reads it again."""
        self.stop.set()
        self._land()
        self._start_flush(now=True)
        self._land()
        self._commit()

    def _land(self) -> None:
        while self._flight is not None:
            self._stay()
            wait([self._flight.result], 0.05)
            self._settle()

    def _tell(self, text: str) -> None:
        """Says it, the same words not more often than every ten seconds."""
        now = time.monotonic()
        if now - self._told.get(text, -1e9) >= 10.0:
            self._told[text] = now
            self.say(text)


def group(config: Config, stores: str) -> str:
    """The consumer group: one for both stores; of one store alone another, since it has its own progress."""
    return f"skewless.{config.namespace}" + ("" if stores == "both" else f".{stores}")


def _shown(places: list[Any]) -> str:
    by_topic: dict[str, list[int]] = {}
    for place in places:
        by_topic.setdefault(place.topic, []).append(place.partition)
    return "; ".join(f"{topic} {','.join(map(str, sorted(some)))}" for topic, some in sorted(by_topic.items()))


def _words(error: Any) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if hasattr(cause, "str") else str(cause)


def _ended(detail: str) -> SkewlessError:
    hint = "Start it again; it goes on where it was."
    return SkewlessError("SK863", "the consumer cannot go on", detail=f"{detail}.", hint=hint)
