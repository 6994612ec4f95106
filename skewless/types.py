"""The one table of types: a row a type, a column a world.

A type is written `int64`, `decimal(10,2)`, `array<float64>`. `parse_type` reads that form; `from_sql` reads a dbt `data_type`.
Timestamps are naive UTC microseconds everywhere (law 10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from skewless.errors import SkewlessError

DECIMAL_PRECISION_MAX = 38


@dataclass(frozen=True)
class TypeRow:
    """One type and its name in each world. `{p}` and `{s}` stand for a decimal's precision and scale."""

    name: str
    duckdb: str
    postgres: str
    spark: str
    flink: str
    arrow: str
    avro: str
    json: str
    sql_aliases: tuple[str, ...]
    join_key: bool


TABLE: dict[str, TypeRow] = {
    row.name: row
    for row in (
        TypeRow("bool", "BOOLEAN", "boolean", "BOOLEAN", "BOOLEAN", "bool", "boolean", "boolean",
                ("boolean", "bool", "logical"), True),
        TypeRow("int32", "INTEGER", "integer", "INT", "INT", "int32", "int", "integer",
                ("integer", "int", "int4", "signed"), True),
        TypeRow("int64", "BIGINT", "bigint", "BIGINT", "BIGINT", "int64", "long", "integer",
                ("bigint", "int8", "long"), True),
        TypeRow("float32", "FLOAT", "real", "FLOAT", "FLOAT", "float", "float", "number",
                ("float", "float4", "real"), False),
        TypeRow("float64", "DOUBLE", "double precision", "DOUBLE", "DOUBLE", "double", "double", "number",
                ("double", "double precision", "float8"), False),
        TypeRow("decimal", "DECIMAL({p},{s})", "numeric({p},{s})", "DECIMAL({p},{s})", "DECIMAL({p},{s})",
                "decimal128({p},{s})", "bytes", "string", ("decimal", "numeric"), False),
        TypeRow("string", "VARCHAR", "text", "STRING", "STRING", "string", "string", "string",
                ("varchar", "text", "string", "character varying", "char", "bpchar"), True),
        TypeRow("bytes", "BLOB", "bytea", "BINARY", "BYTES", "binary", "bytes", "string",
                ("blob", "bytea", "binary", "varbinary", "bytes"), True),
        TypeRow("date", "DATE", "date", "DATE", "DATE", "date32", "int", "string", ("date",), True),
        TypeRow("timestamp", "TIMESTAMP", "timestamp(6)", "TIMESTAMP_NTZ", "TIMESTAMP(6)", "timestamp[us]", "long", "string",
                ("timestamp", "datetime", "timestamp without time zone", "timestamp(6)"), True),
    )
}
ARRAY_ELEMENTS = ("int64", "float64", "float32", "string")


@dataclass(frozen=True)
class Type:
    """A parsed type: `name` is a key of `TABLE`; precision and scale for decimals; `array` for `array<name>`."""

    name: str
    precision: int = 0
    scale: int = 0
    array: bool = False

    def __str__(self) -> str:
        base = f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name
        return f"array<{base}>" if self.array else base

    def world(self, column: str) -> str:
        """The type's name in one world of the table, for example `world("duckdb")`; arrays are `T[]` or `ARRAY<T>`."""
        base = getattr(TABLE[self.name], column).format(p=self.precision, s=self.scale)
        if not self.array:
            return base
        return f"ARRAY<{base}>" if column in ("spark", "flink") else f"{base}[]"

    def arrow(self) -> Any:
        """The pyarrow type. Imports pyarrow on first use."""
        import pyarrow as pa

        simple = {
            "bool": pa.bool_(), "int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(),
            "string": pa.string(), "bytes": pa.binary(), "date": pa.date32(), "timestamp": pa.timestamp("us"),
        }
        base = pa.decimal128(self.precision, self.scale) if self.name == "decimal" else simple[self.name]
        return pa.list_(base) if self.array else base


_DECIMAL = re.compile(r"^(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)$")
_ALIASES = {alias: row.name for row in TABLE.values() for alias in row.sql_aliases}


def parse_type(text: str) -> Type:
    """The canonical form (`int64`, `decimal(10,2)`, `array<string>`) -> Type. Raises SK103."""
    array = re.fullmatch(r"array<(\w+)>", text)
    if array and array[1] in ARRAY_ELEMENTS:
        return Type(array[1], array=True)
    decimal = _DECIMAL.match(text)
    if decimal:
        return _decimal(decimal, text)
    if text in TABLE and text != "decimal":
        return Type(text)
    raise SkewlessError("SK103", f'"{text}" is not a type', hint="Types: " + ", ".join(TABLE) + ", array<int64>.")


def from_sql(data_type: str) -> Type:
    """A contract's `data_type` in DuckDB's or Postgres' spelling -> Type. Raises SK103 with the types that are accepted.

    >>> str(from_sql("DOUBLE PRECISION")), str(from_sql("varchar(20)")), str(from_sql("bigint[]"))
    ('float64', 'string', 'array<int64>')
    """
    text = " ".join(data_type.lower().split())
    element = re.fullmatch(r"(.+)\[\]|array<(.+)>", text)
    if element:
        inner = from_sql(element[1] or element[2])
        if inner.name in ARRAY_ELEMENTS and not inner.array:
            return Type(inner.name, array=True)
        raise _not_a_type(data_type)
    decimal = _DECIMAL.match(text)
    if decimal:
        return _decimal(decimal, data_type)
    text = re.sub(r"^(varchar|character varying|char|text)\s*\(\d+\)$", r"\1", text)
    if text in ("decimal", "numeric"):
        return Type("decimal", 18, 3)   # DuckDB's own default
    if text in _ALIASES:
        return Type(_ALIASES[text])
    if text in TABLE:
        return Type(text)
    raise _not_a_type(data_type)


def _decimal(match: re.Match[str], text: str) -> Type:
    precision, scale = int(match[1]), int(match[2] or 0)
    if not (1 <= precision <= DECIMAL_PRECISION_MAX and scale <= precision):
        raise SkewlessError("SK103", f'"{text}" is not a decimal type', hint="Precision is 1 to 38, scale at most precision.")
    return Type("decimal", precision, scale)


def _not_a_type(data_type: str) -> SkewlessError:
    names = ", ".join(row.duckdb.lower().format(p="p", s="s") for row in TABLE.values())
    return SkewlessError(
        "SK103", f'"{data_type}" is not a type of a feature',
        hint=f"Types: {names}, and arrays of bigint, double, float, varchar."
    )
