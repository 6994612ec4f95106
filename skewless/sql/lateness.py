"""Whether SQL leaves out rows that came too late: it compares when an event happened with when it arrived."""

from __future__ import annotations

from sqlglot import exp

from skewless.errors import SkewlessError
from skewless.sql.parsing import parse_query


def compares(sql: str, dialect: str, event_time: str, arrived_at: str) -> bool:
    """Whether some comparison of the SQL holds both columns; also True for SQL that does not parse, which is told elsewhere."""
    if arrived_at not in sql.lower():
        return False
    try:
        tree = parse_query(sql, dialect)
    except SkewlessError:
        return True
    found = tree.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
    return any({event_time, arrived_at} <= {c.name.lower() for c in node.find_all(exp.Column)} for node in found)
