"""The `meta.skewless` block of a model: its keys, their syntax, what they become. Everything wrong is reported at once."""

from __future__ import annotations

from typing import Any

from skewless.clock import parse_duration, parse_instant
from skewless.errors import SkewlessError
from skewless.registry.finding import did_you_mean
from skewless.registry.report import Report

KEYS = (
    "entities", "name", "ttl", "begin", "input_lookback", "overlap", "chunk", "availability_delay", "online", "active_within",
    "missing", "stale", "partition", "codec", "freshness_sla", "retract_limit", "stream", "portable", "cold_path",
    "cache",
)
COLUMN_KEYS = ("default", "ttl", "approximate")
SLA_KEYS = ("warn_after", "error_after")
CHOICES = {
    "missing": ("default", "null", "error"), "stale": ("serve", "default", "error"), "partition": ("month", "day"),
    "codec": ("json", "msgpack"),
}
DURATIONS = {
    "ttl": "ttl_us", "input_lookback": "input_lookback_us", "overlap": "overlap_us", "chunk": "",
    "availability_delay": "availability_delay_us", "active_within": "active_within_us", "cache": "cache_us",
}
POSITIVE = ("ttl", "chunk", "active_within")
CACHE_US = (500_000, 5_000_000)


def read_block(block: dict[str, Any], report: Report) -> dict[str, Any]:
    """The fields of a View that the block sets, all but the entity. Wrong values are reported (SK110, SK111) and left out."""
    for key in block:
        if key not in KEYS:
            report.meta("SK110", f'"{key}" is not a key of meta.skewless', key, hint=did_you_mean(key, KEYS, "Keys"))
    fields: dict[str, Any] = {}
    for key, field in DURATIONS.items():
        at_us = duration(block.get(key), key, report)
        if at_us is not None and field:
            fields[field] = at_us
    if "missing" in block and block["missing"] is None:
        block = {**block, "missing": "null"}   # YAML reads a bare null as nothing
    for key, options in CHOICES.items():
        if block.get(key) is not None:
            _choice(fields, key, block[key], options, report)
    for key in ("online", "cold_path", "portable"):
        if block.get(key) is not None and not isinstance(block[key], bool):
            report.meta("SK111", f'{key}: "{block[key]}" is neither true nor false', key)
    for key in ("online", "cold_path"):
        if isinstance(block.get(key), bool):
            fields[key] = block[key]
    if "cache_us" in fields and not CACHE_US[0] <= fields["cache_us"] <= CACHE_US[1]:
        report.meta("SK111", f'cache: "{block["cache"]}" is not between 500ms and 5s', "cache", hint="Leave it out for none.")
        del fields["cache_us"]
    _begin(fields, block.get("begin"), report)
    _sla(fields, block.get("freshness_sla"), report)
    if "stale" in fields and "error_after_us" not in fields:
        report.meta("SK111", "stale says what a broken freshness_sla means, and there is none", "stale",
                    hint="Add freshness_sla: {error_after: 6h}.")
    _share(block.get("retract_limit"), report)
    if block.get("stream") is not None and not isinstance(block["stream"], dict):
        report.meta("SK111", "stream is not a mapping", "stream", hint="Write it like stream: {enabled: true}.")
    return fields


def duration(value: Any, key: str, report: Report, *place: Any) -> int | None:
    """A duration in microseconds, None for nothing or for a value that was reported."""
    if value is None:
        return None
    try:
        us = parse_duration(value) if isinstance(value, str) else None
    except SkewlessError:
        us = None
    path = place or ("config", "meta", "skewless", key)
    if us is None:
        report.add("SK111", f'{key}: "{value}" is not a duration', *path, hint="Write it like 7d, 6h, 30m or 1d12h.")
    elif us == 0 and key in POSITIVE:
        report.add("SK111", f"{key} is zero", *path, hint="Leave it out for none.")
        return None
    return us


def _choice(fields: dict[str, Any], key: str, value: Any, options: tuple[str, ...], report: Report) -> None:
    if value in options:
        fields[key] = value
    else:
        fact = f'{key}: "{value}" is not one of {", ".join(options)}'
        report.meta("SK111", fact, key, hint=did_you_mean(value, options, "One of"))


def _begin(fields: dict[str, Any], value: Any, report: Report) -> None:
    if value is None:
        return
    try:
        fields["begin_us"] = parse_instant(str(value))
    except SkewlessError as error:
        report.meta("SK111", f'begin: "{value}" is not an instant', "begin", hint=error.hint)


def _sla(fields: dict[str, Any], value: Any, report: Report) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        report.meta("SK111", "freshness_sla is not a mapping", "freshness_sla", hint="Write {warn_after: 2h, error_after: 6h}.")
        return
    for key, text in value.items():
        place = ("config", "meta", "skewless", "freshness_sla", key)
        if key not in SLA_KEYS:
            report.add("SK110", f'"{key}" is not a key of freshness_sla', *place, hint=did_you_mean(key, SLA_KEYS, "Keys"))
        else:
            us = duration(text, key, report, *place)
            if us is not None:
                fields[f"{key}_us"] = us
    if fields.get("warn_after_us", 0) > fields.get("error_after_us", fields.get("warn_after_us", 0)):
        report.meta("SK111", "warn_after is longer than error_after", "freshness_sla")


def _share(value: Any, report: Report) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
        report.meta("SK111", f'retract_limit: "{value}" is not a share between 0 and 1', "retract_limit")
