"""What a query gave on Flink: typed columns, and the rows that its changelog leaves."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from skewless.errors import SkewlessError


@dataclass(frozen=True)
class Column:
    """`type` in Flink's spelling without NOT NULL, for example `DECIMAL(10, 2)`; `nullable` as Flink inferred it."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True)
class Result:
    """`rows` are in no order. Values: bool, int, float, Decimal with its scale, str, bytes, date, datetime (naive; with a local
    time zone: aware, in UTC), list, None. A date or instant that Python cannot hold stays Flink's text."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]


def read_changes(folder: Path, columns: tuple[Column, ...]) -> list[tuple[Any, ...]]:
    """The rows that are left after the changes in all files of a folder, which are Debezium JSON; equal rows repeat."""
    left: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        if path.is_file():
            for line in path.read_bytes().split(b"\n")[:-1]:
                change = json.loads(line, parse_float=_Number, parse_int=_Number)
                gone = change["op"] == "d"
                left[json.dumps(change["before" if gone else "after"])] += -1 if gone else 1
    if any(count < 0 for count in left.values()):
        raise SkewlessError("SK802", "Flink took back rows that it had not given", detail=str(folder))
    out = []
    for text, count in left.items():
        raw = json.loads(text)
        out += [tuple(_value(raw[c.name], c.type) for c in columns)] * count
    return out


_DIGITS = Context(prec=100)      # Python's default context has 28 digits, Flink's decimals 38


class _Number(str):
    """A number as it was written."""


def _value(raw: Any, kind: str) -> Any:
    if raw is None:
        return None
    if kind.startswith("ARRAY<"):
        return [_value(item, kind[6:-1].removesuffix(" NOT NULL")) for item in raw]
    family = kind.split("(")[0]
    if family in ("TINYINT", "SMALLINT", "INT", "BIGINT"):
        return int(raw)
    if family in ("FLOAT", "DOUBLE"):
        return float(raw)
    if family == "DECIMAL":
        scale = int(kind.rstrip(")").split(",")[1])
        return _DIGITS.quantize(Decimal(raw), Decimal(1).scaleb(-scale))
    if family in ("BYTES", "VARBINARY", "BINARY"):
        return base64.b64decode(raw)
    if family == "DATE":
        return date.fromisoformat(raw) if len(raw) == 10 else raw
    if family in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        return _instant(raw)
    return raw


_INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?Z?")


def _instant(raw: str) -> Any:
    return datetime.fromisoformat(raw) if _INSTANT.fullmatch(raw) else raw
