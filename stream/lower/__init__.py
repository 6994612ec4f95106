"""Typed SQL -> the text of an engine: Flink SQL 2.3, DuckDB 2.0, Postgres 15. One query in, one query out (`lower`); `dag` chains models."""

from __future__ import annotations

from collections.abc import Mapping

from skewless.errors import Findings, SkewlessError
from skewless.sql.analysis import Analysis
from skewless.stream.lower import aggregates, casts, constants, expressions, overs, queries, texts, times
from skewless.stream.lower.outputs import declared
from skewless.stream.lower.printer import ENGINES, Engine, Printer
from skewless.types import Type

PRINTERS = (aggregates, casts, constants, expressions, overs, queries, texts, times)   # they register on import

__all__ = ["ENGINES", "Engine", "lower"]


def lower(
    analysis: Analysis, *, engine: Engine, columns: Mapping[str, Type] | None = None, tables: Mapping[str, str] | None = None,
    final: bool = True, rowtimes: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The query of an analysis as text of one engine, without a trailing semicolon.

    `columns`: the declared types of the output, by name, in the order they are to stand; default: what the analysis found. `tables`:
    relations as the query writes them (lower case, longest known form) -> names to print; default: their last part. `final`: cast each
    column to its type and make 0.0 of -0.0; without it event times keep their order for a query that reads this one. `rowtimes`: of
    such inputs, the columns that `dag` says Flink orders by.
    Raises Findings for SQL that the rules refuse, SK820 for a node without a form in that engine, SK821 for a combination without one,
    SK822 for a column that does not fit its declared type.
    """
    refused = [f for f in analysis.findings if f.rule.action in ("fix", "refuse")]
    if refused:
        raise Findings([SkewlessError(f.code, f.message, detail=f"Line {f.line}, column {f.column}.", hint=f.hint) for f in refused])
    printer = Printer(engine, dict(tables or {}))
    printer.rowtimes = {name: dict(found) for name, found in (rowtimes or {}).items()}
    printed = queries.query(printer, analysis.query, carry=not final and engine == "flink")
    return declared(printer, printed.text, analysis.output, columns) if final else printed.text
