"""Claim: lookups of 3 views x 50 features at the numbers of the README. Needs a C compiler for the load generator.

Every sample carries what the rest of the machine did meanwhile. One above 0.2 foreign cores is void and taken again, three
times at most; a row without a clean sample is void (BENCH_DISTURBED=1 prints its numbers all the same, marked). Feast answers the
same question from the same Redis where BENCH_FEAST_PYTHON names a Python that has feast[redis]: the list form, one worker without
recycling, its best settings. "CPU us" is what a request costs the server's processes; neighbours disturb it less than latency.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench import report
from bench.measure import busy_s, cpu_s
from bench.online import TARGETS, Processes, fill, framed, free_port, request_file, wait_for

RATES = (1_000, 2_000, 5_000, 10_000)
FOREIGN_MAX = 0.2
TRIES = 3
WARMUP_S, SECONDS = 1.0, 5.0
QUIET_WAIT_S = float(os.environ.get("BENCH_QUIET_WAIT_S", "20"))
PEER_PYTHON = os.environ.get("BENCH_FEAST_PYTHON", "")
PEER_ENTITIES = 2_000
SHOW_DISTURBED = bool(os.environ.get("BENCH_DISTURBED"))


def compile_generator(folder: Path) -> Path:
    """load.c as a program."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("bench/serving.py: no C compiler (cc, gcc or clang), so the load generator cannot be built")
    source, program = Path(__file__).parent / "load.c", folder / "load"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source), "-lm"], check=True)
    return program


def wait_until_quiet(pids: dict[str, int]) -> None:
    """One second in which the machine does nothing else, or QUIET_WAIT_S."""
    deadline = time.monotonic() + QUIET_WAIT_S
    while time.monotonic() < deadline:
        busy, own, started = busy_s(), sum(cpu_s(pids).values()), time.monotonic()
        time.sleep(1.0)
        if (busy_s() - busy - (sum(cpu_s(pids).values()) - own)) / (time.monotonic() - started) <= FOREIGN_MAX:
            return


class Bench:
    """Runs windows and keeps their rows."""

    def __init__(self, generator: Path, folder: Path) -> None:
        self.generator, self.folder = generator, folder
        self.rows: list[dict[str, Any]] = []

    def window(self, what: str, port: int, requests: Path, pids: dict[str, int], *, rate: int = 0, connections: int = 64) -> None:
        """The least disturbed of at most TRIES windows; rate 0: closed loop."""
        best: dict[str, Any] | None = None
        for _ in range(TRIES):
            wait_until_quiet(pids)
            found = self.once(port, requests, pids, rate, connections)
            if best is None or found["foreign"] < best["foreign"]:
                best = found
            if best["foreign"] <= FOREIGN_MAX:
                break
        assert best is not None
        self.keep(what, rate, connections, best)

    def once(self, port: int, requests: Path, pids: dict[str, int], rate: int, connections: int) -> dict[str, Any]:
        busy, own, started = busy_s(), cpu_s(pids), time.monotonic()
        command = [str(self.generator), str(port), str(requests), str(connections), str(rate), str(WARMUP_S), str(SECONDS)]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
        wall = time.monotonic() - started
        spent = {name: (value - own[name]) / wall for name, value in cpu_s(pids).items()}
        generator = found["cpu_s"] / wall
        foreign = max(0.0, (busy_s() - busy) / wall - sum(spent.values()) - generator)
        return {**found, "cores": spent, "generator": generator, "foreign": foreign}

    def keep(self, what: str, rate: int, connections: int, found: dict[str, Any]) -> None:
        clean = found["foreign"] <= FOREIGN_MAX
        shown = clean or SHOW_DISTURBED
        mark = "" if clean else "void" if not SHOW_DISTURBED else "disturbed"

        def number(name: str) -> Any:
            return float(found[name]) if shown else "-"

        self.rows.append({
            "what": what, "offered/s": rate or "closed", "conns": connections, "rps": int(found["rps"]) if shown else "-",
            "p50 ms": number("p50"), "p99 ms": number("p99"), "p99.9 ms": number("p999"),
            "CPU us": found["cores"].get("server", 0.0) / max(found["rps"], 1.0) * 1e6 if shown else "-",
            "missed": found["missed"] + found["errors"] if shown else "-", "server": found["cores"].get("server", 0.0),
            "redis": found["cores"].get("redis", 0.0), "load": found["generator"], "foreign": found["foreign"], "sample": mark,
        })
        print(f"{what:40} {rate or 'closed':>7} rps {found['rps']:>9.0f} p50 {found['p50']:7.2f} p99 {found['p99']:7.2f} "
              f"p99.9 {found['p999']:7.2f} foreign {found['foreign']:.2f} {mark}", flush=True)


def run(sizes: tuple[int, ...] = RATES) -> None:
    """`sizes` are offered requests a second."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name, Processes(Path(name)) as processes:
        folder = Path(name)
        bench = Bench(compile_generator(folder), folder)
        files = {
            "one": request_file(folder / "one", "one"), "compact": request_file(folder / "compact", "one", compact=True),
            "get": request_file(folder / "get", "get"),
            "skewed": request_file(folder / "skewed", "one", compact=True, skewed=True),
            **{f"batch{n}": request_file(folder / f"batch{n}", "batch", size=n, compact=True) for n in (100, 500)},
            "batch100full": request_file(folder / "batch100full", "batch", size=100),
        }
        valkey, redis_port = processes.valkey()
        for target in TARGETS:
            fill(redis_port, target)
        hello, hello_port = processes.hello()
        for codec in ("json", "msgpack"):
            measure_codec(bench, processes, files, codec, redis_port, valkey.pid, sizes)
        for rate in (0, *sizes):
            bench.window("raw ASGI hello", hello_port, files["compact"], {"server": hello.pid}, rate=rate)
        measure_cache(bench, processes, files, redis_port, valkey.pid)
        measure_two_workers(bench, processes, files, redis_port, valkey.pid)
        measure_beside_sync(bench, processes, files, redis_port, valkey.pid)
        if PEER_PYTHON:
            try:
                measure_peer(bench, processes, folder, redis_port, valkey.pid)
            except subprocess.CalledProcessError as error:      # the other rows are worth as much without it
                print(f"Feast does not run: {error.stderr.decode(errors='replace')[-500:]}")
    report.table("serving", bench.rows)
    series: dict[str, list[tuple[float, float]]] = {}
    for row in bench.rows:
        if isinstance(row["offered/s"], int) and isinstance(row["p99 ms"], float) and "worker" not in row["what"]:
            series.setdefault(row["what"], []).append((float(row["offered/s"]), row["p99 ms"]))
    if series:
        report.plot("serving", "offered requests/s", "p99 ms", series)


def measure_codec(bench: Bench, processes: Processes, files: dict[str, Path], codec: str, redis_port: int, valkey: int,
                  rates: tuple[int, ...]) -> None:
    """One worker: closed loop, open loop, GET and batches."""
    server, port = processes.server(redis_port, codec)
    pids = {"server": server.pid, "redis": valkey}
    for label, file in (("compact", files["compact"]), ("full", files["one"])):
        for rate in (0, *rates):
            if rate == 0 or codec == "json" or label == "compact":
                bench.window(f"{codec}, 3 x 50, {label}", port, file, pids, rate=rate)
    if codec == "json":
        bench.window("json, GET, 1 x 50, full", port, files["get"], pids)
        bench.window("json, batch of 100, full", port, files["batch100full"], pids, connections=4)
    bench.window(f"{codec}, batch of 100, compact", port, files["batch100"], pids, connections=4)
    bench.window(f"{codec}, batch of 500, compact", port, files["batch500"], pids, connections=2)
    processes.stop(server)


def measure_cache(bench: Bench, processes: Processes, files: dict[str, Path], redis_port: int, valkey: int) -> None:
    """A skewed load, with rows kept for a second in the worker and without."""
    for target, label in (("json", "skewed"), ("cached", "skewed, cache 1s")):
        server, port = processes.server(redis_port, target)
        for rate in (0, 5_000):
            pids = {"server": server.pid, "redis": valkey}
            bench.window(f"json, 3 x 50, compact, {label}", port, files["skewed"], pids, rate=rate)
        processes.stop(server)


def measure_two_workers(bench: Bench, processes: Processes, files: dict[str, Path], redis_port: int, valkey: int) -> None:
    server, port = processes.server(redis_port, "json", workers=2)
    pids = {"server": server.pid, "redis": valkey}
    for rate in (0, 5_000):
        bench.window("json, 3 x 50, compact, 2 workers", port, files["compact"], pids, rate=rate)
    bench.window("json, batch of 100, compact, 2 workers", port, files["batch100"], pids, connections=8)
    processes.stop(server)


def measure_beside_sync(bench: Bench, processes: Processes, files: dict[str, Path], redis_port: int, valkey: int) -> None:
    """Lookups while a sync writes 50 000 rows a second into the same Redis."""
    server, port = processes.server(redis_port, "json")
    pusher = processes.pusher(redis_port, "json", 50_000)
    pids = {"server": server.pid, "redis": valkey, "sync": pusher.pid}
    bench.window("json, 3 x 50, compact, beside a sync", port, files["compact"], pids, rate=5_000)
    processes.stop(pusher)
    processes.stop(server)


def measure_peer(bench: Bench, processes: Processes, folder: Path, redis_port: int, valkey: int) -> None:
    """Feast, closed loop and at rates that it can hold."""
    root, port = folder / "feast", free_port()
    command = [PEER_PYTHON, str(Path(__file__).parent / "peer_feast_serving.py"), str(root), str(redis_port), str(PEER_ENTITIES)]
    names = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=600).stdout.splitlines()[-1])["features"]
    server = processes.start(
        [str(Path(PEER_PYTHON).parent / "feast"), "serve", "-p", str(port), "--no-access-log", "-r", "3600", "--max-requests",
         "100000000"], cwd=root,
    )
    wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200, 90)
    pids = {"server": server.pid, "redis": valkey}
    for size, connections, rates in ((1, 16, (0, 100, 200)), (100, 4, (0,))):
        file = folder / f"feast{size}"
        with file.open("wb") as out:
            for _ in range(200):
                body = json.dumps({"features": names, "entities": {"user_id": random.choices(range(PEER_ENTITIES), k=size)}})
                head = f"POST /get-online-features HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                out.write(framed(f"{head}Content-Type: application/json\r\n\r\n{body}".encode()))
        for rate in rates:
            bench.window(f"Feast, 3 x 50, {size} entities", port, file, pids, rate=rate, connections=connections)
    processes.stop(server)
