"""`skewless stream consume`: streamed rows into the online store and the history."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skewless.cli.output import AsJson, Brokers, ProjectDir, Target, say
from skewless.config import Config, read_config

if TYPE_CHECKING:
    from skewless.registry.model import View
    from skewless.sync.consume import Consumer

SAY_SECONDS = 10.0
END_SECONDS_MAX = 30.0      # after a signal, whatever hangs


def consume(
    views: Annotated[
        list[str] | None, typer.Argument(metavar="[VIEW]...", help="Views: name or name@version; default: all that stream.")
    ] = None,
    stores: Annotated[str, typer.Option("--stores", help="both, online or offline.")] = "both",
    flush_rows: Annotated[
        int, typer.Option("--flush-rows", min=1, help="Write to the history after so many rows; twice as many are held at most.")
    ] = 50_000,
    flush_seconds: Annotated[
        float, typer.Option("--flush-seconds", min=0, help="… or after so many seconds. Each flush is a commit of the history.")
    ] = 30.0,
    once: Annotated[
        bool, typer.Option("--once", "--until-caught-up", help="End when what is in the topics now is written.")
    ] = False,
    member: Annotated[
        str, typer.Option("--member", metavar="NAME", help="Its name in the group: started again under it, it goes on at once.")
    ] = "",
    kafka: Brokers = "",
    as_json: AsJson = False,
    project_dir: ProjectDir = "",
    target: Target = "",
) -> None:
    """Write what streams into the online store at once, and into the history flush by flush.

    Several may run; they share the partitions. SIGTERM writes what was read, then ends; after kill -9 the next one goes on, and
    nothing is lost or doubled. Progress goes to stderr; with --json each flush is a line of JSON on stdout.
    Example: skewless stream consume carrier_delays
    """
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))       # nothing is read yet
    from skewless.brokers import client_settings
    from skewless.cli.stream_project import kafka_of
    from skewless.errors import SkewlessError
    from skewless.messages import STORES
    from skewless.sync.consume import Consumer, Options

    if stores not in STORES:
        raise SkewlessError("SK102", f'--stores: "{stores}" is not one of {", ".join(STORES)}')
    config = read_config(project_dir or None, target=target or None)
    chosen = _streamed(config, views or [])
    brokers = kafka_of(config, kafka)
    options = Options(
        stores=stores, flush_rows=flush_rows, flush_seconds=flush_seconds, until_caught_up=once, member=member
    )
    consumer = Consumer(
        config, chosen, client_settings(brokers.bootstrap_servers, brokers.properties), options,
        reload=lambda view: _newer(config, view), say=say, on_flush=lambda: progress(),
    )
    progress = _Progress(consumer, as_json)
    _obey_signals(consumer)
    say(f"consumes {', '.join(view.ref for view in chosen)} as a member of {consumer.group}")
    consumer.run()
    progress(last=True)


def _streamed(config: Config, names: Sequence[str]) -> list[View]:
    from skewless.clock import now_us
    from skewless.errors import SkewlessError
    from skewless.warehouse.selection import applied_views

    out = []
    for view in applied_views(config, list(names)):
        if not view.streamed and names:
            raise SkewlessError(
                "SK860", f"{view.ref} does not stream", hint="Set stream: {enabled: true} in its skewless block, plan and apply."
            )
        if view.sunset_at_us is not None and view.sunset_at_us <= now_us():
            say(f"{view.ref}: left out, it is past its sunset")
        elif view.streamed:
            out.append(view)
    if not out:
        raise SkewlessError("SK860", "no applied view streams", hint="Set stream: {enabled: true} in a view's skewless block.")
    return out


def _newer(config: Config, view: View) -> View | None:
    """The view's applied definition, None where it is the one that is known."""
    from skewless.registry.store import Store

    found = next((v for v in Store(config).require_applied().views if v.ref == view.ref), None)
    return None if found == view else found


def _obey_signals(consumer: Consumer) -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(consumer))


def _end(consumer: Consumer) -> None:
    """What hangs in a call to a store or the lake's lock is left as kill -9 would leave it: nothing is lost."""
    import threading

    if not consumer.stop.is_set():
        watch = threading.Timer(END_SECONDS_MAX - 1, _leave)
        watch.daemon = True
        watch.start()
    consumer.end()


def _leave() -> None:
    from skewless.sync.consume import unfinished

    error = unfinished()
    say(error.render())
    os._exit(error.exit_code)


class _Progress:
    """A line for each flush: JSON on stdout, or a sentence on stderr every ten seconds."""

    def __init__(self, consumer: Consumer, as_json: bool) -> None:
        self.consumer, self.as_json, self._told = consumer, as_json, 0.0

    def __call__(self, *, last: bool = False) -> None:
        import time

        if self.as_json:
            import orjson

            print(orjson.dumps(self._document(last)).decode(), flush=True)
        elif last or time.monotonic() - self._told >= SAY_SECONDS:
            self._told = time.monotonic()
            for stream in self.consumer.streams.values():
                c = stream.counts
                say(
                    f"{stream.view.ref}: {c.messages} messages, {c.online} keys online, {c.offline} rows offline, {c.late} late, "
                    f"{c.repeated} there already, {c.dead} dead letters" + (f", {c.lost} LOST to retention" if c.lost else "")
                )

    def _document(self, last: bool) -> dict[str, Any]:
        from dataclasses import asdict

        from skewless.clock import format_instant, now_us

        views = {stream.view.ref: asdict(stream.counts) for stream in self.consumer.streams.values()}
        partitions = [{"topic": topic, "partition": number, "offset": part.committed}
                      for (topic, number), part in sorted(self.consumer.partitions.items())]
        out = {"at": format_instant(now_us()), "group": self.consumer.group, "views": views, "partitions": partitions}
        return {**out, "ended": True} if last else {**out, "lag": self.consumer.lag()}
