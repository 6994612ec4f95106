"""The catalogue of SQL constructs as cases: tests/scenarios/portable_sql.json, and the relations that their SQL reads."""

from __future__ import annotations

from skewless.conformance.catalogue import SCALAR, Case, cases

__all__ = ["SCALAR", "Case", "cases"]
