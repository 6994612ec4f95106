"""What is known of an expression before it runs: its type, whether it may be NULL, and the range of its numbers.

The types are those of `skewless.types`, and a few that occur only inside expressions (`WIDE`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from skewless.types import Type

Number = int | Fraction

BOOL, INT32, INT64 = Type("bool"), Type("int32"), Type("int64")
FLOAT32, FLOAT64, STRING, BYTES = Type("float32"), Type("float64"), Type("string"), Type("bytes")
DATE, TIMESTAMP = Type("date"), Type("timestamp")
# Types that no column of a view has: they occur between a column and the output.
INT16, INTERVAL, TIMESTAMPTZ, NULL, UNKNOWN = Type("int16"), Type("interval"), Type("timestamptz"), Type("null"), Type("unknown")
TUPLE = Type("tuple")
UNTYPED = Type("untyped")   # a column of an input whose type nobody declared
WIDE = {t.name for t in (INT16, INTERVAL, TIMESTAMPTZ, NULL, UNKNOWN, TUPLE)}

INT_BITS = {"int16": 15, "int32": 31, "int64": 63}
ROWS_MAX = 2**31
"""How many rows a group or frame is taken to have at most, where the relation does not say."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of one expression. `lo` and `hi` bound a number (both inclusive, None = the type's own bound).

    `nonzero`: a number that is never 0. `constant`: a literal's Python value. `ascii`: text of ASCII only. `before_1970`: an
    instant that may lie before 1970. `event_time`: the event time of a stream, unchanged or (`cut`) cut to a window.
    """

    type: Type
    nullable: bool = True
    lo: Number | None = None
    hi: Number | None = None
    nonzero: bool = False
    constant: Any = None
    ascii: bool = False
    before_1970: bool = False
    event_time: bool = False
    cut: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        return self

    @property
    def is_int(self) -> bool:
        return self.type.name in INT_BITS and not self.type.array

    @property
    def is_decimal(self) -> bool:
        return self.type.name == "decimal"

    @property
    def is_exact(self) -> bool:
        return self.is_int or self.is_decimal

    @property
    def is_float(self) -> bool:
        return self.type.name in ("float32", "float64") and not self.type.array

    @property
    def is_number(self) -> bool:
        return self.is_exact or self.is_float

    @property
    def is_instant(self) -> bool:
        return self.type.name in ("timestamp", "timestamptz", "date")

    @property
    def known(self) -> bool:
        return self.type.name not in ("unknown", "untyped")

    def bounds(self) -> tuple[Number, Number] | None:
        """The range of an exact number: its own, else its type's. None for anything else."""
        limits = type_bounds(self.type)
        if limits is None:
            return None
        return (limits[0] if self.lo is None else self.lo, limits[1] if self.hi is None else self.hi)

    def never_zero(self) -> bool:
        """Whether the number cannot be 0."""
        if self.nonzero or (self.constant not in (None, 0) and not isinstance(self.constant, str)):
            return True
        return (self.lo is not None and self.lo > 0) or (self.hi is not None and self.hi < 0)


def type_bounds(type_: Type) -> tuple[Number, Number] | None:
    """The least and greatest number of an exact type, None for other types."""
    if type_.name in INT_BITS:
        return -(2 ** INT_BITS[type_.name]), 2 ** INT_BITS[type_.name] - 1
    if type_.name == "decimal":
        top = Fraction(10**type_.precision - 1, 10**type_.scale)
        return -top, top
    return None


def fits(value: Value, type_: Type) -> bool:
    """Whether every number of an exact value lies inside an exact type."""
    have, limits = value.bounds(), type_bounds(type_)
    return have is not None and limits is not None and limits[0] <= have[0] and have[1] <= limits[1]


def as_decimal(value: Value) -> Type:
    """The decimal that an exact value counts as in arithmetic; an integer takes the digits of its range."""
    if value.is_decimal:
        return value.type
    lo, hi = value.bounds() or (0, 0)
    return Type("decimal", max(1, len(str(max(abs(int(lo)), abs(int(hi)))))), 0)


def stored_as(value: Value) -> Type:
    """The decimal that engines take an exact value for in arithmetic with decimals: integers by their type, not their range."""
    digits = {"int16": 5, "int32": 10, "int64": 19}
    return value.type if value.is_decimal else Type("decimal", digits.get(value.type.name, 19), 0)


def beyond_38(values: list[Value]) -> int:
    """The digits of the type that holds exact values of these types, where a decimal has fewer; else 0."""
    types = [stored_as(v) for v in values if v.is_exact]
    digits = max((t.precision - t.scale for t in types), default=0) + max((t.scale for t in types), default=0)
    floating = any(v.is_float for v in values)
    return digits if digits > 38 and not floating and any(v.is_decimal for v in values) else 0


def beyond_double(value: Value) -> bool:
    """Whether a decimal without a fraction may have more digits than a double: DuckDB then makes a wrong double of it."""
    bounds = value.bounds() if value.is_decimal and not value.type.scale else None
    return bounds is not None and max(-bounds[0], bounds[1]) > 2**53


def beside_double(values: list[Value]) -> list[bool]:
    """Which values become doubles because another one is a double, and are `beyond_double`."""
    floating = any(v.is_float for v in values)
    return [floating and beyond_double(v) for v in values]


UNKNOWN_VALUE = Value(UNKNOWN)


def either(values: list[Value]) -> Value:
    """What is known of an expression that gives one of `values` (CASE, COALESCE, a set operation)."""
    typed = [v for v in values if v.type.name != "null"]
    if not typed:
        return Value(NULL)
    type_ = typed[0].type
    for value in typed[1:]:
        type_ = common(type_, value.type, typed)
    ends = [v.bounds() or (v.lo, v.hi) for v in typed]
    lows, highs = [e[0] for e in ends if e[0] is not None], [e[1] for e in ends if e[1] is not None]
    return Value(
        type_, nullable=any(v.nullable for v in values),
        lo=min(lows) if len(lows) == len(ends) else None, hi=max(highs) if len(highs) == len(ends) else None,
        ascii=all(v.ascii for v in typed), before_1970=any(v.before_1970 for v in typed),
        event_time=len(typed) == len(values) and all(v.event_time for v in typed), cut=any(v.cut for v in typed),
    )


def common(left: Type, right: Type, values: list[Value]) -> Type:
    """The type that holds both, `UNKNOWN` where there is none."""
    if left == right:
        return left
    names = {left.name, right.name}
    if names <= {*INT_BITS}:
        return max((left, right), key=lambda t: INT_BITS[t.name])
    if "float64" in names and names <= {"float64", "float32", "decimal", *INT_BITS}:
        return FLOAT64
    if names <= {"decimal", *INT_BITS}:
        decimals = [as_decimal(v) for v in values if v.is_exact]
        scale = max(d.scale for d in decimals)
        return Type("decimal", min(38, max(d.precision - d.scale for d in decimals) + scale), scale)
    if names <= {"float32", "decimal", *INT_BITS}:
        return FLOAT32
    if names == {"date", "timestamp"}:
        return TIMESTAMP
    return UNKNOWN


@dataclass(frozen=True)
class Column:
    """One column of a relation and what is known of its values."""

    name: str
    value: Value


@dataclass(frozen=True)
class Relation:
    """A table, view or subquery. `unique`: sets of columns that no two rows share (declared and tested, or from a GROUP BY).

    `static`: it never changes. `rows` bounds a group of it. `open`: it has columns that are not known. `constant`: its rows
    stand in the query. `mixed`: a join mixed the order of its rows. `paced`: its rows come out when the watermark passes them,
    not when they arrive. `first_of`: a ROW_NUMBER column -> its partition.
    """

    columns: tuple[Column, ...]
    unique: tuple[frozenset[str], ...] = ()
    static: bool = False
    rows: int = ROWS_MAX
    constant: bool = False
    open: bool = False
    mixed: bool = False
    paced: bool = False
    first_of: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict, compare=False)

    def column(self, name: str) -> Column | None:
        """The column of that name, in any letter case."""
        lower = name.lower()
        return next((c for c in self.columns if c.name.lower() == lower), None)

    def without_event_time(self) -> Relation:
        """The same relation after a join that mixes the order of its rows."""
        return replace(self, unique=(), mixed=True, columns=tuple(
            Column(c.name, replace(c.value, event_time=False, cut=False)) for c in self.columns))

    def optional(self) -> Relation:
        """The same relation on the side of an outer join that may be absent."""
        return replace(self, columns=tuple(Column(c.name, replace(c.value, nullable=True)) for c in self.columns))


def relation(
    columns: dict[str, Type | Value], *, event_time: str | None = None, unique: tuple[tuple[str, ...], ...] = (),
    static: bool = False, rows: int = ROWS_MAX,
) -> Relation:
    """An input relation: column -> type (nothing else is known) or Value. `event_time` names the column of a stream's time."""
    out = []
    for name, value in columns.items():
        known = value if isinstance(value, Value) else Value(value)
        if event_time and name.lower() == event_time.lower():
            known = replace(known, event_time=True)
        out.append(Column(name, known))
    return Relation(tuple(out), tuple(frozenset(c.lower() for c in key) for key in unique), static, rows)
