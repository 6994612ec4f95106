"""`meta.skewless.stream`: of a dbt source (its topic and times) and of a view (whether it streams, and how beside the batch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.errors import SkewlessError
from skewless.registry.block import duration
from skewless.registry.finding import Finding, did_you_mean
from skewless.registry.inputs import Inputs, meta_of
from skewless.registry.model import Streaming, StreamSource
from skewless.registry.report import Report, source_of
from skewless.sql.lateness import compares
from skewless.types import Type, from_sql

SOURCE_KEYS = ("topic", "format", "event_timestamp", "arrived_at", "lateness", "idle_timeout")
VIEW_KEYS = ("enabled", "only", "batch_delay")
FORMATS = ("json", "avro")
ARRIVED_AT = "arrived_at"
IDLE_TIMEOUT_MIN_US = 10_000_000
"""A source that counts as idle sooner loses rows while a job restarts: the other partitions run ahead of the one that is read."""
_MILLISECOND_US = 1000
_TOPIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_TOPIC_LENGTH_MAX = 249


def read_streams(root: Path, manifest: dict[str, Any], findings: list[Finding]) -> dict[str, StreamSource]:
    """Node id -> declaration, of every source that has one. What is wrong is reported, and such a source left out."""
    out: dict[str, StreamSource] = {}
    for unique_id, node in sorted((manifest.get("sources") or {}).items()):
        block = meta_of(node).get("stream")
        if block is None:
            continue
        at = ("sources", ("name", node["source_name"]), "tables", ("name", node["name"]))
        subject = f'source "{node["source_name"]}.{node["name"]}"'
        report = Report(findings, source_of(root, manifest, node.get("original_file_path")), at, subject)
        found = _read_source(node, block, report)
        if found is not None:
            out[unique_id] = found
    return out


def read_view_stream(
    manifest: dict[str, Any], node: dict[str, Any], block: Any, streams: dict[str, StreamSource], inputs: Inputs, report: Report
) -> Streaming | None:
    """The `stream` of a view with the streams that its job reads; None for a view that does not stream."""
    if not isinstance(block, dict):
        return None     # `read_block` reports it
    _keys(block, VIEW_KEYS, report)
    for key in ("enabled", "only"):
        if block.get(key) is not None and not isinstance(block[key], bool):
            _wrong(report, key, f'{key}: "{block[key]}" is neither true nor false')
    if block.get("enabled", True) is False:
        return None
    delay = duration(block.get("batch_delay"), "batch_delay", report, *_place("batch_delay"))
    only = block.get("only") is True
    if only and delay is not None:
        _wrong(report, "batch_delay", "batch_delay says when the warehouse is complete, and with only: true no batch reads it")
    sources = _sources(manifest, node, streams, inputs, report)
    for source in () if only else sources:
        if not source.arrived_at:
            fact = f'"{source.name}" keeps no arrival time, so rows that are too late for the stream count in the warehouse'
            hint = "Keep each event's broker time in the warehouse's copy, as arrived_at of the source's stream."
            report.meta("SK138", fact, "stream", level="warning", hint=hint)
        elif not _drops_late(manifest, node, source, inputs):
            fact = f'rows of "{source.name}" that are too late for the stream count in the batch'
            table = manifest["sources"][source.unique_id]
            relation = f"source('{table['source_name']}', '{table['name']}')"
            hint = f"Add to the where of what reads it: {{{{ skewless.on_time({relation}) }}}}"
            report.meta("SK139", fact, "stream", level="warning", hint=hint)
    default = Streaming()
    return Streaming(only=only, batch_delay_us=default.batch_delay_us if delay is None else delay, sources=sources)


def _drops_late(manifest: dict[str, Any], node: dict[str, Any], source: StreamSource, inputs: Inputs) -> bool:
    """Whether every model of the view that reads the source compares its event time with its arrival."""
    readers = [n for n in (node, *inputs.lowered(node)) if source.unique_id in ((n.get("depends_on") or {}).get("nodes") or [])]
    texts = [n.get("compiled_code") or "" for n in readers]
    return all(not sql or compares(sql, inputs.dialect, source.event_timestamp, source.arrived_at) for sql in texts)


def _sources(
    manifest: dict[str, Any], node: dict[str, Any], streams: dict[str, StreamSource], inputs: Inputs, report: Report
) -> tuple[StreamSource, ...]:
    """What a view's job reads, sorted by name. Whatever is no stream is reported (SK137)."""
    lowered = inputs.lowered(node)
    inside = {n["unique_id"] for n in lowered}
    found: dict[str, StreamSource] = {}
    for unique_id in sorted({i for n in (node, *lowered) for i in (n.get("depends_on") or {}).get("nodes") or []} - inside):
        parent = manifest.get("sources", {}).get(unique_id) or manifest.get("nodes", {}).get(unique_id)
        if parent is None or parent.get("resource_type") not in ("source", "model", "seed", "snapshot"):
            continue
        if unique_id in streams:
            found[unique_id] = streams[unique_id]
        elif meta_of(parent).get("stream") is None:     # a declaration that is there and wrong has its own finding
            fact = f'the view streams, and "{parent["name"]}", which it reads, is no stream'
            hint = "Declare meta.skewless.stream: {topic: …, event_timestamp: …} on a dbt source."
            report.meta("SK137", fact, "stream", hint=hint)
    return tuple(sorted(found.values(), key=lambda s: s.name))


def _read_source(node: dict[str, Any], block: Any, report: Report) -> StreamSource | None:
    before = len(report.findings)
    if not isinstance(block, dict):
        report.meta("SK111", "stream is not a mapping", "stream", hint="Write stream: {topic: …, event_timestamp: …}.")
        return None
    _keys(block, SOURCE_KEYS, report)
    topic, format_ = block.get("topic"), block.get("format", "json")
    if not isinstance(topic, str) or not topic or set(topic) - _TOPIC or len(topic) > _TOPIC_LENGTH_MAX:
        _wrong(report, "topic", f'topic: "{topic}" is not the name of a topic', "Use letters, digits, point, _ and -.")
    if format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS, "One of")
        _wrong(report, "format", f'format: "{format_}" is not one of {", ".join(FORMATS)}', hint)
    default = StreamSource(name="", topic="", event_timestamp="", unique_id="")
    times = {
        key: _time(block, key, getattr(default, f"{key}_us"), report) for key in ("lateness", "idle_timeout")
    }
    columns = {name.lower(): c for name, c in (node.get("columns") or {}).items()}
    event_time, arrived = _times_of(block, columns, report)
    _check_types(columns, format_, report)
    if any(f.level == "error" for f in report.findings[before:]):
        return None
    return StreamSource(
        name=str(node.get("identifier") or node["name"]).lower(), unique_id=node["unique_id"], topic=str(topic), format=format_,
        event_timestamp=event_time, arrived_at=arrived, lateness_us=times["lateness"], idle_timeout_us=times["idle_timeout"],
    )


def _times_of(block: dict[str, Any], columns: dict[str, Any], report: Report) -> tuple[str, str]:
    """The columns of event time and of arrival; "" for an arrival that the warehouse's copy does not keep."""
    event_time = str(block.get("event_timestamp") or "").lower()
    arrived = str(block.get("arrived_at") or (ARRIVED_AT if ARRIVED_AT in columns else "")).lower()
    if not event_time:
        _wrong(report, "event_timestamp", "event_timestamp is not given", "Name the column that holds when an event happened.")
    for key, name in (("event_timestamp", event_time), ("arrived_at", arrived)):
        if name and _type(columns.get(name)) != Type("timestamp"):
            fact = f'{key}: "{name}" is not a column of type timestamp'
            hint = "Declare it data_type: timestamp." if name in columns else did_you_mean(name, columns, "Columns")
            report.add("SK136", fact, *_place(key), hint=hint)
    return event_time, arrived


def _check_types(columns: dict[str, Any], format_: str, report: Report) -> None:
    """SK136 for each column that has no type, or one that messages of this format do not carry."""
    for name, column in columns.items():
        type_ = _type(column)
        if type_ is None:
            report.column("SK136", f'column "{name}" of a stream has no data_type that is known', name, hint="Declare data_type.")
        elif format_ == "json" and (type_.array or type_.name == "bytes"):
            hint = "Leave it out, or use format: avro."
            report.column("SK136", f'column "{name}": {type_} is not read from JSON', name, hint=hint)


def _type(column: dict[str, Any] | None) -> Type | None:
    try:
        return from_sql(column["data_type"]) if column and column.get("data_type") else None
    except SkewlessError:
        return None


def _time(block: dict[str, Any], key: str, default: int, report: Report) -> int:
    """A duration of whole milliseconds, Flink's finest; the default for one that was reported."""
    us = duration(block.get(key), key, report, *_place(key))
    if us is None:
        return default
    if us % _MILLISECOND_US or key == "lateness" and not us:
        _wrong(report, key, f'{key}: "{block[key]}" is not a whole number of milliseconds, from 1', "Write it like 1s or 500ms.")
    elif key == "idle_timeout" and 0 < us < IDLE_TIMEOUT_MIN_US:
        fact = f'idle_timeout: "{block[key]}" loses rows while a job restarts'
        _wrong(report, key, fact, "Use 30s; 0s waits for every partition.")
    return us


def _keys(block: dict[str, Any], keys: tuple[str, ...], report: Report) -> None:
    for key in block:
        if key not in keys:
            report.add("SK110", f'"{key}" is not a key of stream', *_place(str(key)), hint=did_you_mean(key, keys, "Keys"))


def _wrong(report: Report, key: str, fact: str, hint: str = "") -> None:
    report.add("SK111", fact, *_place(key), hint=hint)


def _place(key: str) -> tuple[str, ...]:
    return ("config", "meta", "skewless", "stream", key)
