"""`skewless stream consume` as a user runs it: views out of the registry, lines of JSON, signals, refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

from confluent_kafka import TopicPartition

from skewless import messages
from skewless.cli.consume import END_SECONDS_MAX
from skewless.cli.stream_project import positions
from skewless.config import read_config
from skewless.registry.model import Entity, Feature, Registry, View
from skewless.registry.store import Store
from skewless.sync.lane import Partition
from tests.feature_messages import NOON, Topic, streamed
from tests.history_project import view
from tests.waiting import eventually


def apply(t: Topic, *views: View) -> None:
    """These definitions are the applied ones from now on."""
    store = Store(t.config)
    entity = Entity(name="thing", join_keys=views[0].join_keys)
    wanted = Registry(project=t.config.project, target=t.config.target, entities=(entity,), views=views)
    store.save(wanted, expected=store.applied())


def argv(t: Topic, *more: str) -> list[str]:
    return [sys.executable, "-m", "skewless.cli", "stream", "consume", *more, "--project-dir", str(t.root)]


def consume(t: Topic, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(t, *more), capture_output=True, text=True, timeout=120)


def test_two_versions_side_by_side_and_json(topic: Callable[..., Topic]) -> None:
    one = topic()
    two = Topic(one.stack, one.root, view=streamed(version=2, features=(Feature(name="a", type="int64"),)))
    two.config = one.config
    two.name = two.name.replace(two.name.split(".")[0], one.config.project)
    two.make()
    apply(one, one.view, two.view, view(name="other", storage="other"))
    one.send(*((f"k{i % 3}", NOON + i, i, None) for i in range(30)))
    two.send(*((f"k{i % 3}", NOON + i, -i) for i in range(20)))
    done = consume(one, "--once", "--json", "--flush-rows", "10")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["ended"] and {ref: c["offline"] for ref, c in lines[-1]["views"].items()} == {"events@1": 30, "events@2": 20}
    assert sum(p["offset"] for p in lines[-2]["partitions"]) == 50 and lines[-2]["lag"] == 0
    assert lines[-1]["group"] == f"skewless.{one.config.namespace}"
    one.check()
    two.check()


def test_status_says_what_retention_took_before_it_was_read(topic: Callable[..., Topic]) -> None:
    t = topic(partitions=1)
    apply(t, t.view)
    sent = 0

    def send(n: int) -> None:
        nonlocal sent
        t.send(*((f"k{i % 3}", NOON + i, i, None) for i in range(sent, sent + n)))
        sent += n

    def cut(offset: int) -> None:
        place = [TopicPartition(t.name, 0, offset)]
        t.admin.delete_records(place)[place[0]].result(30)

    def lost() -> dict[str, int]:
        (found,) = positions(read_config(t.root), [], "")
        return {reader.stores: reader.lost for reader in found.readers}

    send(10)
    t.once()
    assert lost() == {"both": 0}
    send(10)
    cut(15)
    assert lost() == {"both": 5}, "before a consumer comes"
    t.once()
    assert lost() == {"both": 5}
    send(5)
    t.once()
    t.once(stores="offline")
    assert lost() == {"both": 5, "offline": 0}, "another consumer, another commit"
    send(3)
    cut(28)
    t.once()
    assert lost() == {"both": 8, "offline": 3}, "also when nothing is left to read"
    command = [sys.executable, "-m", "skewless.cli", "stream", "status", "--project-dir", str(t.root)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120)
    head, row = (re.split("  +", line) for line in shown.stdout.splitlines())
    assert shown.returncode == 0 and row[head.index("lost")] == "both 8, offline 3"
    document = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120)
    assert [reader["lost"] for reader in json.loads(document.stdout)[0]["readers"]] == [8, 3]


def test_what_was_lost_counts_with_the_offset_that_is_behind_it() -> None:
    part = Partition(gaps=[range(10, 15), range(20, 21)], lost_before=2)
    assert [part.lost(offset) for offset in (9, 10, 15, 20, 21)] == [2, 2, 7, 7, 8]
    assert [messages.lost(messages.note(n)) for n in (0, 7, 10**12)] == [0, 7, 10**12]
    assert [messages.lost(strange) for strange in (None, "", "lost=", "lost=x", "a lost=1", "{}")] == [0] * 6
    assert messages.lost("lost=3\0") == 3


def test_sigterm_writes_what_was_read_and_a_new_feature_is_taken_over(topic: Callable[..., Topic]) -> None:
    t = topic()
    wider = streamed(features=(*t.view.features, Feature(name="n", type="string")), past_schemas=(t.view.schema,))
    apply(t, t.view)
    process = subprocess.Popen(argv(t, "events", "--flush-seconds", "1000"), stderr=subprocess.PIPE, text=True)
    t.send(*((f"k{i}", NOON + i, i, 0.5) for i in range(5)))
    eventually(lambda: len(t.online()) == 5)
    apply(t, wider)
    t.send(*((f"k{i}", NOON + i, i, 0.5, "text") for i in range(5, 9)), view=wider)
    t.view = wider
    eventually(lambda: len(t.online()) == 9)
    assert not t.table.exists()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "goes on with a newer definition" in said and "9 rows offline" in said
    t.check()


def test_sigterm_before_anything_was_read_ends_at_once(topic: Callable[..., Topic]) -> None:
    """A store that refuses, one that hangs, and a topic without a message."""
    t = topic()
    apply(t, t.view)
    settings = json.loads((t.root / "skewless.yml").read_text())

    def ends(waits_for: str) -> None:
        process = subprocess.Popen(argv(t), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while waits_for not in (said := process.stderr.readline()):
            assert said, process.wait()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0 and "error" not in said, said

    ends("reads")
    store = t.client.info("server")["process_id"]
    os.kill(store, signal.SIGSTOP)
    try:
        ends("consumes")
    finally:
        os.kill(store, signal.SIGCONT)
    (t.root / "skewless.yml").write_text(json.dumps({**settings, "online_store": "redis://127.0.0.1:9/0"}))
    ends("waiting")


def test_sigterm_while_the_store_hangs_ends_within_its_bound(topic: Callable[..., Topic]) -> None:
    t = topic()
    apply(t, t.view)
    process = subprocess.Popen(argv(t, "--flush-seconds", "1000"), stderr=subprocess.PIPE, text=True)
    t.send(*((f"k{i}", NOON + i, i, 0.5) for i in range(5)))
    eventually(lambda: len(t.online()) == 5)
    store = t.client.info("server")["process_id"]
    os.kill(store, signal.SIGSTOP)
    try:
        t.send(*((f"k{i}", NOON + i, i, 0.5) for i in range(5, 9)))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=END_SECONDS_MAX + 5)
    finally:
        os.kill(store, signal.SIGCONT)
    assert process.returncode == 3 and "SK864" in said
    assert set(t.offsets().values()) == {-1001}
    assert consume(t, "--once").returncode == 0
    t.check()


def test_a_registry_that_is_gone_for_a_moment_is_waited_for(topic: Callable[..., Topic]) -> None:
    t = topic()
    wider = streamed(features=(*t.view.features, Feature(name="n", type="string")), past_schemas=(t.view.schema,))
    apply(t, t.view)
    process = subprocess.Popen(argv(t, "--flush-seconds", "1"), stderr=subprocess.PIPE, text=True)
    t.send(("k1", NOON, 1, 0.5))
    eventually(lambda: t.online())
    apply(t, wider)
    database = t.root / ".skewless" / "registry.db"
    database.rename(t.root / "aside.db")
    database.mkdir()
    t.send(("k2", NOON, 2, 0.5, "text"), view=wider)
    said = ""
    assert process.stderr is not None
    while "SK255" not in said:
        said = process.stderr.readline()
        assert said, process.wait()
    assert "waiting" in said
    database.rmdir()
    (t.root / "aside.db").rename(database)
    t.view = wider
    eventually(lambda: {*t.online()} == {"k1", "k2"})
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) and process.returncode == 0
    t.check()


def test_refusals(topic: Callable[..., Topic]) -> None:
    t = topic()
    assert "SK251" in consume(t).stderr
    apply(t, t.view, view(name="other", storage="other"))
    for arguments, code, exit_code in (
        (("other",), "SK860", 3), (("--stores", "none"), "SK102", 2), (("--kafka", "127.0.0.1:9"), "SK861", 3),
    ):
        done = consume(t, *arguments)
        assert code in done.stderr and done.returncode == exit_code, done.stderr
    apply(t, view(name="other", storage="other"))
    assert "SK860" in consume(t).stderr
