"""What `check` says about a view's SQL: sums that two runs may answer differently, and windows shorter than the ttl."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from skewless.clock import format_duration
from skewless.registry.lineage import declared_types, dialect_of
from skewless.registry.model import Feature, View
from skewless.registry.report import Report
from skewless.sql.definition import feature_slices, parse
from skewless.sql.reproducible import Unstable, longest_window_us, lookback_us, unstable_aggregates

_EXACT_TYPES = ("int32", "int64", "decimal", "bool")
# An aggregate -> the macro that gives it from exact sums, with six places after the point.
_EXACT_MACROS = {
    "SUM": "sum_fixed('{}', 6)", "AVG": "avg_fixed('{}', 6)", "MEAN": "avg_fixed('{}', 6)",
    "STDDEV": "stddev_exact('{}', 6, sample=true)", "STDDEV_SAMP": "stddev_exact('{}', 6, sample=true)",
    "STDDEV_POP": "stddev_exact('{}', 6)", "VARIANCE": "var_exact('{}', 6, sample=true)",
    "VAR_SAMP": "var_exact('{}', 6, sample=true)", "VARIANCE_POP": "var_exact('{}', 6)", "VAR_POP": "var_exact('{}', 6)",
}


def check_sql(root: Path, manifest: dict[str, Any], node: dict[str, Any], view: View, report: Report) -> None:
    """Reports SK131, SK132 (per feature without `approximate`), SK133 and SK135 (once a view) and SK134."""
    sql, dialect = node.get("compiled_code") or "", dialect_of(manifest)
    if not sql or parse(sql, dialect) is None:
        fact = "the SQL is not compiled" if not sql else "the SQL does not parse, so it is not checked"
        report.add_at(view.file, 0, "SK134", fact, level="warning", hint="" if sql else "Run: dbt compile")
        return
    _check_lookback(view, parse(sql, dialect), report)
    slices = feature_slices(sql, dialect, view.key_names, view.feature_names)
    types = declared_types(manifest, node)
    short: dict[int, list[str]] = {}
    for feature in view.features:
        query = slices[feature.name]
        if query is None:
            continue
        if feature.approximate is None:
            exact = feature.type.startswith(_EXACT_TYPES)
            for found in unstable_aggregates(query, dialect, types, exact_result=exact):
                _report(root, node, view, feature, found, report)
        window_us, ttl_us = longest_window_us(query), feature.ttl_us or view.ttl_us
        if window_us and ttl_us and ttl_us > window_us:
            short.setdefault(window_us, []).append(feature.name)
    if short:
        _report_windows(view, short, report)


def _check_lookback(view: View, query: Any, report: Report) -> None:
    """Reports SK135: a window that is longer than what the SQL reads before the window being computed lacks its oldest rows."""
    longest, back = longest_window_us(query), lookback_us(query)
    if longest is not None and back is not None and back < longest:
        have, wanted = format_duration(back) if back else "0s", format_duration(longest)
        report.meta(
            "SK135", f"input_lookback {have} is shorter than a window of {wanted}", "input_lookback",
            hint=f"Rows at the start of each run would lack the oldest of theirs. Declare input_lookback: {wanted}",
        )


def _report(root: Path, node: dict[str, Any], view: View, feature: Feature, found: Unstable, report: Report) -> None:
    column = found.column or "x"
    place = (view.file, _line(root / view.file, feature.name, found))
    if found.argument == "double":
        macro = _EXACT_MACROS.get(found.function)
        exact = f"Write {{{{ skewless.{macro.format(column)} }}}} (over='…' for its window), or declare" if macro else "Declare"
        report.add_at(
            *place, "SK131", f'feature "{feature.name}": {_short(found.sql)} over floating point differs between two runs',
            hint=f"{exact} approximate: 1e-9 on the feature.",
        )
    else:
        report.add_at(
            *place, "SK132", f'feature "{feature.name}": the type of the values in {_short(found.sql)} is not known',
            level="warning",
            hint=f"Cast them to BIGINT or DECIMAL, for example {found.function}({column}::bigint), or declare data_type where "
            f"{column} comes from. Floating point would need approximate: 1e-9.",
        )


def _short(sql: str) -> str:
    text = re.sub(r"\b\w+\.(?=\w)", "", " ".join(sql.split()))
    return text if len(text) <= 80 else text[:77] + "..."


def _line(path: Path, feature: str, found: Unstable) -> int:
    """The line of the model file with the function and its column, else with the feature's name; 0 for none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    call = re.compile(rf"\b{re.escape(found.function.split('_')[0])}\w*\s*\(", re.IGNORECASE)
    column = re.compile(rf"\b{re.escape(found.column)}\b", re.IGNORECASE)
    for wanted in (
        lambda text: call.search(text) and column.search(text), lambda text: re.search(rf"\b{feature}\b", text, re.IGNORECASE),
    ):
        for number, text in enumerate(lines, 1):
            if wanted(text):
                return number
    return 0


def _report_windows(view: View, short: dict[int, list[str]], report: Report) -> None:
    shortest = min(short)
    names = ", ".join(name for us in sorted(short) for name in short[us])
    ttl = format_duration(view.ttl_us or shortest)
    report.meta(
        "SK133", f"ttl {ttl} is longer than the window of {names} (from {format_duration(shortest)})", "ttl", level="advice",
        hint="A windowed value is as of its row; it does not decay while nothing happens. Where that matters, give the feature "
        "its own shorter ttl.",
    )
