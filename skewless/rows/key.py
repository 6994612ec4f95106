"""The Redis key of a row: `<namespace>:{<entity>|<key 1>|<key 2>}:<view>@<version>`.

Every part of the braces is percent-encoded (all bytes of the UTF-8 text but A-Z a-z 0-9 _ . - ~), so distinct keys of an entity
never collide and all views of an entity share one Cluster slot.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from skewless.clock import EPOCH, format_instant, parse_instant
from skewless.errors import SkewlessError
from skewless.registry.model import View
from skewless.rows.values import INT_BOUNDS, check_day, check_instant, check_int, misfit
from skewless.types import parse_type


def row_key(namespace: str, view: View, values: Sequence[Any]) -> bytes:
    """The key of the entity whose join keys have these values, in declared order, as `parse_key` gives them.

    Raises SK302 for a value of another type, SK303 for None.
    """
    parts = [quote(view.entity, safe="")]
    for join_key, value in zip(view.join_keys, values, strict=True):
        parts.append(key_part(join_key.type, value, join_key.name))
    return f"{namespace}:{{{'|'.join(parts)}}}{key_suffix(view)}".encode()


PLAIN_CHARS_MAX = 500


class KeyMaker:
    """`parse_key` and `row_key` of one entity's keys, with everything that depends only on the definitions computed once."""

    def __init__(self, namespace: str, view: View) -> None:
        self.names = view.key_names
        self._types = tuple(k.type for k in view.join_keys)
        self._head = f"{namespace}:{{{quote(view.entity, safe='')}"
        self._plain = tuple(_PLAIN.get(parse_type(t).name) for t in self._types)

    def stem(self, values: Mapping[str, Any]) -> bytes | None:
        """The key up to and with the closing brace, from texts or JSON values; None where one is None. Raises SK301."""
        text = self._head
        for name, type_, plain in zip(self.names, self._types, self._plain, strict=True):
            value = values[name]
            if value is None:
                return None
            part = plain(value) if plain is not None else None
            if part is None:
                try:
                    part = key_part(type_, parse_key(type_, value))
                except SkewlessError as error:
                    fact = error.fact if len(error.fact) <= 200 else error.fact[:200] + "…"
                    raise SkewlessError(error.code, f'join key "{name}": {fact}', detail=error.detail, hint=error.hint) from None
            text += "|" + part
        return (text + "}").encode()


    def plain_stems(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes] | None:
        """`stem` of each where there is one join key and all values are written as they are; else None."""
        (name,), (kind,) = self.names, self._plain
        values: list[Any] = [one.get(name) for one in entities]
        if kind is _plain_int:
            if set(map(type, values)) != {int} or min(values) < -(2**31) or max(values) >= 2**31:
                return None
        elif kind is not _plain_text or set(map(type, values)) != {str} or not all(values):
            return None
        else:
            together = "".join(values)
            if not together.isascii() or not together.isalnum() or max(map(len, values)) > PLAIN_CHARS_MAX:
                return None
        return "\n".join([f"{self._head}|{value}}}" for value in values]).encode().split(b"\n")


def _plain_text(value: Any) -> str | None:
    return value if type(value) is str and value.isascii() and value.isalnum() else None


def _plain_int(value: Any) -> str | None:
    return str(value) if type(value) is int and -(2**31) <= value < 2**31 else None


_PLAIN: dict[str, Callable[[Any], str | None]] = {"string": _plain_text, "int32": _plain_int, "int64": _plain_int}


def key_suffix(view: View) -> str:
    """What ends every key of the view: `:<view>@<version>`."""
    return f":{view.name}@{view.version}"


def key_part(type_text: str, value: Any, name: str = "") -> str:
    """One join key's value, percent-encoded. Raises SK302, SK303."""
    if value is None:
        raise null_key(name)
    return quote(key_text(type_text, value), safe="")


def null_key(name: str) -> SkewlessError:
    """SK303 for one join key column."""
    return SkewlessError("SK303", f'join key "{name}" is NULL', hint="An entity is named by a value for each of its join keys.")


def key_text(type_text: str, value: Any) -> str | bytes:
    """A join key's value before percent-encoding: digits, true or false, ISO date, RFC 3339 UTC, the text or bytes themselves."""
    kind = parse_type(type_text)
    if kind.name in INT_BOUNDS:
        return str(check_int(kind, value))
    if kind.name == "date":
        return check_day(value).isoformat()
    if kind.name == "timestamp":
        return format_instant(check_instant(value))
    expected = {"bool": bool, "string": str, "bytes": bytes}.get(kind.name)
    if expected is None or not isinstance(value, expected):
        raise misfit(type_text, value)
    return value if isinstance(value, (str, bytes)) else str(value).lower()


def parse_key(type_text: str, value: Any) -> Any:
    """A join key as text (URL, command line) or JSON value -> the Python value that `row_key` takes. Raises SK301.

    Text is read by type; bytes are base64; a JSON number is taken for integers only.
    """
    kind = parse_type(type_text)
    try:
        if isinstance(value, str):
            return _READ[kind.name](value)
        if kind.name in INT_BOUNDS:
            return check_int(kind, value)
        if kind.name == "bool" and isinstance(value, bool):
            return value
        return _as_is(kind.name, value)
    except (ValueError, KeyError, SkewlessError):
        shown = value if isinstance(value, str) else repr(value)
        raise SkewlessError("SK301", f'"{shown}" is not a join key of type {type_text}') from None


def _as_is(name: str, value: Any) -> Any:
    """A Python value that is already typed."""
    if name == "bytes" and isinstance(value, bytes):
        return value
    if name == "date":
        return check_day(value)
    if name == "timestamp":
        return EPOCH + timedelta(microseconds=check_instant(value))
    raise ValueError


def _read_int(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return read


def _read_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None


_READ: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int32": _read_int(*INT_BOUNDS["int32"]),
    "int64": _read_int(*INT_BOUNDS["int64"]),
    "string": lambda text: text,
    "bytes": _read_bytes,
    "date": date.fromisoformat,
    "timestamp": lambda text: EPOCH + timedelta(microseconds=parse_instant(text)),
}
