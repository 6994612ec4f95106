"""Results in a canonical form in which equal means equal in every bit, and their comparison as multisets of rows.

A cell is text: a letter for the type family, a colon, the value. `i` integer of any width · `d` and `f` the bits of a 64 and of a
32 bit float, NaN as one · `n` decimal with its scale · `s` string · `b` boolean · `y` bytes · `D` date · `T` and `Z` microseconds
since 1970 without and with a zone · `a` array · `o` anything else. NULL is None.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

Cell = str | None
Level = Literal["agree", "value"]
_EPOCH = datetime(1970, 1, 1)
_NAN = {"d": "7ff8000000000000", "f": "7fc00000"}


@dataclass(frozen=True)
class Rows:
    """A result: column names, each column's type as its engine calls it, and canonical rows in no order."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Mismatch:
    """One difference. `what`: `columns` (another number of them), `missing` (a row of the left is not right), `extra`, or `value`
    (a row differs in the column of that name). `left` and `right` hold the cells, or the whole row."""

    what: Literal["columns", "missing", "extra", "value"]
    column: str
    row: tuple[Cell, ...]
    left: Any
    right: Any


def canonical(value: Any, *, single: bool = False) -> Cell:
    """The cell of a Python value; `single` tells that a float is one of 32 bits."""
    if value is None:
        return None
    if isinstance(value, bool):
        return f"b:{str(value).lower()}"
    if isinstance(value, int):
        return f"i:{value}"
    if isinstance(value, float):
        return _float(value, "f" if single else "d")
    if isinstance(value, Decimal):
        return f"n:{value:f}" if value.is_finite() else f"n:{value}"
    if isinstance(value, str):
        return f"s:{value}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"y:{bytes(value).hex()}"
    if isinstance(value, datetime):
        zone = value.tzinfo is not None
        naive = value.astimezone(UTC).replace(tzinfo=None) if zone else value
        return f"{'Z' if zone else 'T'}:{(naive - _EPOCH) // timedelta(microseconds=1)}"
    if isinstance(value, date):
        return f"D:{value.isoformat()}"
    if isinstance(value, list | tuple):
        return "a:[" + ", ".join("NULL" if v is None else str(canonical(v, single=single)) for v in value) + "]"
    return f"o:{value}"


def _float(value: float, family: str) -> str:
    if value != value:
        return f"{family}:{_NAN[family]}"
    return f"{family}:{struct.pack('>d' if family == 'd' else '>f', value).hex()}"


def compare(left: Rows, right: Rows, *, level: Level = "agree", key: Sequence[str] = ()) -> list[Mismatch]:
    """How two results differ as multisets of rows; empty when they do not.

    `agree` asks for the same family and the same bits in every cell; `value` for the same numbers, whatever their type, and the
    same instants with or without zone. Columns are matched by place, not by name. `key` (columns of the left) pairs rows that
    differ; without it they are paired by likeness.
    """
    if len(left.columns) != len(right.columns):
        return [Mismatch("columns", "", (), left.columns, right.columns)]
    norm = (lambda row: row) if level == "agree" else (lambda row: tuple(_loose(cell) for cell in row))
    ours, theirs = Counter(map(norm, left.rows)), Counter(map(norm, right.rows))
    only_left, only_right = sorted((ours - theirs).elements(), key=_order), sorted((theirs - ours).elements(), key=_order)
    return _paired(left.columns, only_left, only_right, [left.columns.index(name) for name in key])


def _paired(
    columns: tuple[str, ...], left: list[tuple[Cell, ...]], right: list[tuple[Cell, ...]], key: list[int]
) -> list[Mismatch]:
    out: list[Mismatch] = []
    free = list(right)
    for row in left:
        other = next((r for r in free if all(r[i] == row[i] for i in key)), None) if key else _likest(row, free)
        if other is None:
            out.append(Mismatch("missing", "", row, row, None))
            continue
        free.remove(other)
        out += [Mismatch("value", columns[i], row, a, b) for i, (a, b) in enumerate(zip(row, other, strict=True)) if a != b]
    return out + [Mismatch("extra", "", row, None, row) for row in free]


def _likest(row: tuple[Cell, ...], rows: list[tuple[Cell, ...]]) -> tuple[Cell, ...] | None:
    """The row with the most equal cells: among the first ones only, since many differences need no best pairing."""
    return max(rows[:200], key=lambda other: sum(a == b for a, b in zip(row, other, strict=True)), default=None)


def _order(row: tuple[Cell, ...]) -> list[tuple[bool, str]]:
    return [(cell is not None, cell or "") for cell in row]


def _loose(cell: Cell) -> Cell:
    """The cell without its numeric type: what stays is the exact number, or the instant."""
    if cell is None or cell[0] not in "idfnZ":
        return cell
    family, text = cell[0], cell[2:]
    if family == "Z":
        return f"T:{text}"
    if family in "df":
        number = struct.unpack(">d" if family == "d" else ">f", bytes.fromhex(text))[0]
        if number != number or number in (float("inf"), float("-inf")):
            return f"#:{number}"
        return f"#:{_plain(Decimal(number))}"
    exact = Decimal(text)
    return f"#:{_plain(exact)}" if exact.is_finite() else f"#:{float(exact)}"


def _plain(number: Decimal) -> str:
    """Every digit, without trailing zeros and without an exponent."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
