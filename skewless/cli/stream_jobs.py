"""`skewless stream submit | status | stop | upgrade | run`: the jobs of streamed views."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skewless.cli.output import AsJson, ProjectDir, Target, print_json, say
from skewless.config import read_config
from skewless.errors import EXIT_FOUND, SkewlessError

if TYPE_CHECKING:
    from skewless.cli.stream_project import Project
    from skewless.registry.stream_jobs import StreamJob
    from skewless.stream.cluster import Local
    from skewless.stream.jobs import Jobs, Started
    from skewless.stream.position import Position

Act = Callable[["Jobs", str], "Started | None"]
Views = Annotated[list[str], typer.Argument(metavar="VIEW…", help="Views, for example carrier_delays or carrier_delays@2.")]
SomeViews = Annotated[list[str] | None, typer.Argument(metavar="[VIEW]…", help="Views; default: all that were submitted.")]
GatewayUrl = Annotated[str, typer.Option("--gateway", metavar="URL", help="SQL Gateway; default: skewless.yml, else dev up.")]
OnThisMachine = Annotated[
    bool, typer.Option("--local", help="Run Flink in this process, until Ctrl-C; default: skewless.yml's flink: local.")
]


def submit(
    views: Views, gateway: GatewayUrl = "", local: OnThisMachine = False,
    since: Annotated[
        str, typer.Option("--from", metavar="earliest|TIMESTAMP", help="Read what arrived since; default: where history ends.")
    ] = "",
    reset: Annotated[bool, typer.Option("--reset", help="Forget the state: end the job that runs, start afresh.")] = False,
    partitions: Annotated[int, typer.Option("--partitions", min=0, help="Of a new feature topic; default: the events'.")] = 0,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Make a view's topics and start its job; a stream that was stopped goes on from its state, if its SQL is the same.

    The view has to be applied as it stands. A view whose job runs is refused (exit 3); so is one whose definition has changed.
    Without state, a job reads its topics from before the end of the view's history by the view's input_lookback.
    Of several views those that run are left alone, so after an error half way the same command goes on with the rest.
    Example: skewless stream submit carrier_delays
    """
    from skewless.cli.stream_project import Project

    config = read_config(project_dir or None, target=target or None)
    project = Project(config)
    _each(project, views, gateway, local, as_json, lambda jobs, view: project.submit(
        jobs, view, since=since, reset=reset, partitions=partitions))


def upgrade(
    views: Views, gateway: GatewayUrl = "", local: OnThisMachine = False,
    reset: Annotated[bool, typer.Option("--reset", help="Start afresh with the changed definition: no state is kept.")] = False,
    since: Annotated[
        str, typer.Option("--from", metavar="earliest|TIMESTAMP", help="With --reset: read what arrived since.")
    ] = "",
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Go on with the project's script, from the newest savepoint or checkpoint, where what the state depends on is the same.

    A changed definition is refused (exit 3): it needs a version of its own, or --reset. A job that runs is stopped with a
    savepoint first, unless it is up to date. Example: skewless stream upgrade carrier_delays
    """
    from skewless.cli.stream_project import Project

    config = read_config(project_dir or None, target=target or None)
    if since and not reset:
        raise SkewlessError("SK102", "--from is for a job without state", hint="Give --reset too.")
    project = Project(config)
    _each(project, views, gateway, local, as_json, lambda jobs, view: (
        project.submit(jobs, view, since=since, reset=True) if reset else project.upgrade(jobs, view)))


def stop(
    views: Views, gateway: GatewayUrl = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Without a savepoint; its newest checkpoint is kept.")] = False,
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """End jobs with a savepoint, from which `submit` or `upgrade` goes on. Example: skewless stream stop carrier_delays"""
    from skewless.cli.stream_project import cluster_of, record_of
    from skewless.registry.stream_jobs import StreamRecords
    from skewless.stream.jobs import Jobs
    from skewless.stream.tables import UNNAMED

    config = read_config(project_dir or None, target=target or None)
    records = StreamRecords(config)
    streams = [record_of(config, records, view) for view in views]
    jobs = Jobs(records, cluster_of(config, gateway), UNNAMED)
    done = []
    for stream in streams:
        ran = bool(jobs.running(stream))
        done.append(jobs.stop(stream, cancel=cancel))
        say(_stopped(stream, done[-1], ran, cancel))
    if as_json:
        print_json([_stream_json(s) for s in done])


def status(
    views: SomeViews = None, gateway: GatewayUrl = "",
    as_json: AsJson = False, project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Print each stream's job, how far history and stream are, what waits to be read or was lost, dead letters, freshness.

    Exit 1 where a stream is down, or where Flink or Kafka does not answer; that is said. Example: skewless stream status
    """
    from skewless.cli.stream_project import positions

    config = read_config(project_dir or None, target=target or None)
    found = positions(config, views or [], gateway)
    if as_json:
        from msgspec import to_builtins

        print_json([to_builtins(p, str_keys=True) for p in found])
    elif not found:
        say("no view streams; skewless stream submit starts one that says stream: {enabled: true}")
    else:
        print(_table(found), end="")
    if any(p.trouble or p.state in ("failed", "gone") or p.state == "running" and p.job_state != "RUNNING" for p in found):
        raise typer.Exit(EXIT_FOUND)


def run(
    views: SomeViews = None, gateway: GatewayUrl = "",
    once: Annotated[bool, typer.Option("--once", help="Look once, start what is down, end; exit 1 if one stays down.")] = False,
    project_dir: ProjectDir = "", target: Target = "",
) -> None:
    """Keep submitted streams alive until Ctrl-C or SIGTERM: a job that is gone or failed starts again from its newest checkpoint.

    Streams that were stopped stay so. Jobs live on when this ends; it holds nothing. Example: skewless stream run
    """
    from skewless.cli.stream_project import cluster_of, kafka_of, record_of
    from skewless.registry.stream_jobs import StreamRecords
    from skewless.stream.supervisor import Supervisor, log_line

    config = read_config(project_dir or None, target=target or None)
    records = StreamRecords(config)
    refs = [record_of(config, records, view).ref for view in views or []]
    supervisor = Supervisor(
        records, lambda: (cluster_of(config, gateway), kafka_of(config)), lambda text: say(log_line(text)), refs
    )
    if once:
        if not records.all():
            say("no stream was submitted yet: skewless stream submit")
        if not supervisor.once():
            raise typer.Exit(EXIT_FOUND)
        return
    ending = _until_told()
    say(log_line(f"looking after {', '.join(refs) if refs else 'all submitted streams'} of {config.namespace}"))
    supervisor.run(ending)
    say(log_line("ended; the jobs go on"))


def add_to(app: typer.Typer) -> None:
    """Makes the commands part of `skewless stream`."""
    for command in (submit, status, stop, upgrade, run):
        app.command()(command)


def _each(project: Project, views: list[str], gateway: str, local: bool, as_json: bool, act: Act) -> None:
    """Starts jobs by `act`, tells of each; with a Flink of our own, goes on until told to end."""
    from skewless.cli.stream_project import cluster_of, local_of

    if local or project.config.flink.local and not gateway:
        ending = _until_told()
        cluster = local_of(project.config)
        try:
            jobs = project.jobs(cluster)
            _until_ended(jobs, [started.stream for started in start_each(jobs, views, act, as_json)], cluster, ending)
        finally:
            cluster.close()
        return
    start_each(project.jobs(cluster_of(project.config, gateway)), views, act, as_json)


def start_each(jobs: Jobs, views: list[str], act: Act, as_json: bool) -> list[Started]:
    """Starts one job after the other, and tells of each at once; those that were started.

    Of several views, one whose job runs is left alone. On an error it is said which were not started. Raises what `act` does,
    SK834 where nothing but what runs was asked for.
    """
    done: list[Started] = []
    there: list[SkewlessError] = []
    try:
        for number, name in enumerate(views):
            try:
                started = act(jobs, name)
            except SkewlessError as error:
                if error.code != "SK834" or len(views) == 1:
                    if len(views) > 1:
                        say(f"not started: {', '.join(views[number:])}; run it again for these")
                    raise
                there.append(error)
                if len(there) < len(views):     # the last one is raised
                    say(error.fact)
                continue
            if started is None:
                say(f"{name}: its job runs and is up to date")
                continue
            done.append(started)
            say(_started(started))
            if not as_json:
                print(started.stream.job_id, flush=True)
    finally:
        if as_json:
            print_json([_stream_json(d.stream) | {"works": d.works, "resumed": d.resumed} for d in done])
    if len(there) == len(views):
        raise there[-1]
    return done


def _until_told() -> threading.Event:
    """Set by Ctrl-C and SIGTERM; the second one of them ends the process at once."""
    ending = threading.Event()

    def told(number: int, _: Any) -> None:
        if ending.is_set():
            raise KeyboardInterrupt
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    return ending


def _until_ended(jobs: Jobs, streams: list[StreamJob], cluster: Local, ending: threading.Event) -> None:
    """Waits; then stops each job with a savepoint. Raises SK845 when a job fails by itself."""
    from skewless.stream.jobmanager import ALIVE

    say("runs here; Ctrl-C stops it with a savepoint")
    while not ending.wait(1.0):
        for stream in streams:
            if cluster.manager.state(stream.job_id) not in ALIVE:
                raise jobs.failed(stream, jobs.reason(stream.job_id))
    for stream in streams:
        say(_stopped(stream, jobs.stop(stream), True, False))


def _started(started: Started) -> str:
    stream = started.stream
    origin = f"goes on from {started.resumed}" if started.resumed else f"reads {_since(stream.start)}"
    state = "runs" if started.works else "starts" + (f", Flink tries again after: {started.trouble}" if started.trouble else "")
    return f"{stream.ref} {state}: it {origin}, and writes to {stream.topic}"


def _since(start: dict[str, Any]) -> str:
    from skewless.clock import format_instant

    at = start.get("at_ms")
    return "from the earliest event" if at is None else f"what arrived since {format_instant(at * 1000)}"


def _stopped(before: StreamJob, after: StreamJob, ran: bool, cancel: bool) -> str:
    if ran and not cancel:
        return f"{before.ref} stopped; it goes on from {after.savepoint}"
    if ran:
        return f"{before.ref} ended; it goes on from its newest checkpoint, {after.checkpoint or 'when there is one'}"
    if before.state == "stopped":
        return f"{before.ref} was stopped already"
    return f"{before.ref}: its job {before.job_id} was gone; skewless stream upgrade {before.ref} goes on from its newest state"


def _stream_json(stream: StreamJob) -> dict[str, Any]:
    from msgspec import to_builtins

    left_out = ("id", "script", "revision", "claimed_at_us", "leftovers")
    return {k: v for k, v in to_builtins(stream).items() if k not in left_out}


def _table(found: list[Position]) -> str:
    from skewless.clock import format_duration, format_instant, now_us

    def instant(at_us: int | None) -> str:
        return "-" if at_us is None else format_instant(at_us // 1_000_000 * 1_000_000)

    def ago(us: int | None) -> str:
        return "-" if us is None else format_duration(max(0, us) // 1_000_000 * 1_000_000)

    head = (
        "view", "stream", "job", "history to", "newest event", "behind", "freshness", "to compute", "to consume",
        "lost", "dead letters", "checkpoint",
    )
    rows = [head]
    for p in found:
        rows.append((
            p.view, p.state, p.job_state.lower() or "-", instant(p.complete_through_us), instant(p.newest_event_us),
            ago(p.lag_us), p.freshness, f"{sum(e.lag for e in p.events):,}" if p.events else "-",
            _to_consume(p), _lost(p), "-" if p.dead_letters is None else f"{p.dead_letters.count:,}",
            "-" if p.checkpoint_at_us is None else ago(now_us() - p.checkpoint_at_us) + " ago",
        ))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [
        f"{p.view}: {p.late:,} events came after their windows, since the job began to run; a batch run computes such rows"
        f"{_stamped(p)}" for p in found if p.late
    ]
    lines += [f"{p.view}: {p.trouble}" for p in found if p.trouble]
    return "\n".join(lines) + "\n"


def _stamped(position: Position) -> str:
    """What may have made events late: timestamps that go back."""
    topics = [reading.topic for reading in position.events if reading.stamped_by == "producer"]
    return f". Producers stamp the records of {', '.join(topics)}: see message.timestamp.type" if topics else ""


def _to_consume(position: Position) -> str:
    """How many rows wait, for each store where each has a consumer of its own."""
    if position.rows is None:
        return "-"
    if not position.readers:
        return f"{position.rows.lag:,} (nobody reads)"
    if [r.stores for r in position.readers] == ["both"]:
        return f"{position.rows.lag:,}"
    return ", ".join(f"{r.stores} {r.lag:,}" for r in position.readers)


def _lost(position: Position) -> str:
    """How many rows the brokers deleted before they were consumed, for each store where each has a consumer of its own."""
    if position.rows is None:
        return "-"
    found = [r for r in position.readers if r.lost]
    if [r.stores for r in position.readers] in ([], ["both"]) or not found:
        return f"{sum(r.lost for r in found):,}"
    return ", ".join(f"{r.stores} {r.lost:,}" for r in found)
