"""One view's part of a reply: its values and statuses as JSON texts, from a stored row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.lookup import EXPIRED, MISSING, NULL, OK, STALE, ViewPlan, unreadable
from skewless.types import parse_type

ALWAYS_US = 2**63
PATTERNS_MAX = 4_096
Texts = list[bytes]


class Answer(NamedTuple):
    """Values, statuses, age and event time of one view's row. `doubtful`: some status is one that a definition may refuse."""

    texts: Texts
    statuses: Sequence[str]
    fresh: bytes
    at: bytes
    details: dict[str, str] | None
    doubtful: bool


class ViewPart:
    """What a view's definition and the chosen features decide, once. `named`: values and statuses come with their names."""

    def __init__(self, vp: ViewPlan, int64_as_string: bool, named: bool) -> None:
        self.vp, self.n, self.named = vp, len(vp.names), named
        chosen = range(len(vp.view.features)) if vp.picks is None else vp.picks
        types = [vp.view.features[i].type for i in chosen]
        self.quoted = tuple(
            (i, _quoter(t)) for i, t in enumerate(types) if int64_as_string and parse_type(t).name == "int64"
        )
        self.missing = self._given(vp.defaults)
        self.stale_values = self._given(vp.plain_defaults)
        self.short = tuple((vp.names.index(name), ttl_us) for name, ttl_us in vp.short)
        limits = [us for us in (vp.ttl_us, vp.stale_us, *(ttl_us for _, ttl_us in vp.short)) if us is not None]
        self.plain_us = min(limits, default=ALWAYS_US)      # up to this age nothing depends on it
        as_stored = vp.picks is None and not self.quoted
        self.identity = vp.reader.identity if as_stored else b""
        self.commas = len(vp.view.features) - 1
        self._holes = template(vp.names)
        self._patterns: dict[tuple[int, ...], bytes] = {}
        self.all_ok = self.join_statuses([OK] * self.n)

    def answer(self, raw: bytes | None, now_us: int) -> Answer:
        """By laws 3 and 4. Raises SK454."""
        vp = self.vp
        event_us = vp.event_us(raw)
        if raw is None or event_us is None or event_us > now_us:
            return Answer(self.missing, [MISSING] * self.n, b"null", b"null", None, True)
        age_us = now_us - event_us
        fresh, at = b"%d" % (age_us // 1000), instant_text(event_us)
        if vp.ttl_us is not None and age_us > vp.ttl_us:
            return Answer(self.missing, [MISSING] * self.n, fresh, at, vp.all_expired, True)
        stale = vp.stale_us is not None and age_us > vp.stale_us
        texts = self.stale_values if stale and vp.stale == "default" else self.texts(raw)
        statuses = [STALE] * self.n if stale else [NULL if text == b"null" else OK for text in texts]
        details: dict[str, str] = {}
        for i, ttl_us in self.short:
            if age_us > ttl_us:
                texts = list(texts)
                texts[i], statuses[i], details[vp.names[i]] = self.missing[i], MISSING, EXPIRED
        return Answer(texts, statuses, fresh, at, details or None, stale or bool(details))

    def texts(self, raw: bytes) -> Texts:
        """The chosen values of a row. Raises SK454."""
        try:
            texts = self.vp.reader.texts(raw)
        except (SkewlessError, ValueError, TypeError) as error:
            raise unreadable(self.vp.view, error) from None
        if self.vp.picks is not None:
            texts = [texts[i] for i in self.vp.picks]
        return self._quote(texts) if self.quoted else texts

    def named_values(self, texts: Texts) -> bytes:
        """`"a":1,"b":2` of values in order."""
        holes = self._holes.copy()
        holes[1::2] = texts
        return b"".join(holes)

    def join_values(self, texts: Texts) -> bytes:
        """Values in order, with their names where the part is `named`."""
        return self.named_values(texts) if self.named else b",".join(texts)

    def join_statuses(self, statuses: Sequence[str]) -> bytes:
        """Statuses in order, with their names where the part is `named`."""
        return orjson.dumps(dict(zip(self.vp.names, statuses, strict=True)) if self.named else statuses)[1:-1]

    def statuses_of(self, inner: bytes, at: int) -> bytes:
        """Statuses of a valid row by the NULLs in its values, the first `null` being at `at`; empty where commas are in values.

        A value is NULL where `null` stands between separators; inside of a text another character is next to it.
        """
        nulls, end, commas, counted = [], len(inner) - 4, 0, 0
        while at >= 0:
            commas += inner.count(b",", counted, at)
            counted = at
            if (at == 0 or inner[at - 1] == 44) and (at == end or inner[at + 4] == 44):
                nulls.append(commas)
            at = inner.find(b"null", at + 4)
        if commas + inner.count(b",", counted) != self.commas:
            return b""
        pattern = tuple(nulls)
        found = self._patterns.get(pattern)
        if found is None:
            if len(self._patterns) >= PATTERNS_MAX:
                self._patterns.clear()
            found = self._patterns[pattern] = self.join_statuses([NULL if i in pattern else OK for i in range(self.n)])
        return found

    def _given(self, values: dict[str, Any]) -> Texts:
        return self._quote([orjson.dumps(value) for value in values.values()])

    def _quote(self, texts: Texts) -> Texts:
        for i, quote in self.quoted:
            texts[i] = quote(texts[i])
        return texts


def template(names: Sequence[str]) -> Texts:
    """`"a":`, hole, `,"b":`, hole …: the texts of an object's inside, whose values go to the odd places."""
    out: Texts = []
    for i, name in enumerate(names):
        out += [(b"," if i else b"") + orjson.dumps(name) + b":", b""]
    return out


def instant_text(at_us: int) -> bytes:
    """An instant as a JSON string."""
    minutes, us = divmod(at_us, 60_000_000)
    if us % 1_000_000 == 0:
        return b'"%b:%02dZ"' % (_minute(minutes), us // 1_000_000)
    if us % 1000 == 0:
        return b'"%b:%02d.%03dZ"' % (_minute(minutes), us // 1_000_000, us // 1000 % 1000)
    return b'"%b:%02d.%06dZ"' % (_minute(minutes), us // 1_000_000, us % 1_000_000)


@lru_cache(maxsize=65_536)
def _minute(minutes: int) -> bytes:
    return format_instant(minutes * 60_000_000)[:16].encode()


def _quoter(type_text: str) -> Callable[[bytes], bytes]:
    """What makes strings of an int64's (or an array's) JSON text."""
    if parse_type(type_text).array:
        return lambda text: text if text[:1] != b"[" else orjson.dumps(
            [None if item is None else str(item) for item in orjson.loads(text)]
        )
    return lambda text: text if text == b"null" or text[:1] == b'"' else b'"' + text + b'"'
