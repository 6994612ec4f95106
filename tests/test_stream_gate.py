"""The gate on real Flink: what appends, what takes rows back, what has no plan; and Flink's reason in one sentence."""

from __future__ import annotations

import pytest

from skewless.conformance.engines import Flink
from skewless.stream.fact import short
from skewless.stream.gate import Verdict, gate
from skewless.stream.script import statements

SCRIPT = """
SET 'table.local-time-zone' = 'UTC';   -- not; a statement
CREATE TABLE k (
  k BIGINT NOT NULL, v BIGINT, t TIMESTAMP_LTZ(3), `r` TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  WATERMARK FOR t AS LEAST(t, r) - INTERVAL '1' SECOND
) WITH ('connector'='kafka', 'topic'='a;b', 'properties.bootstrap.servers'='127.0.0.1:1', 'format'='json',
  'scan.startup.mode'='earliest-offset');
CREATE TABLE o (k BIGINT NOT NULL, c BIGINT) WITH (
  'connector'='kafka', 'topic'='o', 'properties.bootstrap.servers'='127.0.0.1:1', 'format'='avro');
"""
HOUR = "OVER (PARTITION BY k ORDER BY t RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)"
OVER = f"INSERT INTO o SELECT k, COUNT(*) {HOUR} FROM k"
APPENDS = [
    OVER, f"SELECT k, SUM(v) {HOUR} FROM k WHERE v > 1",
    f"EXECUTE STATEMENT SET BEGIN {OVER}; INSERT INTO o SELECT k, CASE WHEN k > 1 THEN 1 ELSE 2 END FROM k; END",
    "SELECT window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE k, DESCRIPTOR(t), INTERVAL '1' HOUR)) GROUP BY window_start, window_end",
    "SELECT a.k, b.v FROM k a JOIN k b ON a.k = b.k AND b.t BETWEEN a.t - INTERVAL '1' HOUR AND a.t",
]
RETRACTS = [
    ("SELECT k, COUNT(*) FROM k GROUP BY k", ("I", "UA"), "GroupAggregate"),
    ("SELECT a.k FROM k a LEFT JOIN k b ON a.k = b.v", ("I", "UA", "D"), "Join(joinType=[LeftOuterJoin]"),
    ("INSERT INTO o SELECT k, COUNT(*) FROM k GROUP BY k", (), "GroupAggregate"),
]
NO_PLAN = [
    ("SELECT nix FROM k", "column 'nix' not found"),
    ("SELECT k, v FROM k ORDER BY v", "sort on a non-time-attribute field is not supported"),
    (f"SELECT COUNT(*) {HOUR}, COUNT(*) {HOUR.replace('BY k', 'BY v')} FROM k", "must be computed on the same window"),
    ("SELECT ln FROM k", 'encountered "ln FROM" at line 1'),
    ("SELECT APPROX_TOP_K(v) FROM k", "no match found for function signature"),
    ("", "the script is empty"),
]


@pytest.mark.parametrize("query", APPENDS)
def test_a_plan_that_appends_passes(flink: Flink, query: str) -> None:
    verdict = gate(SCRIPT + query, flink.session)
    assert (verdict.mode, verdict.changes, verdict.refusal("v")) == ("append-only", ("I",), None)


@pytest.mark.parametrize(("query", "changes", "operator"), RETRACTS)
def test_a_plan_that_takes_rows_back_is_refused_with_the_place(
    flink: Flink, query: str, changes: tuple[str, ...], operator: str
) -> None:
    verdict = gate(SCRIPT + query, flink.session)
    assert (verdict.mode, verdict.changes) == ("retracting", changes)
    assert verdict.operator.startswith(operator)
    refusal = verdict.refusal("v")
    assert refusal is not None and refusal.code == "SK811" and operator in refusal.detail and refusal.hint


@pytest.mark.parametrize(("query", "fact"), NO_PLAN)
def test_a_script_without_a_plan_is_refused_with_the_reason(flink: Flink, query: str, fact: str) -> None:
    verdict = gate((SCRIPT if query else "") + query, flink.session)
    assert verdict.mode == "error" and fact.lower() in verdict.fact.lower()
    assert "org.apache" not in verdict.fact and "\n" not in verdict.fact
    refusal = verdict.refusal("v")
    assert refusal is not None and refusal.code == "SK810"


def test_a_statement_before_the_query_counts(flink: Flink) -> None:
    assert gate("CREATE TABLE x (a FOO); SELECT 1", flink.session).fact == "unknown identifier 'FOO'"
    assert gate(["SELECT a FROM x"], flink.session, setup=["CREATE VIEW x AS SELECT 1 AS a"]).mode == "append-only"


def test_the_verdicts_of_a_statement_set_count_together(flink: Flink) -> None:
    bad = f"EXECUTE STATEMENT SET BEGIN {OVER}; INSERT INTO o SELECT k, COUNT(*) FROM k GROUP BY k; END;"
    assert gate(SCRIPT + bad, flink.session).mode == "retracting"


def test_a_script_is_split_where_its_statements_end() -> None:
    assert statements("a 'x;''y'; /* ; */ b `;`;; -- c;\n\n d \";\"") == ["a 'x;''y'", "b `;`", 'd ";"']
    case = "EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT CASE WHEN a THEN CASE b WHEN 1 THEN 2 END END FROM k; INSERT x; END"
    assert statements(f"s; {case}; t") == ["s", case, "t"]
    assert statements("SELECT CASE WHEN a THEN 1 END; SELECT 2") == ["SELECT CASE WHEN a THEN 1 END", "SELECT 2"]
    assert statements(" ; -- nothing\n") == []


def test_the_innermost_sentence_that_tells_something_is_the_fact() -> None:
    assert short("Job execution failed.\nCaused by that\n/ by zero") == "/ by zero"
    assert short("org.apache.flink.table.api.TableException: Failed to execute sql") == "failed to execute sql"
    assert short("") == "no reason given"
    assert short("SQL parse failed. Encountered \"ln\" at line 1, column 8.\nWas expecting one of:\n    \"a\" ...\n"
                 "Encountered \"ln\" at line 1, column 8.") == 'encountered "ln" at line 1, column 8'
    assert len(short("x" * 5000)) == 300


def test_a_verdict_that_appends_refuses_nothing() -> None:
    assert Verdict("append-only", ("I",)).refusal("v") is None
