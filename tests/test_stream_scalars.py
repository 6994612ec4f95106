"""Days and instants of JSON messages on real Flink: what they mean by the calendar, read by their parts or by Flink's cast."""

from __future__ import annotations

import os
import random
import re
from datetime import date, datetime, timedelta

from skewless.conformance.engines import Flink
from skewless.conformance.table import Table
from skewless.conformance.values import Rows, canonical
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


def _meant(text: str, digits: int) -> datetime | None:
    found = re.fullmatch(rf"(\d{{4}})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{{1,{digits}}}))?Z?", text, re.ASCII)
    if found is None:
        return None
    *parts, fraction = found.groups(default="")
    try:
        return datetime(*map(int, parts), microsecond=int(fraction.ljust(6, "0") or 0))     # type: ignore[misc,arg-type]
    except ValueError:
        return None


def _read(flink: Flink, texts: list[str], read: list[str]) -> list[tuple[str, ...]]:
    table = Table({"n": parse_type("int64"), "x": parse_type("string")}, [*enumerate(texts), (len(texts), None)])
    answer = flink.run({"t": table}, f"SELECT `n`, {', '.join(read)} FROM `t`")
    assert isinstance(answer, Rows), answer
    rows = sorted(answer.rows, key=lambda row: int(str(row[0])[2:]))
    assert len(rows) == len(texts) + 1 and set(rows[-1][1:]) == {None}
    return [row[1:] for row in rows[:-1]]


def test_an_instant_is_the_one_of_the_calendar_or_none(flink: Flink) -> None:
    texts = [*STRANGE, *_instants(INSTANTS)]
    for digits in (3, 6):
        ways = [scalars.from_text("`x`", parse_type("timestamp"), digits), scalars._by_cast("`x`", digits)]
        found = _read(flink, texts, [f"{way} AS `way{n}`" for n, way in enumerate(ways)])
        meant = [canonical(_meant(text, digits)) for text in texts]
        assert [(text, row) for text, row, one in zip(texts, found, meant, strict=True) if row != (one, one)] == []
        assert sum(one is not None for one in meant) > len(texts) / 3


def test_a_day_is_one_of_the_calendar_or_none(flink: Flink) -> None:
    days = [(date(1895, 12, 31) + timedelta(days=37 * n)).isoformat() for n in range(3000)]
    wrong = ["2013-02-29", "2013-02-30", "1900-02-29", "2013-04-31", "2013-1-5", "2013-01-05 ", "2013-01-05\n", "0000-01-01", "x"]
    right = ["2000-02-29", "2024-02-29", "0001-01-01", "9999-12-31"]
    found = _read(flink, [*days, *right, *wrong], [f"{scalars.from_text('`x`', parse_type('date'), 3)} AS `day`"])
    assert [day for day, in found] == [*(canonical(date.fromisoformat(day)) for day in (*days, *right)), *[None] * len(wrong)]


def test_nearly_all_instants_are_plain(flink: Flink) -> None:
    first = datetime(2023, 1, 1, 13, 14, 15, 678_000)
    texts = [(first + timedelta(days=n)).isoformat(timespec="milliseconds") for n in range(365)]
    table = Table({"n": parse_type("int64"), "x": parse_type("string")}, list(enumerate(texts)))
    answer = flink.run({"t": table}, f"SELECT `n` FROM `t` WHERE REGEXP(`x`, '{scalars._PLAIN_INSTANT}')")
    assert len(answer.rows) == len(texts)
