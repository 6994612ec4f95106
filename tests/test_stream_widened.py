"""A feature that is added while its view streams: a real job and a real consumer, rows of before and after in both stores."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skewless.cli.stream_project import Project
from skewless.clock import EPOCH, format_instant
from skewless.dev.stack import Stack
from skewless.online import connect
from skewless.registry.model import View
from skewless.registry.store import Store
from skewless.warehouse.lake import LakeTable
from tests.feature_messages import Online, newest, offline_rows, online_rows
from tests.stream_feed import DELAY, SPANS, TICK, Feed, write
from tests.test_stream_jobs import World
from tests.waiting import SECONDS_MAX, eventually

Values = dict[tuple[str, int], tuple[Any, ...]]


class Widened(World):
    """The project and its two stores."""

    @property
    def view(self) -> View:
        return Store(self.config).applied().view("rotation", 1)

    def skewless(self, *argv: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "skewless.cli", *argv, "--project-dir", self.config.root]
        return subprocess.run(whole, capture_output=True, text=True)

    def done(self, *argv: str) -> Any:
        """What a command says with --json."""
        done = self.skewless(*argv, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def consumer(self) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "skewless.cli", "stream", "consume", "rotation@1", "--flush-seconds", "1"]
        return subprocess.Popen([*argv, "--project-dir", self.config.root], stderr=subprocess.PIPE, text=True)

    def wait_for(self, wanted: Values) -> None:
        """Until both stores hold exactly these rows, the online store the newest of each plane."""
        eventually(lambda: self.offline() == wanted, 2 * SECONDS_MAX)
        offline = {slot: row for slot, row in offline_rows(self.lake, self.view).items() if slot[0] != TICK}
        eventually(lambda: self.online() == newest(offline))

    @property
    def lake(self) -> LakeTable:
        return LakeTable(self.config.lake_root, self.view)

    def offline(self) -> Values:
        if not self.lake.exists():
            return {}
        return {slot: values for slot, (values, _) in offline_rows(self.lake, self.view).items() if slot[0] != TICK}

    def online(self) -> dict[str, Online]:
        with connect(self.config) as client:
            found = online_rows(client, self.config.namespace, self.view)
        return {plane: row for plane, row in found.items() if plane != TICK}

    def wanted(self, since: datetime, wide: bool) -> Values:
        """Of the events from then on: slot -> landings, and with `wide` the first landing that is counted."""
        out: Values = {}
        for (plane, at), count in self.feed.expected(1, since).items():
            firsts = [t for p, t in self.feed.sent if p == plane and max(since, at - SPANS[1]) <= t <= at]
            out[plane, (at - EPOCH) // timedelta(microseconds=1)] = (count, *([min(firsts)] if wide else []))
        return out


def test_a_feature_is_added_while_job_and_consumer_run(stack: Stack, valkey: str, tmp_path: Path) -> None:
    servers = stack.endpoints["kafka"], stack.endpoints["gateway"]
    config = write(tmp_path, *servers, topic="widened", store=valkey)
    world = Widened(stack, Feed(servers[0], "widened"), config, Project(config).manifest)
    first, feed, begin = world.project.submit(world.jobs, "rotation@1").stream, world.feed, world.feed.now
    consumer = world.consumer()
    try:
        feed.send(1, "OLD")
        feed.send(30)
        world.wait_for(world.wanted(begin, wide=False))

        write(tmp_path, *servers, topic="widened", store=valkey, wider=True)
        plan = world.done("plan")
        assert not world.done("apply", plan["id"])["restate"]       # additive: it is the same version
        refused = world.command("upgrade", "rotation@1")
        assert refused.returncode == 3 and "SK836" in refused.stderr
        assert "Add a version of rotation" in refused.stderr and "--reset" in refused.stderr
        feed.send(20)                                               # the job goes on as it was
        old = world.wanted(begin, wide=False)
        eventually(lambda: {slot: values[:1] for slot, values in world.offline().items()} == old)
        assert world.state() == "RUNNING" and world.records.require("rotation", 1).job_id == first.job_id

        since = feed.now + DELAY + timedelta(milliseconds=1)
        at = format_instant((since - EPOCH) // timedelta(microseconds=1))
        upgraded = world.command("upgrade", "rotation@1", "--reset", "--from", at)
        assert upgraded.returncode == 0, upgraded.stderr
        assert world.records.require("rotation", 1).job_id != first.job_id
        feed.send(30)
        both = {slot: (*values, None) for slot, values in old.items()} | world.wanted(since, wide=True)
        world.wait_for(both)
        again = world.skewless("stream", "consume", "--once", "--stores", "online", "--json")     # both schemas
        counts = json.loads(again.stdout.splitlines()[-1])["views"]["rotation@1"]
        assert counts["dead"] == 0 and counts["messages"] > len(feed.sent), again.stderr
        world.wait_for(both)
        assert world.done("get", "rotation@1", "tailnum=OLD")["features"] == {"landings": 1, "first_at": None}

        assert world.command("upgrade", "rotation@1", "--reset").returncode == 0     # from the earliest event: corrections
        world.wait_for(world.wanted(begin, wide=True))
        assert consumer.poll() is None
        consumer.send_signal(signal.SIGTERM)
        said = consumer.communicate(timeout=SECONDS_MAX)[1]
        assert consumer.returncode == 0 and "goes on with a newer definition" in said, said
    finally:
        consumer.kill()
        consumer.wait()
        for stream in world.records.all():
            world.jobs.stop(stream, cancel=True)
