"""Hostile bytes at the lookups, over sockets: documented refusals, no unhandled error, and memory that stays."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.test_serve_process import BODY, Process, Valkey, memory_kib, project, valkey

__all__ = ["project", "valkey"]
REQUESTS = 100_000 if os.environ.get("SKEWLESS_SOAK") else 8_000
CONNECTIONS = 8
PIPELINED_MAX = 12
JUNK: list[Any] = [
    None, True, 0, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 1.5, 1e300, -0.0, "", "UA", "x" * 3000, "\0", "ü☃", "a|b}{",
    "%7C", [], {}, [[]], {"a": {}}, ["UA"], "late_flights", "carrier_delays@1", "carrier_delays@" + "9" * 5000, "compact", "full",
    "carrier_delays@1:mean_delay as " + "n" * 2000,
]
NAMES = ["feature_service", "features", "entities", "full_names", "format", "int64_as_string", "z", "carrier", "origin", "dest"]


@pytest.fixture(scope="module")
def server(project: Path, valkey: Valkey) -> Iterator[Process]:
    process = Process(project, project / "fuzz.log")
    yield process
    assert process.stop() == 0


def any_json(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.random()
    if depth > 3 or kind < 0.7:
        return dice.choice(JUNK)
    if kind < 0.85:
        return [any_json(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(NAMES): any_json(dice, depth + 1) for _ in range(dice.randrange(4))}


def body_of(dice: random.Random) -> bytes:
    """A body near a good one: bytes flipped or cut, another value in some place, or any JSON at all."""
    kind = dice.randrange(5)
    good = json.loads(BODY)
    if kind == 0:
        raw = bytearray(BODY.encode()[: dice.randrange(len(BODY) + 1)])
        for _ in range(dice.randrange(5)):
            if raw:
                raw[dice.randrange(len(raw))] = dice.randrange(256)
        return bytes(raw)
    if kind == 1:
        good[dice.choice(NAMES)] = any_json(dice)
    elif kind == 2:
        good["entities"] = {name: any_json(dice, 3) for name in ("carrier", "origin", "dest")}
    elif kind == 3:
        entities = {name: dice.choice(["UA", None, 7, "x" * 50]) for name in ("carrier", "origin", "dest")}
        good["entities"] = [entities] * dice.choice([0, 1, 2, 30, 1001])
    else:
        good = any_json(dice)
    return json.dumps(good).encode() if dice.random() < 0.9 else b"[" * dice.choice([10, 20_000])


def path_of(dice: random.Random) -> bytes:
    parts = [b"%00", b"%ff", b"..", b"/", b"a", b"@1", b":", b"&", b"=", b"?", b";", b"carrier_delays", b"%2F", b"+",
             b"@" + b"1" * 400]
    text = b"".join(dice.choices(parts, k=dice.randrange(1, 9)))
    options = [b"entity_id=UA", b"carrier=UA", b"format=compact", b"int64_as_string=true", b"features=mean_delay", text]
    return dice.choice([
        b"/feature-views/carrier_delays/online-features?" + b"&".join(dice.choices(options, k=dice.randrange(1, 5))),
        b"/feature-views/" + text.replace(b"?", b"") + b"/online-features?entity_id=UA",
        b"/feature-views/route_delays@1/online-features?origin=EWR&dest=" + b"9" * dice.choice([1, 3000, 20_000]),
    ])


def request(dice: random.Random) -> bytes:
    """One well-framed request: plain or chunked."""
    if dice.random() < 0.3:
        return b"GET " + path_of(dice) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body, path = body_of(dice), dice.choice([b"/online-features", b"/online-features/batch"])
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
    if dice.random() < 0.7:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks, at = [], 0
    while at < len(body):
        size = dice.choice([1, 7, 100, 5_000])
        chunks.append(b"%x\r\n" % len(body[at : at + size]) + body[at : at + size] + b"\r\n")
        at += size
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks[:400] if len(chunks) <= 400 else [
        b"%x\r\n" % len(body) + body + b"\r\n"]) + b"0\r\n\r\n"


async def replies(reader: asyncio.StreamReader, n: int) -> list[tuple[int, bytes, bytes]]:
    """Status, content type and body of each."""
    out = []
    for _ in range(n):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        kind = next(line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.startswith(b"content-type"))
        out.append((int(head.split(b" ", 2)[1]), kind, await reader.readexactly(length)))
    return out


async def attack(number: int, port: int, count: int) -> dict[int, int]:
    """`count` pipelined requests over one connection at a time; how often each status came."""
    dice, seen = random.Random(number), {}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while done < count:
        batch = [request(dice) for _ in range(dice.randrange(1, PIPELINED_MAX + 1))]
        writer.write(b"".join(batch))
        for asked, (status, kind, body) in zip(batch, await replies(reader, len(batch)), strict=True):
            assert status < 500, (asked[:400], body)
            json.loads(body)
            assert kind == (b"application/json" if status == 200 else b"application/problem+json"), (status, kind, body)
            seen[status] = seen.get(status, 0) + 1
        done += len(batch)
    writer.close()
    return seen


async def half_sent(number: int, port: int) -> None:
    """Connections that end, or close their sending side, in the middle of a request, and bytes that are no HTTP."""
    dice = random.Random(number)
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = request(dice)
        writer.write(dice.randbytes(50) if dice.random() < 0.2 else whole[: dice.randrange(1, len(whole) + 1)])
        if dice.random() < 0.5 and writer.can_write_eof():
            writer.write_eof()
            with_timeout = asyncio.wait_for(reader.read(), 5)
            await asyncio.gather(with_timeout, return_exceptions=True)
        writer.close()


def test_hostile_lookups_over_sockets(server: Process, project: Path) -> None:
    async def round_of(first: int, count: int) -> dict[int, int]:
        found = await asyncio.gather(
            *(attack(first + n, server.port, count // CONNECTIONS) for n in range(CONNECTIONS)), half_sent(first, server.port)
        )
        total: dict[int, int] = {}
        for seen in found[:-1]:
            for status, n in seen.items():
                total[status] = total.get(status, 0) + n
        return total

    uvloop.run(round_of(0, REQUESTS // 4))
    before = memory_kib(server.process.pid)
    seen = uvloop.run(round_of(1000, REQUESTS - REQUESTS // 4))
    grown = memory_kib(server.process.pid) - before
    assert {200, 400, 404, 413} <= seen.keys(), seen
    assert grown < 25_000, f"{grown} KiB more after {REQUESTS} requests"
    log = (project / "fuzz.log").read_text()
    assert "Traceback" not in log and "crashed" not in log, log[-3000:]
    status, _, reply = server.ask("POST", "/online-features", BODY)
    assert status == 200 and json.loads(reply)["features"]["carrier_landings_24h"] == 119
