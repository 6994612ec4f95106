"""Typed SQL -> the text of an engine: Flink SQL 2.3, DuckDB 2.0, Postgres. One query in, one out; `dag` chains models."""

from __future__ import annotations

from collections.abc import Mapping

from skewless.errors import Findings, SkewlessError
from skewless.sql.analysis import Analysis
from skewless.stream.lower import aggregates, casts, constants, expressions, overs, queries, texts, times
from skewless.stream.lower.outputs import declared
from skewless.stream.lower.printer import ENGINES, Engine, Printer
from skewless.types import Type

PRINTERS = (aggregates, casts, constants, expressions, overs, queries, texts, times)   # they register on import

__all__ = ["ENGINES", "Engine", "lower", "refuse_findings"]


def lower(
    analysis: Analysis, *, engine: Engine, columns: Mapping[str, Type] | None = None, tables: Mapping[str, str] | None = None,
) -> str:
    """The query of an analysis as text of one engine, without a trailing semicolon.

    `columns`: the declared types of the output, by name, in the order they are to stand; default: what the analysis found.
    `tables`: relations as the query writes them (lower case, any known form) -> names to print; default: their last part.
    Raises Findings for SQL that the rules refuse, SK820 for a node without a form in that engine, SK821 for a combination without
    one, SK822 for a column that does not fit its declared type.
    """
    refuse_findings(analysis)
    printer = Printer(engine, dict(tables or {}))
    return declared(printer, queries.query(printer, analysis.query).text, analysis.output, columns)


def refuse_findings(analysis: Analysis) -> None:
    """Raises Findings with everything in the SQL that is not portable as it is written."""
    found = [
        SkewlessError(f.code, f.message, detail=f"Line {f.line}, column {f.column}.", hint=f.hint) for f in analysis.findings
    ]
    if found:
        raise Findings(found)
