"""The table of types: every form reads back, and DuckDB agrees about what the names mean. Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import duckdb
import pytest

from skewless.errors import SkewlessError
from skewless.types import ARRAY_ELEMENTS, TABLE, from_sql, parse_type

ROOT = Path(__file__).parents[1]
SIMPLE = [name for name in TABLE if name != "decimal"]
TYPES = [*SIMPLE, "decimal(10,2)", "decimal(38,18)", *(f"array<{name}>" for name in ARRAY_ELEMENTS)]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "skewless").rglob("*.py") if re.search(r"^ *>>> ", path.read_text(), flags=re.MULTILINE)
)


@pytest.mark.parametrize("text", TYPES)
def test_a_type_reads_back_and_duckdb_means_the_same(text: str) -> None:
    type_ = parse_type(text)
    assert str(type_) == text
    for spelled in (type_.world("duckdb"), type_.world("duckdb").lower(), type_.world("postgres")):
        assert from_sql(spelled) == type_
    found = duckdb.sql(f"select null::{type_.world('duckdb')} as x").to_arrow_table().schema.field("x").type
    assert found == type_.arrow() or found.value_type == type_.arrow().value_type


@pytest.mark.parametrize(
    "text", ["", "json", "decimal", "decimal(39,0)", "decimal(2,3)", "array<bool>", "array<array<int64>>", "int64[]"]
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(SkewlessError, match="SK103"):
        parse_type(text)


@pytest.mark.parametrize("text", ["", "json", "hugeint", "numeric(39)", "boolean[]", "timestamp with time zone", "time"])
def test_a_data_type_that_features_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(SkewlessError, match="SK103"):
        from_sql(text)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
