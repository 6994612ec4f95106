"""The rule table: which SQL gives the same value on DuckDB, Postgres and Flink, and what becomes of the rest.

Rules are data; docs/portable-sql.md is generated from them. What no rule allows is refused (function.unknown, clause.unknown).
"""

from __future__ import annotations

from skewless.sql.rule import SEVERITY, Rule
from skewless.sql.rules_casts import CASTS
from skewless.sql.rules_names import NAMES
from skewless.sql.rules_numbers import NUMBERS
from skewless.sql.rules_query import QUERIES
from skewless.sql.rules_texts import TEXTS
from skewless.sql.rules_time import TIME
from skewless.sql.rules_window import WINDOWS

_ALL = (*NAMES, *NUMBERS, *CASTS, *TEXTS, *TIME, *WINDOWS, *QUERIES)
RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
assert len(RULES) == len(_ALL)

__all__ = ["RULES", "SEVERITY", "Rule"]
