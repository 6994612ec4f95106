"""Claim: one `skewless stream consume` writes at least 25 000 rows/s into Redis and the history, of 5 and of 50 features."""

from __future__ import annotations

import random
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.measure import sample

KEYS = 10_000
TEMPLATES = 997
BEGIN_MS = 1_767_225_600_000
CASES = ((5, "both"), (50, "both"), (50, "online"), (50, "offline"))


def run(sizes: tuple[int, ...] = (300_000,)) -> None:
    """`sizes` messages of 10 000 entities wait in a topic of two partitions; a consumer with the default settings catches up."""
    from skewless.dev.stack import Stack

    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-consume-") as folder, Stack(Path(folder), ("kafka", "valkey")) as stack:
        for size in sizes:
            for features, stores in CASES:
                rows.append(_case(stack, Path(folder) / f"p{len(rows)}", size, features, stores))
    report.table("consume", rows)


def _case(stack: Any, root: Path, size: int, features: int, stores: str) -> dict[str, Any]:
    from skewless.config import Config
    from skewless.sync.consume import Consumer, Options

    config = Config(root=str(root), project=root.name, online_store=stack.endpoints["valkey"])
    view, brokers = _view(features), {"bootstrap.servers": stack.endpoints["kafka"], "log_level": 0}
    _produce(config.namespace, view, brokers, size)
    consumer = Consumer(config, [view], brokers, Options(stores=stores, until_caught_up=True))
    with sample(f"{features} features, {stores}", pids=_servers()) as s:
        consumer.run()
    (stream,) = consumer.streams.values()
    assert stream.counts.messages == size and stores == "online" or stream.counts.offline == size, stream.counts
    return {
        "what": s.name, "rows": size, "wall s": s.wall_s, "rows/s": int(size / s.wall_s), "rows/s of CPU": int(size / s.cpu_s),
        "peak MB": int(s.rss_mb_max), "foreign cores": s.foreign_cores,
    }


def _view(features: int) -> Any:
    from skewless.registry.model import Feature, JoinKey, Streaming, View

    return View(
        name="wide", entity="user", join_keys=(JoinKey("uid", "int64"),), streamed=True, stream=Streaming(),
        features=tuple(Feature(name=f"f{i}", type="float64" if i % 2 else "int64") for i in range(features)),
    )


def _produce(namespace: str, view: Any, brokers: dict[str, Any], size: int) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    from skewless.messages import HEADER, header, topic

    name, chance = topic(namespace, view), random.Random(7)
    wanted = NewTopic(name, num_partitions=2, config={"message.timestamp.type": "LogAppendTime"})
    admin = AdminClient(brokers)            # an answer ends with its client
    admin.create_topics([wanted])[name].result(30)
    producer = Producer({**brokers, "linger.ms": 20, "batch.size": 500_000, "queue.buffering.max.messages": 200_000})
    templates = [b"".join(_value(f.type, chance) for f in view.features) for _ in range(TEMPLATES)]
    headers: Any = [(HEADER, header(view))]
    for i in range(size):
        uid = chance.randrange(KEYS)
        value = _long(uid) + _long(BEGIN_MS + 10 * i) + templates[i % TEMPLATES]
        while True:
            try:
                producer.produce(name, value, b'{"uid":%d}' % uid, uid % 2, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        if i % 1000 == 0:
            producer.poll(0)
    assert not producer.flush(120)


def _value(type_: str, chance: random.Random) -> bytes:
    return b"\x02" + (_long(chance.randrange(10**6)) if type_ == "int64" else struct.pack("<d", chance.random() * 1000))


def _long(value: int) -> bytes:
    """An Avro long."""
    rest, out = value << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _servers() -> tuple[int, ...]:
    """The broker and the store, whose load is ours."""
    import os

    found = []
    for path in Path("/proc").iterdir():
        try:
            line, where = (path / "cmdline").read_bytes(), os.readlink(path / "cwd")
        except OSError:
            continue
        if "bench-consume-" in where and b"lifeline" not in line:
            found.append(int(path.name))
    return tuple(found)


if __name__ == "__main__":
    started = time.monotonic()
    run()
    print(f"{time.monotonic() - started:.0f} s")
