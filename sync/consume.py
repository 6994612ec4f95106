"""Feature topics -> the online store and the history: every message counts once in both, whatever dies in between.

A row goes to the online store at once, and to the history with the next flush; offsets are committed after both, and after what
could not be used is in the dead letters. What was read and not committed is read again: the online store's script and the
table's transactions make the second time change nothing. A view whose history cannot be read or written waits alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from skewless import messages
from skewless.clock import now_us
from skewless.config import Config
from skewless.errors import SkewlessError
from skewless.online import OnlineStore, connect
from skewless.registry.model import View
from skewless.sync.dead_letters import DeadLetters
from skewless.sync.feature_topic import Rows
from skewless.sync.goal import Goal
from skewless.sync.lane import Errand, Flight, Lane, Partition, share
from skewless.sync.patience import GaveUp, Patience, is_of_one_view
from skewless.sync.retention import lost, recall, warning
from skewless.sync.view_stream import Piece, Place, Reload, ViewStream

FLUSH_ROWS, FLUSH_SECONDS = 50_000, 30.0
FLUSH_BYTES = 128 * 2**20
MESSAGES_PER_READ, READ_SECONDS = 10_000, 0.05
LETTERS_MAX = 1_000
DRAIN_SECONDS_MAX = 20.0                # after `stop`; what is not written by then is left to the next consumer
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

    stores: str = messages.BOTH
    flush_rows: int = FLUSH_ROWS
    flush_seconds: float = FLUSH_SECONDS
    until_caught_up: bool = False
    member: str = ""


class Consumer:
    """One member of the group. `run` is its life; `end` may be called by a signal's handler. `say` hears what it waits for,
    `on_flush` is called after each commit of offsets."""

    def __init__(
        self, config: Config, views: Sequence[View], brokers: Mapping[str, Any], options: Options, *,
        reload: Reload = lambda view: None, say: Callable[[str], None] = lambda text: None,
        on_flush: Callable[[], None] = lambda: None,
    ) -> None:
        self.options, self.brokers, self.say, self.on_flush = options, dict(brokers), say, on_flush
        self.stop, self._abandon = threading.Event(), threading.Event()
        self._patience = Patience(say, self._abandon, self._stay)
        self.group = messages.group(config.namespace, options.stores)
        self.partitions: dict[Place, Partition] = {}
        self._config, self._views, self._reload = config, list(views), reload
        self.streams: dict[str, ViewStream] = {}
        self._dead_letters = DeadLetters(self.brokers)
        self._held: list[tuple[Any, Partition | None]] = []
        self._lanes: dict[str, Lane] = {}
        self._paused: set[Place] = set()
        self._goal: Goal | None = None
        self._pool = ThreadPoolExecutor(max(1, len(views)), thread_name_prefix="offline")
        self._kafka: Any = None
        self._since = self._asked = self._committed_at = time.monotonic()
        self._deadline = self._revoke_deadline = float("inf")
        self._told: dict[str, float] = {}
        self._busy = self._in_callback = self._opening = self._in_hand = False

    def run(self) -> None:
        """Until `end`, or everything is caught up with. Raises SK861 when Kafka does not answer at the start, SK863 when
        it ends the membership, SK864 when it stopped before everything that was read was written."""
        from confluent_kafka import Consumer as Client

        self._kafka = Client(self._settings())
        try:
            self._opening = True
            if self.stop.is_set():
                raise GaveUp
            self._open()
            self._opening = False
            self._subscribe()
            while not self.stop.is_set() and not self._caught_up():
                self._turn()
            self._drain()
        except GaveUp:
            if self._has_read or not self.stop.is_set():
                raise unfinished() from None
        finally:
            self._abandon.set()
            self._pool.shutdown(wait=True)
            self.partitions.clear()
            self._kafka.close()

    def end(self) -> None:
        """Writes what was read, then ends `run`; before anything was read at once. For the handler of a signal."""
        self.stop.set()
        if self._opening:
            self._opening = False
            raise GaveUp

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
            lane = self._lanes[stream.topic.name] = Lane(stream, self.say, self._abandon)
            self._run(lane, Errand(stream.look, lambda _: None, 0))
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
        self._run_errands()
        self._settle()
        self._start_flush()
        self._pace()
        self._take(self._receive())

    def _run(self, lane: Lane, errand: Errand) -> bool:
        """Whether it is done now; otherwise the view waits for it, and the others go on."""
        lane.errand = errand
        try:
            result = self._patience.until_done(f"the online store, {lane.stream.view.ref}", errand.action, shared=True)
        except Exception as error:
            if not is_of_one_view(error):
                raise
            lane.put_off(error)
            return False
        lane.errand = None
        lane.succeeded()
        errand.done(result)
        return True

    def _run_errands(self) -> None:
        for lane in self._lanes.values():
            if lane.errand is not None and lane.is_due:
                busy, self._busy = self._busy, self._busy or lane.errand.messages > 0
                try:
                    self._run(lane, lane.errand)
                finally:
                    self._busy = busy
            if lane.errand is None and lane.backlog:
                waited, lane.backlog = lane.backlog, []
                self._take([m for m, part in waited if part is not None and self._part(m) is part])

    def _pace(self) -> None:
        """Memory is bounded: of views that wait, partitions are not read further when enough is held."""
        from confluent_kafka import TopicPartition

        full = self._is_full([lane for lane in self._lanes.values() if lane.flight is not None])
        waits = {name for name, lane in self._lanes.items() if lane.errand is not None or (full and lane.flight is not None)}
        wanted = {place for place in self.partitions if place[0] in waits}
        if more := wanted - self._paused:
            self._kafka.pause([TopicPartition(*place) for place in more])
        if less := (self._paused - wanted) & {*self.partitions}:
            self._kafka.resume([TopicPartition(*place) for place in less])
        self._paused = wanted

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
        self._in_hand = bool(received)
        owners, ends = dict(self.partitions), {place: part.read for place, part in self.partitions.items()}
        for message in received:
            place = (message.topic(), message.partition())
            if place in owners and self._lanes[place[0]].errand is not None:
                self._lanes[place[0]].backlog.append((message, owners[place]))
            elif message.error() is not None:
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
                self._write(self._lanes[topic], some, owners, ends)
        finally:
            self._busy = False
        self._advance(owners, {place: end for place, end in ends.items() if place[0] not in by_topic})
        self._in_hand = False

    def _advance(self, owners: dict[Place, Partition], ends: dict[Place, int | None]) -> None:
        for place, end in ends.items():
            if self.partitions.get(place) is owners[place]:
                owners[place].read = end

    def _gap(self, place: Place, expected: int | None, first: int) -> None:
        """Says and counts what the brokers deleted before it was read."""
        busy, self._busy, part = self._busy, True, self.partitions.get(place)
        try:
            gone = self._patience.until_done("Kafka", lambda: lost(self._kafka, place, expected, first))
        finally:
            self._busy = busy
        if gone:
            if part is not None:
                part.gaps.append(gone)
            self.streams[place[0]].counts.lost += len(gone)
            self.say(warning(self.streams[place[0]].view, place, gone))

    def _write(
        self, lane: Lane, some: list[Any], owners: dict[Place, Partition], ends: dict[Place, int | None]
    ) -> None:
        stream, before = lane.stream, lane.stream.view
        _, refused, write = self._patience.until_done("the registry", lambda: stream.write(some))
        if stream.view is not before:
            self.say(f"{stream.view.ref}: goes on with a newer definition")
        self._dead_letters.send(stream.topic.dead_letters, refused)
        if self._dead_letters.waiting > LETTERS_MAX:
            self._patience.until_done("dead letters", self._dead_letters.flush)
        name = stream.topic.name

        def written(rows: Rows) -> None:
            share(self.partitions, name, rows, owners)
            self._advance(owners, {place: end for place, end in ends.items() if place[0] == name})

        self._run(lane, Errand(write, written, len(some)))

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

    def _is_full(self, lanes: Sequence[Lane]) -> bool:
        names = {lane.stream.topic.name for lane in lanes}
        chunks = [chunk for place, part in self.partitions.items() if place[0] in names for chunk in part.chunks]
        rows, size = sum(map(len, chunks)), sum(chunk.table.nbytes for chunk in chunks)
        return bool(chunks) and (rows >= self.options.flush_rows or size >= FLUSH_BYTES)

    def _start_flush(self, *, now: bool = False, only: set[Place] | None = None) -> None:
        """Hands what was read of views without a flush on its way to their threads, when one is due."""
        free = {name: lane for name, lane in self._lanes.items() if lane.flight is None}
        ready = {
            place: (part, part.read) for place, part in self.partitions.items()
            if place[0] in free and part.read is not None and part.is_ready and (only is None or place in only)
        }
        if not ready:
            self._since = time.monotonic()
        due = now or self._is_full([*free.values()]) or time.monotonic() - self._since >= self.options.flush_seconds
        if not ready or not (due or self._goal is not None and self._goal.read(self._reads())):
            return
        self._since = time.monotonic()
        for name in {place[0] for place in ready}:
            ends = {place: found for place, found in ready.items() if place[0] == name}
            pieces = [(place, end, part.chunks) for place, (part, end) in ends.items()]
            for part, _ in ends.values():
                part.chunks = []
            free[name].flight = Flight(ends, self._pool.submit(self._flush, free[name], pieces))

    def _flush(self, lane: Lane, pieces: list[Piece]) -> Rows | None:
        """In a thread of the histories."""
        doubtful = lane.patience.until_done(lane.what, lambda: lane.stream.append(pieces, self._topic_id))
        lane.stream.ask_for_sunset()
        return doubtful

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
        """After flushes: keys to repair, dead letters, offsets."""
        busy, self._busy = self._busy, True
        try:
            landed = [lane for lane in self._lanes.values() if self._is_settled(lane)]
            if landed:
                self._patience.until_done("dead letters", self._dead_letters.flush)
        finally:
            self._busy = busy
        for lane in landed:
            flight, lane.flight = lane.flight, None
            for place, (part, end) in flight.ends.items() if flight is not None else ():
                if self.partitions.get(place) is part:
                    part.written = end
        if landed or time.monotonic() - self._committed_at > 1.0:
            self._commit()
        if landed:
            self.on_flush()

    def _is_settled(self, lane: Lane) -> bool:
        """Whether the view's flush is at its end, and its doubtful keys are named."""
        if lane.flight is None or not lane.flight.result.done() or not lane.is_due:
            return False
        doubtful = lane.flight.result.result()
        try:
            self._patience.until_done(
                f"the online store, {lane.stream.view.ref}", lambda: lane.stream.settle(doubtful), shared=True
            )
        except Exception as error:
            if not is_of_one_view(error):
                raise
            lane.put_off(error)
            return False
        if lane.errand is None:
            lane.succeeded()
        return True

    def _commit(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        self._committed_at = time.monotonic()
        due = {p: x.written for p, x in self.partitions.items() if x.written is not None and x.written != x.committed}
        if not due:
            return
        try:
            recall(self._kafka, {place: self.partitions[place] for place in due})
            notes = {place: messages.note(self.partitions[place].lost(offset)) for place, offset in due.items()}
            offsets = [TopicPartition(*place, offset, notes[place]) for place, offset in due.items()]
            done = self._kafka.commit(offsets=offsets, asynchronous=False)
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
        self._paused -= {(p.topic, p.partition) for p in places}
        client.resume(places)
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
                self._land(mine)
                self._start_flush(now=True, only=mine)
                self._land(mine)
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
        if self.stop.is_set() and not self._busy and not self._has_read:
            raise GaveUp
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
        while self._has_read:
            self._stay()
            self._run_errands()
            self._settle()
            self._start_flush(now=True)
            time.sleep(0.02)
        self._commit()

    @property
    def _has_read(self) -> bool:
        """Whether something that was read is not written yet."""
        lanes = self._lanes.values()
        return self._in_hand or any(part.is_ready for part in self.partitions.values()) or any(
            lane.flight is not None or lane.holds_messages for lane in lanes
        )

    def _land(self, places: set[Place]) -> None:
        """Until the flushes of these partitions' views are at their end, or the view waits for something of its own."""
        lanes = [lane for name, lane in self._lanes.items() if name in {topic for topic, _ in places}]
        while flying := [lane.flight.result for lane in lanes if lane.flight is not None and not lane.is_held_up]:
            self._stay()
            wait(flying, 0.05)
            self._settle()

    def _tell(self, text: str) -> None:
        """Says it, the same words not more often than every ten seconds."""
        now = time.monotonic()
        if now - self._told.get(text, -1e9) >= 10.0:
            self._told[text] = now
            self.say(text)


def _shown(places: list[Any]) -> str:
    by_topic: dict[str, list[int]] = {}
    for place in places:
        by_topic.setdefault(place.topic, []).append(place.partition)
    return "; ".join(f"{topic} {','.join(map(str, sorted(some)))}" for topic, some in sorted(by_topic.items()))


def _words(error: Any) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if hasattr(cause, "str") else str(cause)


def unfinished() -> SkewlessError:
    """Some of what was read is left to the next consumer."""
    return SkewlessError(
        "SK864", "stopped before everything that was read was written", detail="Its offsets are not committed.",
        hint="Nothing is lost: the next consumer goes on from there.",
    )


def _ended(detail: str) -> SkewlessError:
    hint = "Start it again; it goes on where it was."
    return SkewlessError("SK863", "the consumer cannot go on", detail=f"{detail}.", hint=hint)
