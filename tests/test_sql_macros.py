"""What the macros of macros/portable expand to, on DuckDB and on Postgres, meets no rule that fixes or refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skewless.sql.analysis import analyse
from skewless.sql.value import FLOAT64, INT32, INT64, STRING, TIMESTAMP, Relation, Value, relation
from skewless.types import Type

GOLDEN = Path(__file__).parent / "golden" / "macros"
ROWS: dict[str, Type | Value] = {
    "k": Value(INT64, nullable=False),
    "ts": Value(TIMESTAMP, nullable=False),
    "x": FLOAT64,
    "d": Type("decimal", 10, 2),
    "i": INT32,
    "b": Value(INT64, lo=-(10**9), hi=10**9),
    "a": TIMESTAMP,
    "s": STRING,
}
DIMENSION = relation(
    {"k": INT64, "k2": INT64, "ts": Value(TIMESTAMP, nullable=False), "since": Value(TIMESTAMP, nullable=False), "v": INT64},
    event_time="ts", unique=(("k", "ts"), ("k2", "since")),
)


def expansions() -> list[tuple[str, str, str]]:
    """(dialect, the call, what it expands to) of every macro that a model calls."""
    out = []
    for dialect in ("duckdb", "postgres"):
        text = (GOLDEN / f"portable_{dialect}.sql").read_text()
        for part in re.split(r"^-- (?=\w+\()", text, flags=re.MULTILINE)[1:]:
            call, _, body = part.partition("\n")
            if not call.startswith("_"):
                out.append((dialect, call, body.strip()))
    return out


def query_of(body: str) -> str:
    if body.startswith("(\n"):
        return f"select * from {body} as w"
    windows = "partition by k order by ts range between interval 24 hours preceding and current row"
    if re.search(r"\b(sum|count|min|max)\(", body) and " over " not in body:
        return f"select k, {body} as v from t group by k"
    return f"select k, {body} as v from t window last_24h as ({windows.replace('24 hours', chr(39) + '24' + chr(39) + ' hour')})"


@pytest.mark.parametrize(("dialect", "call", "body"), expansions(), ids=lambda text: text if len(text) < 80 else "")
def test_an_expansion_is_portable(dialect: str, call: str, body: str) -> None:
    times = {"b": TIMESTAMP} if "_between" in call else {}
    inputs: dict[str, Relation] = {
        "t": relation({**ROWS, **times}, event_time="ts"), "dim": DIMENSION, "r": DIMENSION}
    analysis = analyse(query_of(body), dialect=dialect, inputs=inputs)
    assert not analysis.findings, [f.message for f in analysis.findings]
    assert analysis.output.columns[-1].value.known


def test_a_window_relation_is_read_by_its_marker() -> None:
    text = "(select skw_in.*, 1 as window_start, 1 as window_end from t as skw_in where 'skw:{}' <> '')"
    rows = {"t": relation({**ROWS, "name": STRING}, event_time="ts")}
    good = analyse(f"select k, window_end, count(*) as n from {text.format('hop;time=ts;slide_ms=10;size_ms=30')} as w "
                   "group by k, window_start, window_end", dialect="duckdb", inputs=rows)
    window = good.query.args["from_"].this.meta["window"]
    assert (window.kind, window.time, window.slide_ms, window.size_ms, window.input.name) == ("hop", "ts", 10, 30, "t")
    assert not good.findings and good.output.columns[1].value.event_time
    for marker, rule in {
        "hop;time=ts;slide_ms=7;size_ms=30": "window.size",
        "tumble;time=gone;size_ms=10": "window.time",
        "tumble;time=a;size_ms=10": "window.time",
        "tumble;time=name;size_ms=10": "window.time",
        "session;time=ts;gap_ms=10;keys=gone": "window.time",
        "tumble;time=ts": "window.macro",
        "spiral;time=ts;size_ms=3": "window.macro",
    }.items():
        bad = analyse(f"select * from {text.format(marker)} as w", dialect="duckdb", inputs=rows)
        assert [f.rule.id for f in bad.findings] == [rule], marker
