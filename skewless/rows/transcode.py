"""A msgpack row's values as the JSON text of the same row: the bytes that `json_encoder` gives value by value, for less.

orjson writes a float that is no whole number and lies between 1e-5 and 1e10 as the row format does; every other float, and every
value whose JSON form is not its msgpack form, is put in its place first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from skewless.registry.model import View
from skewless.rows.values import decoder, json_encoder
from skewless.types import parse_type

AS_IT_IS = ("bool", "int32", "int64", "decimal", "string")
_unpack = msgspec.msgpack.Decoder(list).decode


class Transcoder:
    """For rows of the view's present schema."""

    def __init__(self, view: View) -> None:
        kinds = [parse_type(f.type) for f in view.features]
        self.n = len(kinds)
        self.floats = tuple(i for i, kind in enumerate(kinds) if kind.name == "float64" and not kind.array)
        self.others = tuple(
            (i, _by_value(view.features[i].type)) for i, kind in enumerate(kinds)
            if kind.array or kind.name not in (*AS_IT_IS, "float64")
        )

    def json(self, body: bytes) -> bytes:
        """The JSON array. Raises ValueError for bytes that are no msgpack array of as many values."""
        values = _unpack(body)
        if len(values) != self.n:
            raise ValueError(f"{len(values)} values, not {self.n}")
        for i in self.floats:
            value = values[i]
            if value is not None and (value % 1 == 0 or not 1e-5 <= value < 1e10 and not -1e10 < value <= -1e-5):
                values[i] = _odd_float(value)
        for i, encode in self.others:
            values[i] = encode(values[i])
        return orjson.dumps(values)


_encode_float = json_encoder("float64")


def _odd_float(value: float) -> Any:
    return int(value) if -1e10 < value < 1e10 and value % 1 == 0 else orjson.Fragment(_encode_float(value))


def _by_value(type_text: str) -> Callable[[Any], Any]:
    decode, encode = decoder(type_text, "m"), json_encoder(type_text)
    if decode is None:
        return lambda value: orjson.Fragment(encode(value))
    return lambda value: orjson.Fragment(encode(decode(value)))
