"""`skewless stream consume` on a real broker, a real Valkey and a real lake: every message once in both stores."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from skewless import messages
from skewless.audit import audit_view
from skewless.clock import format_instant, now_us
from skewless.errors import SkewlessError
from skewless.online.store import GRACE_US
from skewless.registry.model import Feature, View
from skewless.sync.batch import sync_view
from skewless.sync.consume import Consumer, Options
from skewless.sync.patience import GaveUp
from skewless.warehouse.lake import LakeTable
from skewless.warehouse.upkeep import compact
from tests.feature_messages import NOON, Topic, body, newest, streamed
from tests.history_driver import Driver
from tests.test_lake_states import BEGIN, HOUR
from tests.waiting import eventually

MINUTE = 60_000
NewTopic = Callable[..., Topic]


def rows(n: int, start: int = 0) -> list[tuple[Any, ...]]:
    """Rows of five entities, a minute apart."""
    return [(f"e{i % 5}", NOON + i * MINUTE, i, i / 4) for i in range(start, start + n)]


def test_rows_reach_both_stores_and_the_newest_is_online(topic: NewTopic) -> None:
    t = topic()
    late = ("e1", NOON - 5 * MINUTE, None, None)
    t.send(*rows(20), late, *rows(3), ("e2", NOON + 17 * MINUTE, -7, 0.5), ("é|}", NOON, 1, -0.0))
    consumer = t.once(flush_seconds=30)
    t.check()
    (stream,) = consumer.streams.values()
    assert (stream.counts.messages, stream.counts.offline, stream.counts.dead, stream.counts.late) == (26, 26, 0, 0)
    assert sum(t.offsets().values()) == 26
    entries = [e for e in t.table.ledger() if e.kind == "pending"]
    assert len(entries) == 1, "both partitions are one commit"
    assert t.once().streams[t.name].counts.messages == 0
    compact(t.table)
    t.check()


def test_what_is_no_row_goes_to_the_dead_letters(topic: NewTopic) -> None:
    t = topic(partitions=1)
    header = (messages.HEADER, messages.header(t.view))
    good = body(t.view, ["a", NOON, 1, 1.0])
    t.send(*rows(3))
    t.raw(None, headers=[header])
    t.raw(good, None, [header])
    t.raw(good, headers=[(messages.HEADER, b"12345678")])
    t.raw(good, headers=[("other", b"x")])
    t.raw(good[:-1], headers=[header])
    t.raw(b"\x02\xff" + good[2:], headers=[header])
    t.raw(b"", headers=[header])
    t.raw(b"\x02a" + b"\xfe" * 9 + b"\x01" + good[-11:], headers=[header])
    t.send(*rows(3, 3))
    consumer = t.once()
    t.check()
    reasons = {letter["offset"]: letter["reason"] for letter in t.dead()}
    assert list(reasons) == list(range(3, 11)) and consumer.streams[t.name].counts.dead == 8
    assert reasons[3] == "tombstone" and reasons[4] == "it has no key" and reasons[6] == "no header skw1"
    assert "is not one of events@1" in reasons[5] and "not a record" in reasons[7] and "k is not a value" in reasons[8]
    assert "event_timestamp is not a value of type timestamp" in reasons[10]
    (letter,) = [letter for letter in t.dead() if letter["offset"] == 8]
    assert letter["topic"] == t.name and letter["partition"] == 0 and letter["encoding"] == "base64" and letter["payload"]
    assert t.once().streams[t.name].counts.messages == 0 and len(t.dead()) == 8


def test_a_letter_that_would_be_too_long_is_cut_and_its_neighbours_arrive(topic: NewTopic) -> None:
    """Escapes make a payload up to six times longer, a header may be of any length, a topic may take less than others."""
    t = topic(partitions=1)
    header, long = (messages.HEADER, messages.header(t.view)), 600 * 1024
    for value in (b"small", bytes(long), b"\xff" * long, "é".encode() * (long // 2), b"after"):
        t.raw(value, headers=[header])
    t.raw(b"small", headers=[(messages.HEADER, bytes(long))])
    t.send(*rows(2))
    assert t.once().streams[t.name].counts.dead == 6 and t.offsets() == {0: 8}
    letters = {letter["offset"]: letter for letter in t.dead()}
    assert [letters[at]["bytes"] for at in range(6)] == [5, long, long, long, 5, 5]
    assert letters[0]["payload"] == "small" and letters[4]["payload"] == "after"
    assert 0 < len(letters[1]["payload"]) * 6 <= 256 * 1024 and {*letters[1]["payload"]} == {"\0"}
    assert {*base64.b64decode(letters[2]["payload"])} == {255} and {*letters[3]["payload"]} == {"é"}
    name = messages.dead_letter_topic(t.config.namespace, t.view)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    resource.add_incremental_config(ConfigEntry("max.message.bytes", "50000", incremental_operation=AlterConfigOpType.SET))
    t.admin.incremental_alter_configs([resource])[resource].result(30)
    t.raw(b"\0" * long, headers=[header])
    t.raw(b"last", headers=[header])
    t.once()
    assert t.offsets() == {0: 10} and {8, 9} <= {letter["offset"] for letter in t.dead()}


def test_a_topic_of_dead_letters_that_is_gone_is_made_again(topic: NewTopic) -> None:
    t = topic(partitions=1)
    header, name = [(messages.HEADER, messages.header(t.view))], messages.dead_letter_topic(t.config.namespace, t.view)
    with t.running() as consumer:
        t.raw(b"bad", headers=header)
        eventually(lambda: t.offsets() == {0: 1})
        t.admin.delete_topics([name])[name].result(30)
        eventually(lambda: name not in t.admin.list_topics(timeout=10).topics)
        t.raw(b"bad again", headers=header)
        t.send(*rows(3))
        eventually(lambda: t.offsets() == {0: 5})
    assert "bad again" in {letter["payload"] for letter in t.dead()} and consumer.streams[t.name].counts.dead == 2


def test_a_topic_whose_times_are_the_producers_is_not_believed(topic: NewTopic) -> None:
    t = topic()
    t.admin.delete_topics([t.name])[t.name].result(30)
    from confluent_kafka.admin import NewTopic as Wanted

    eventually(lambda: t.name not in t.admin.list_topics(timeout=10).topics)
    t.admin.create_topics([Wanted(t.name, num_partitions=2, config={"message.timestamp.type": "CreateTime"})])[t.name].result(30)
    t.send(*rows(2))
    assert t.once().streams[t.name].counts.dead == 2 and t.online() == {}


def test_what_is_read_again_changes_nothing(topic: NewTopic) -> None:
    t = topic(partitions=1)
    t.send(*rows(10))
    t.once()
    before = t.offline(), t.online(), t.pending()
    t.rewind(p0=0)
    again = t.once().streams[t.name].counts
    assert (again.messages, again.offline, again.repeated) == (10, 0, 10)
    assert (t.offline(), t.online(), t.pending()) == before
    t.send(*rows(5, 10), *rows(2))
    t.rewind(p0=4)
    overlap = t.once(flush_rows=7).streams[t.name].counts
    assert (overlap.messages, overlap.offline, overlap.repeated) == (13, 7, 6)
    t.check()


def test_what_retention_took_before_it_was_read_is_said_and_counted(topic: NewTopic) -> None:
    t = topic(partitions=1)
    t.send(*rows(10))
    first = t.once()
    assert first.streams[t.name].counts.lost == 0
    t.send(*rows(10, 10))
    cut = [TopicPartition(t.name, 0, 15)]
    t.admin.delete_records(cut)[cut[0]].result(30)
    counts = t.once().streams[t.name].counts
    assert (counts.messages, counts.offline, counts.lost) == (5, 5, 5)
    (said,) = [said for said in t.said if "SK865" in said]
    assert said.startswith("warning[SK865]: 5 messages of events@1") and "offsets 10 to 14" in said and "retention.ms" in said
    t.send(*rows(3, 20))
    cut = [TopicPartition(t.name, 0, 23)]
    t.admin.delete_records(cut)[cut[0]].result(30)
    with t.running() as consumer:
        eventually(lambda: t.offsets() == {0: 23})
        assert consumer.streams[t.name].counts.lost == 3, "also when nothing is left"
        t.send(*rows(2, 23))
        eventually(lambda: consumer.streams[t.name].counts.offline == 2)
    assert consumer.streams[t.name].counts.lost == 3


@pytest.mark.parametrize("where", ["before the history", "after the history"])
def test_a_consumer_that_dies_between_its_writes(topic: NewTopic, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    t = topic()
    t.send(*rows(30))
    consumer = t.consumer(once=True)
    if where == "before the history":
        monkeypatch.setattr("skewless.sync.view_stream.LakeTable.append_parts", _die)
    else:
        monkeypatch.setattr(consumer, "_commit", _die)
    with pytest.raises(SkewlessError, match="SK864"):
        consumer.run()
    assert len(t.online()) == 5 and set(t.offsets().values()) == {-1001}
    monkeypatch.undo()
    t.send(*rows(5, 30))
    t.once()
    t.check()


def test_only_one_of_the_stores(topic: NewTopic) -> None:
    t = topic()
    t.send(*rows(12))
    t.once(stores="online")
    assert len(t.online()) == 5 and not t.table.exists() and set(t.offsets().values()) == {-1001}
    t.once(stores="offline")
    t.check()
    t.send(*rows(3, 12))
    t.once(stores="offline")
    t.once()
    t.check()


def test_a_feature_that_is_added_while_it_runs(topic: NewTopic) -> None:
    t = topic()
    old = t.view
    wider = streamed(features=(*old.features, Feature(name="n", type="string")), past_schemas=(old.schema,))
    applied = []
    with t.running(reload=lambda view: applied[-1] if applied and applied[-1] != view else None) as consumer:
        t.send(*rows(10))
        eventually(lambda: consumer.streams[t.name].counts.offline == 10)
        applied.append(wider)
        t.send(*((*row, f"text {row[2]}") for row in rows(10, 10)), view=wider)
        t.send(*rows(3, 20))
        eventually(lambda: consumer.streams[t.name].counts.offline == 23)
        assert consumer.streams[t.name].counts.dead == 0
    t.view = wider
    t.check()
    assert "n" in t.table.column_types()


def test_a_topic_that_comes_later_and_one_that_is_made_anew(topic: NewTopic) -> None:
    t = topic()
    t.send(*rows(8))
    t.once()
    t.admin.delete_topics([t.name])[t.name].result(30)
    eventually(lambda: t.name not in t.admin.list_topics(timeout=10).topics)
    with t.running() as consumer:
        eventually(lambda: any("does not exist yet" in said for said in t.said))
        t.make()
        t.send(*rows(6, 8))
        eventually(lambda: consumer.streams[t.name].counts.offline == 6)
    assert t.pending() == 14 and len(t.offline()) == 14


def test_rows_that_belong_to_the_batch(topic: NewTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late when they are read, late when they are flushed, and behind a sync that the consumer has not heard of."""
    t = topic(view=streamed(begin_us=BEGIN))
    driver = Driver(t.config.lake_root, "month", allow_retract=True)
    driver.table = LakeTable(t.config.lake_root, t.view)
    through = BEGIN // 1000 + 24 * 60 * MINUTE

    def run(until: int) -> None:
        monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(until * 1000))
        driver.run()
        assert t.table.complete_through_us() == until * 1000

    driver.con.execute("insert into source values ('a', make_timestamp(?), 1, 1.0)", [(through - MINUTE) * 1000]).fetchall()
    run(through)
    sync_view(t.config, t.view)
    with t.running(flush_seconds=1000) as consumer:
        t.send(("a", through - 1, 2, 2.0), ("b", through, 3, 3.0), ("c", through + MINUTE, 4, 4.0))
        eventually(lambda: len(t.online()) == 3)
        counts = consumer.streams[t.name].counts
        assert counts.late == 1 and t.online()["a"][2] == (1, 1.0)
        run(through + 60 * MINUTE)                                      # knows nothing of b and c
        driver.con.execute("insert into source values ('a', make_timestamp(?), 5, 5.0)", [through * 1000]).fetchall()
        run(through + 120 * MINUTE)
        sync_view(t.config, t.view)
        assert t.online()["a"][2] == (5, 5.0) and "c" in t.online()     # b and c are not known to be late yet
        t.send(("a", through + 90 * MINUTE, 6, 6.0), ("a", through + 60 * MINUTE, 7, 7.0), ("d", through + 120 * MINUTE, 8, 8.0))
        eventually(lambda: "d" in t.online())
        assert t.online()["a"][2] == (5, 5.0)
        t.send(("a", through + 121 * MINUTE, 9, 9.0))
        eventually(lambda: t.online()["a"][2] == (9, 9.0))
    assert (counts.late, counts.offline, counts.dead) == (5, 2, 0)
    sync_view(t.config, t.view)
    assert t.online() == newest(t.offline()) and {*t.online()} == {"a", "d"}
    assert audit_view(t.config, t.view).clean
    t.rewind(p0=0, p1=0)
    assert t.once().streams[t.name].counts.late == 5 and t.pending() == 2
    sync_view(t.config, t.view)
    assert t.online() == newest(t.offline())
    driver.close()


def test_a_late_row_of_an_earlier_life_is_repaired(topic: NewTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written online by a consumer that died before its flush; a batch came past it; the next consumer finds it late."""
    t = topic(view=streamed(begin_us=BEGIN))
    driver = Driver(t.config.lake_root, "month", allow_retract=True)
    driver.table = LakeTable(t.config.lake_root, t.view)
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(BEGIN + HOUR))
    driver.run()
    sync_view(t.config, t.view)
    first, at = t.consumer(once=True), BEGIN // 1000 + 61 * MINUTE
    monkeypatch.setattr("skewless.sync.view_stream.LakeTable.append_parts", _die)
    t.send(("a", at, 1, 1.0), ("b", at, 2, 2.0))
    with pytest.raises(SkewlessError, match="SK864"):
        first.run()
    monkeypatch.undo()
    monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(BEGIN + 3 * HOUR))
    driver.run()
    sync_view(t.config, t.view)
    assert {*t.online()} == {"a", "b"}, "nobody has told the sync"
    assert t.once().streams[t.name].counts.late == 2
    sync_view(t.config, t.view)
    assert t.online() == {} == t.offline()
    driver.close()


def _die(*_: Any, **__: Any) -> Any:
    raise GaveUp


def test_a_view_past_its_sunset_is_written_no_longer(topic: NewTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two that comes to its end while it runs, then the other one, whose sunset is applied while it runs."""
    soon, later = now_us() + 3600 * 10**6, now_us() + 7200 * 10**6
    one, applied = topic(view=streamed(sunset_at_us=soon)), list[View]()
    two = Topic(one.stack, one.root, view=streamed(version=2), said=one.said)
    two.config, two.name = one.config, messages.topic(one.config.namespace, two.view)
    two.make()
    consumer = Consumer(one.config, [one.view, two.view], one.brokers, Options(flush_rows=10, flush_seconds=0.2),
                        say=one.said.append, reload=lambda v: next((a for a in applied if a.ref == v.ref and a != v), None))
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        one.send(*rows(5))
        two.send(*rows(5))
        eventually(lambda: sum(s.counts.offline for s in consumer.streams.values()) == 10)
        monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(soon))
        eventually(lambda: any("events@1: is not consumed any more" in said for said in one.said))
        applied.append(streamed(version=2, sunset_at_us=later))
        one.send(*rows(5, 5))
        two.send(*rows(5, 5))
        eventually(lambda: consumer.streams[two.name].counts.offline == 10)
        assert thread.is_alive()
        monkeypatch.setenv("SKEWLESS_CLOCK", format_instant(later))
        eventually(lambda: not thread.is_alive())
    finally:
        consumer.stop.set()
        thread.join()
    two.check()
    assert len(one.offline()) == 5 and sum(one.offsets().values()) == 5


def test_streamed_keys_expire_as_the_view_says(topic: NewTopic) -> None:
    """A row leaves the store ttl and the grace after its event; one of a view without ttl never does."""
    now = now_us() // 1000
    t, hour = topic(view=streamed(ttl_us=2 * HOUR)), HOUR // 1000
    t.send(("new", now, 1, 1.0), ("old", now - hour, 1, 1.0), ("future", now + hour, 1, 1.0))
    t.once()
    left = {unquote(key.decode()).partition("|")[2].partition("}")[0]: t.client.pttl(key) for key in
            t.client.scan_iter(match=f"{t.config.namespace}:{{*}}:events@1")}
    spent = now_us() // 1000 - now
    for name, offset in (("new", 0), ("old", -hour), ("future", hour)):
        wanted = 2 * hour + GRACE_US // 1000 + offset
        assert wanted - spent - 1 <= left[name] <= wanted, name
    forever = topic(view=streamed(ttl_us=None))
    forever.send(("new", now, 1, 1.0))
    forever.once()
    (key,) = forever.client.scan_iter(match=f"{forever.config.namespace}:{{*}}:events@1")
    assert forever.client.pttl(key) == -1
