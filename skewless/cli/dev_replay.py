"""What `skewless dev replay` does: options into a replay, Ctrl-C into its end, what was sent into a summary."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from skewless.cli.output import print_json, say
from skewless.clock import format_instant, now_us, parse_instant
from skewless.config import Config
from skewless.errors import Findings, SkewlessError

DAY_US = 86_400_000_000
_TELLS = 20
_QUIET_S = 30.0


def run(
    config: Config, *, speed: str, since: str, until: str, late: float, duplicates: float, malformed: int, shift_to_now: bool,
    close: bool, topics: list[str], partitions: int, recreate: bool, create: bool, kafka: str, as_json: bool,
) -> None:
    """Replays, and tells how far it is. Raises SK102, SK831, SK940 to SK942."""
    from skewless.brokers import client_settings
    from skewless.cli.stream_project import kafka_of
    from skewless.dev.events import Asked, Events
    from skewless.dev.replay import Replay

    pace, brokers = _speed(speed), kafka_of(config, kafka)
    asked = Asked(
        from_us=parse_instant(since) if since else None, to_us=parse_instant(until) if until else None, late=late,
        duplicates=duplicates, malformed=malformed,
    )
    found = _copies(config, topics)
    days = 0
    if shift_to_now:
        first_us = asked.from_us if asked.from_us is not None else Events(Path(config.root), found, asked).span()[1] * 1000
        days = (now_us() - first_us) // DAY_US
        asked = replace(asked, shift_days=days)
    events = Events(Path(config.root), found, asked)
    replay = Replay(
        client_settings(brokers.bootstrap_servers, brokers.properties), speed=pace, live=shift_to_now, closing=close,
        partitions=partitions, recreate=recreate,
    )
    if create:
        made = replay.prepare(events)
        if as_json:
            print_json({"topics": made})
        say("there are " + ", ".join(f"{name} with {count} partitions" for name, count in made.items()))
        return
    before = {number: signal.signal(number, lambda *_: replay.ending.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        sent = replay.run(events, _teller(), _waiter())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if as_json:
        print_json({**sent.as_dict(), "shifted_days": days})
        return
    for name, counts in sent.as_dict()["topics"].items():
        print(f"{name}: " + ", ".join(f"{counts[kind]:,} {kind}" for kind in counts if counts[kind]))
    if recreate:
        say("a job that read these topics before has to begin afresh: skewless stream upgrade VIEW --reset")
    say(f"{'sent' if sent.complete else 'ended early,'} {sent.total:,} records in {sent.seconds:.1f} s")


def _speed(text: str) -> float | None:
    try:
        pace = None if text == "max" else float(text)
    except ValueError:
        pace = math.nan
    if pace is not None and not 0 < pace < math.inf:
        raise SkewlessError("SK102", f'--speed: "{text}" is neither max nor a number above 0')
    return pace


def _copies(config: Config, topics: list[str]) -> Any:
    from skewless.dev.events import copies
    from skewless.registry.finding import Finding, errors_of
    from skewless.registry.streams import read_streams
    from skewless.warehouse.dbt import ensure_manifest

    findings: list[Finding] = []
    manifest = ensure_manifest(config, compiled=False)
    streams = read_streams(Path(config.root), manifest, findings)
    if errors_of(findings):
        raise Findings(errors_of(findings))
    return copies(manifest, streams, topics)


def _waiter() -> Any:
    """Says that nothing comes for a while, once a record."""
    told = [0]

    def tell(arrived_ms: int, seconds: float) -> None:
        if seconds >= _QUIET_S and arrived_ms != told[0]:
            told[0] = arrived_ms
            say(f"replay: the next record arrives at {format_instant(arrived_ms * 1000)}, in {seconds:,.0f} s")

    return tell


def _teller() -> Any:
    """Says each twentieth."""
    told = [0]

    def tell(done: int, total: int) -> None:
        step = done * _TELLS // max(total, 1)
        if step > told[0]:
            told[0] = step
            say(f"replay: {done:,} of {total:,} records")

    return tell
