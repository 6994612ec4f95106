"""Instants of JSON messages: what is read by its parts, on real Flink, is what Flink's own cast reads."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

from skewless.conformance.engines import Flink
from skewless.conformance.table import Table
from skewless.conformance.values import Rows
from skewless.stream import scalars
from skewless.types import parse_type

INSTANTS = 100_000 if os.environ.get("SKEWLESS_SOAK") else 2_000
STRANGE = (
    "2013-02-28T23:59:59.999Z", "2013-02-29T00:00:00", "2013-02-30 00:00:00", "2024-02-29T12:00:00", "1900-02-28 00:00:00.001",
    "2013-04-30T10:00:00.120Z", "2013-04-31T10:00:00", "2013-12-31T23:59:59.999", "2013-12-31T24:00:00", "2013-12-31T24:00:01",
    "2013-01-01T00:60:00", "2013-01-01T00:00:60", "2013-01-01T00:00:00\n", "2013-01-01T00:00:00.123\n", "2013-01-01T00:00:00Z\n",
    "2013-01-01T00:00:00.1", "2013-01-01T00:00:00.12Z", "2013-01-01T00:00:00.1234", "2013-01-01T00:00:00.123456Z",
    "2013-01-01T00:00:00.1234567", "2013-01-01T00:00:00,123", "2013-01-01t00:00:00z", "2013-01-01 00:00:00+00:00", "2013-01-01",
    "2013-01-01T00:00", "0000-01-01T00:00:00", "0001-01-01T00:00:00", "1582-10-10T00:00:00.5", "1899-12-31T23:59:59",
    "2999-12-31T23:59:59.999", "9999-12-31T23:59:59.999", "12013-01-01T00:00:00", " 2013-01-01T00:00:00", "2013-01-01T00:00:00 ",
    "2013-00-10T00:00:00", "2013-10-00T00:00:00", "2013-13-10T00:00:00", "２０13-01-01T00:00:00", "", "T", "-0", "null",
)


def _instants(count: int) -> list[str]:
    """Instants around the plain ones: any day of two centuries, in each spelling, a third of them with one character changed."""
    chance, out = random.Random(5), list[str]()
    for _ in range(count):
        moment = datetime(1890, 1, 1) + timedelta(milliseconds=chance.randrange(220 * 366 * 86_400_000))
        text = moment.isoformat(chance.choice("T "), chance.choice(("seconds", "milliseconds", "microseconds")))
        text += chance.choice(("", "Z"))
        if chance.random() < 0.3:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice("0123456789-:. TZ") + text[at + chance.choice((0, 1)):]
        out.append(text)
    return out


def test_a_plain_instant_is_what_the_cast_makes_of_it(flink: Flink) -> None:
    texts = [*STRANGE, *_instants(INSTANTS)]
    table = Table({"n": parse_type("int64"), "x": parse_type("string")}, [*enumerate(texts), (len(texts), None)])
    queries = [
        f"SELECT `n`, {scalars.from_text('`x`', parse_type('timestamp'), digits)} AS `read`, "
        f"{scalars._by_cast('`x`', digits)} AS `cast` FROM `t`" for digits in (3, 6)
    ]
    for answer in flink.run_many({"t": table}, queries):
        assert isinstance(answer, Rows), answer
        assert len(answer.rows) == len(table.rows)
        assert [row for row in answer.rows if row[1] != row[2]] == []
        assert sum(read is not None for _, read, _ in answer.rows) > len(texts) / 3


def test_nearly_all_instants_are_plain(flink: Flink) -> None:
    first = datetime(2023, 1, 1, 13, 14, 15, 678_000)
    texts = [(first + timedelta(days=n)).isoformat(timespec="milliseconds") for n in range(365)]
    table = Table({"n": parse_type("int64"), "x": parse_type("string")}, list(enumerate(texts)))
    answer = flink.run({"t": table}, f"SELECT `n` FROM `t` WHERE REGEXP(`x`, '{scalars._PLAIN_INSTANT}')")
    assert len(answer.rows) == len(texts)
