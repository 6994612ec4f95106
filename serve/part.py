"""One view's part of a reply: its values and statuses as JSON texts, from a stored row."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.lookup import EXPIRED, MISSING, NULL, OK, STALE, ViewPlan, unreadable
from skewless.types import parse_type

ALWAYS_US = 2**63
PATTERNS_MAX = 4_096
Texts = list[bytes]
Details = dict[str, str]
Raws = Sequence[bytes | None]
Column = tuple[Texts, Texts, Texts, Texts]          # values, statuses, freshness and event time of each row
UNSIGNED = bytes(set(range(256)) - set(b',"n[]\\\n'))
start_of = struct.Struct(">10sq16xB").unpack_from   # what says how a row is read, its event time, and its body's first byte
ROW_BYTES_MIN = 36                                  # a header and an array
BODY_AT, BRACKET, BRACKET_END = 34, 91, 93
KEPT_MAX = 65_536


class RowError(Exception):
    """A row of a column that does not read: SK454, and whose it is."""

    def __init__(self, error: SkewlessError, index: int) -> None:
        super().__init__(str(error))
        self.error, self.index = error, index

    def told(self, where: str) -> SkewlessError:
        """The error, which says where."""
        self.error.fact = where + self.error.fact
        return self.error


class Answer(NamedTuple):
    """Values, statuses, age and event time of one view's row. `doubtful`: some status is one that a definition may refuse."""

    texts: Texts
    statuses: Sequence[str]
    fresh: bytes
    at: bytes
    details: Details | None
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
        limits = [us for us in (vp.ttl_us, *(ttl_us for _, ttl_us in vp.short)) if us is not None]
        self.valid_us = min(limits, default=ALWAYS_US)      # up to this age all values are valid
        self.plain_us = min(self.valid_us, ALWAYS_US if vp.stale_us is None else vp.stale_us)    # and none is stale
        as_stored = vp.picks is None and not self.quoted
        self.identity = vp.reader.identity if as_stored else b""
        self.packed = vp.reader.packed if as_stored else b""
        self.commas = len(vp.view.features) - 1
        self._holes = template(vp.names)
        self._patterns: dict[tuple[int, ...], bytes] = {}
        self._signatures: dict[bytes, bytes] = {}
        self.all_ok = self.join_statuses([OK] * self.n)

    def plain(self, raw: bytes | None, now_us: int) -> tuple[bytes, bytes, int, int] | None:
        """Values, statuses (JSON texts), age and event time of a valid row with nothing more to be said about it, else None."""
        if raw is None or len(raw) < ROW_BYTES_MIN:
            return None
        start, event_us, first = start_of(raw)
        age_us = now_us - event_us
        if not 0 <= age_us <= self.plain_us and (not 0 <= age_us <= self.valid_us or self.vp.is_stale(age_us, now_us)):
            return None
        if start == self.identity:
            if first != BRACKET or raw[-1] != BRACKET_END:
                return None
            inner = raw[35:-1]
        elif start == self.packed:
            try:
                inner = self.vp.reader.transcode(raw[BODY_AT:])[1:-1]
            except ValueError:
                return None
        else:
            return None
        words = self._words(inner)
        return (inner, words, age_us, event_us) if words else None

    def column(self, raws: Raws, now_us: int, ages: list[int], details: list[Details | None]) -> Column:
        """The parts of many rows; `details` gets what is to be said of each, `ages` as in `Reply.many`. Raises RowError."""
        return self._uniform(raws, now_us, ages) or self._mixed(raws, now_us, ages, details)

    def _uniform(self, raws: Raws, now_us: int, ages: list[int]) -> Column | None:
        """`column` where all rows are plain and say so at a glance, else None. Steps over the whole column, not over its rows."""
        try:
            starts, events, firsts = zip(*map(start_of, raws), strict=True)     # type: ignore[arg-type]
        except (TypeError, struct.error):           # no row, or a tombstone
            return None
        oldest_us = now_us - min(events)
        if oldest_us > self.valid_us or max(events) > now_us or self.vp.is_stale(oldest_us, now_us):
            return None
        n = len(raws)
        if starts.count(self.identity) == n and firsts.count(BRACKET) == n:
            inners = [raw[35:-1] for raw in raws]   # type: ignore[index]
        elif starts.count(self.packed) == n:
            transcode = self.vp.reader.transcode
            try:
                inners = [transcode(raw[BODY_AT:])[1:-1] for raw in raws]       # type: ignore[index]
            except ValueError:
                return None
        else:
            return None
        words = self._words_of_all(inners)
        if words is None:
            return None
        mine = [now_us - event_us for event_us in events]
        ages += mine
        fresh = orjson.dumps([age_us // 1000 for age_us in mine])[1:-1].split(b",")     # a fifth of formatting one by one
        values = [self.named_values(inner.split(b",")) for inner in inners] if self.named else inners
        return values, words, fresh, instant_texts(events)

    def _words_of_all(self, inners: Texts) -> Texts | None:
        """`_words` of many rows, by their signatures; None where a row has no such words or a backslash.

        A signature is a row without backslashes, less everything but commas, quotes, brackets and `n`. It says where the values
        are that are `null`: numbers, true and false leave nothing, and quotes still enclose texts. Rows have few signatures.
        """
        whole = b"\n".join(inners)
        signatures = whole.translate(None, UNSIGNED).split(b"\n")
        if b"\\" in whole or len(signatures) != len(inners):
            return None
        words = list(map(self._signatures.get, signatures))
        if None in words:
            words = [self._learn(signature, inner) for signature, inner in zip(signatures, inners, strict=True)]
        return None if b"" in words else words      # type: ignore[return-value]

    def _learn(self, signature: bytes, inner: bytes) -> bytes:
        """The statuses of a row, kept for all rows of its signature."""
        words = self._signatures.get(signature)
        if words is None:
            if len(self._signatures) >= PATTERNS_MAX:
                self._signatures.clear()
            words = self._signatures[signature] = self._words(inner)
        return words

    def _words(self, inner: bytes) -> bytes:
        """The statuses of a valid row, empty where commas are in values."""
        at = inner.find(b"n")           # one byte is found many times as fast as four
        if at >= 0:
            at = inner.find(b"null", at)
        return self.statuses_of(inner, at) if at >= 0 else self.all_ok if inner.count(b",") == self.commas else b""

    def _mixed(self, raws: Raws, now_us: int, ages: list[int], details: list[Details | None]) -> Column:
        """`column` row by row."""
        out: Column = ([], [], [], [])
        values, statuses, fresh, at = out
        for index, raw in enumerate(raws):
            found = self.plain(raw, now_us)
            if found is not None:
                inner, words, age_us, event_us = found
                values.append(self.named_values(inner.split(b",")) if self.named else inner)
                statuses.append(words)
                fresh.append(b"%d" % (age_us // 1000))
                at.append(instant_text(event_us))
                ages.append(age_us)
                continue
            try:
                answer = self.answer(raw, now_us)
            except SkewlessError as error:
                raise RowError(error, index) from None
            values.append(self.join_values(answer.texts))
            statuses.append(self.join_statuses(answer.statuses))
            fresh.append(answer.fresh)
            at.append(answer.at)
            if answer.details is not None:
                details[index] = {**(details[index] or {}), **answer.details}
        return out

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
        stale = vp.is_stale(age_us, now_us)
        texts = self.stale_values if stale and vp.stale == "default" else self.texts(raw)
        statuses = [STALE] * self.n if stale else [NULL if text == b"null" else OK for text in texts]
        details: Details = {}
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
            if (at == 0 or inner[at - 1] == 44) and (at == end or inner[at + 4] == 44):
                commas += inner.count(b",", counted, at)
                counted = at
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


def instant_texts(instants_us: Sequence[int]) -> Texts:
    """`instant_text` of each."""
    found = list(map(_instants.get, instants_us))
    return [instant_text(at_us) for at_us in instants_us] if None in found else found     # type: ignore[return-value]


def instant_text(at_us: int) -> bytes:
    """An instant as a JSON string: whole seconds, else milliseconds, else microseconds."""
    return _instants.get(at_us) or _instant(at_us)


_instants: dict[int, bytes] = {}        # rows that are looked up again and again have the same event times
_minutes: dict[int, bytes] = {}


def _instant(at_us: int) -> bytes:
    seconds, us = divmod(at_us, 1_000_000)
    minutes, second = divmod(seconds, 60)
    minute = _minutes.get(minutes)
    if minute is None:
        if len(_minutes) >= KEPT_MAX:
            _minutes.clear()
        minute = _minutes[minutes] = format_instant(minutes * 60_000_000)[:16].encode()
    if len(_instants) >= KEPT_MAX:
        _instants.clear()
    text = _instants[at_us] = b'"%b:%02d%bZ"' % (minute, second, _fraction(us))
    return text


def _fraction(us: int) -> bytes:
    return b"" if not us else b".%06d" % us if us % 1000 else b".%03d" % (us // 1000)


def _quoter(type_text: str) -> Callable[[bytes], bytes]:
    """What makes strings of an int64's (or an array's) JSON text."""
    if parse_type(type_text).array:
        return lambda text: text if text[:1] != b"[" else orjson.dumps(
            [None if item is None else str(item) for item in orjson.loads(text)]
        )
    return lambda text: text if text == b"null" or text[:1] == b'"' else b'"' + text + b'"'
