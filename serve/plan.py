"""Replies compiled: what of a reply depends only on the snapshot and the request's shape is bytes before the first row is read.

    compiled(plan, compact, int64_as_string)   -> Reply, made once for each plan and form
    Reply.one(rows, now_us, head)              -> the body for one entity
    Reply.many(rows, now_us)                   -> the body for a batch

Values are slices of the stored rows. Equal, byte for byte, to a reply made value by value; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson

from skewless.clock import format_instant
from skewless.errors import SkewlessError
from skewless.lookup import EXPIRED, MISSING, NULL, OK, STALE, Plan, ViewPlan, unreadable
from skewless.rows import HEADER_SIZE
from skewless.rows.row import LAYOUT
from skewless.types import parse_type

MAGIC = (b"Sj", b"Sm")
Raws = Sequence[bytes | None]
Texts = list[bytes]
unpack = LAYOUT.unpack_from


class ViewPart:
    """One view's values and statuses as JSON texts, in the plan's order of that view's features."""

    def __init__(self, vp: ViewPlan, int64_as_string: bool) -> None:
        self.vp, self.n = vp, len(vp.names)
        chosen = range(len(vp.view.features)) if vp.picks is None else vp.picks
        types = [vp.view.features[i].type for i in chosen]
        quoted = {i: _quoter(t) for i, t in enumerate(types) if int64_as_string and parse_type(t).name == "int64"}
        self.quoted = tuple(quoted.items())
        self.missing = self._given(vp.defaults)
        self.stale_values = self._given(vp.plain_defaults)
        self.short = tuple((vp.names.index(name), ttl_us) for name, ttl_us in vp.short)
        self.ttl_us, self.stale_us = vp.ttl_us, vp.stale_us
        self.replaces_stale = vp.stale == "default"

    def _given(self, values: dict[str, Any]) -> Texts:
        return self._quote([orjson.dumps(value) for value in values.values()])

    def _quote(self, texts: Texts) -> Texts:
        for i, quote in self.quoted:
            texts[i] = quote(texts[i])
        return texts

    def texts(self, raw: bytes) -> Texts:
        """The chosen values of a row. Raises SK454."""
        try:
            texts = self.vp.reader.texts(raw)
        except (SkewlessError, ValueError, TypeError) as error:
            raise unreadable(self.vp.view, error) from None
        if self.vp.picks is not None:
            texts = [texts[i] for i in self.vp.picks]
        return self._quote(texts) if self.quoted else texts


class Reply:
    """One plan in one form. Immutable but for its cached texts, so all requests share it."""

    def __init__(self, plan: Plan, compact: bool, int64_as_string: bool) -> None:
        self.plan, self.compact, self.int64_as_string = plan, compact, int64_as_string
        self.parts = tuple(ViewPart(vp, int64_as_string) for vp in plan.views)
        self.width = len(self.parts)
        names = [name for vp in plan.views for name in vp.names]
        self.order = None if plan.grouped else tuple(names.index(name) for name in plan.names)
        self.labels = tuple(vp.label for vp in plan.views)
        self.refuses = any(vp.refuses or vp.stale == "error" for vp in plan.views)
        self.all_ok = [[OK] * part.n for part in self.parts]
        self._names, self._flat_names = tuple(plan.names), tuple(names)
        self._object = template(plan.names)
        self._view_object = template(self.labels)
        self._ok = self._statuses([OK] * len(names))
        version = orjson.dumps(plan.version)
        tail = b',"deprecation":' + orjson.dumps(plan.deprecation) if plan.deprecation else b""
        self._tail = b',"version":' + version + tail + b"}}"
        self._head = (
            b'"names":' + orjson.dumps(plan.names) + b',"views":' + orjson.dumps(self.labels)
            + b',"version":' + orjson.dumps([plan.version[label] for label in self.labels]) + tail
        )

    def one(self, raws: Raws, now_us: int, entity: bytes = b"", sources: Sequence[str] | None = None) -> bytes:
        """The body for one entity; `entity` is the JSON of `entity_id` in a reply that has it. Raises SK410, SK422, SK423, SK454.

        `sources` says for each view where its row came from; it is `metadata.cache` then.
        """
        self.plan.check_sunset(now_us)
        head = b'{"entity_id":' + entity + b"," if entity else b"{"
        if self.compact:
            return b"".join([head, self._head, b",", *self._compact(raws, now_us, sources), b"}"])
        return b"".join(self._full(head, raws, now_us, sources, bool(entity)))

    def many(self, raws: Raws, now_us: int, sources: Sequence[str] | None = None) -> bytes:
        """The body for a batch: `width` rows for each entity. Errors name the entity's index."""
        self.plan.check_sunset(now_us)
        width, out = self.width, []
        for at in range(0, len(raws), width):
            some = None if sources is None else sources[at : at + width]
            try:
                if self.compact:
                    out.append(b"".join([b"{", *self._compact(raws[at : at + width], now_us, some), b"}"]))
                else:
                    out.append(b"".join(self._full(b"{", raws[at : at + width], now_us, some, False)))
            except SkewlessError as error:
                error.fact = f"entities[{at // width}]: {error.fact}"
                raise
        head = b"{" + self._head + b"," if self.compact else b"{"
        return head + b'"results":[' + b",".join(out) + b"]}"

    def _full(self, head: bytes, raws: Raws, now_us: int, sources: Sequence[str] | None, single: bool) -> Texts:
        values, statuses, fresh, at, detail = self._answer(raws, now_us)
        if self.order is not None:
            values = [values[i] for i in self.order]
        features = self._object.copy()
        features[1::2] = values
        event = [b',"event_timestamp":', at[0]] if single else []
        seconds = [b',"cache":', orjson.dumps(dict(zip(self.labels, sources, strict=True)))] if sources is not None else []
        return [
            head, b'"features":', *features, *event, b',"metadata":{"freshness_ms":', fill(self._view_object, fresh),
            b',"status":', self._ok if statuses is None else self._statuses(statuses), b',"detail":', detail,
            b',"event_timestamp":', fill(self._view_object, at), *seconds, self._tail,
        ]

    def _compact(self, raws: Raws, now_us: int, sources: Sequence[str] | None) -> Texts:
        values, statuses, fresh, at, detail = self._answer(raws, now_us)
        if self.order is not None:
            values = [values[i] for i in self.order]
        more = [b',"detail":', detail] if detail != b"{}" else []
        more += [b',"cache":', orjson.dumps(list(sources))] if sources is not None else []
        return [
            b'"values":[', b",".join(values), b'],"status":', self._ok if statuses is None else self._statuses(statuses),
            b',"freshness_ms":[', b",".join(fresh), b'],"event_timestamp":[', b",".join(at), b"]", *more,
        ]

    def _statuses(self, statuses: Sequence[str]) -> bytes:
        """Statuses by view -> the JSON of `status`."""
        ordered = statuses if self.order is None else [statuses[i] for i in self.order]
        return orjson.dumps(ordered if self.compact else dict(zip(self._names, ordered, strict=True)))

    def _answer(self, raws: Raws, now_us: int) -> tuple[Texts, list[str] | None, Texts, Texts, bytes]:
        """Values and statuses by view (None: all ok), freshness and event time of each view, and `detail`. Laws 3 and 4."""
        values: Texts = []
        fresh, at = [], []
        changed: dict[int, list[str]] = {}
        details: dict[str, str] = {}
        for i, part in enumerate(self.parts):
            raw = raws[i]
            if raw is None or (event_us := event_of(part, raw, now_us)) is None:
                values += part.missing
                changed[i] = [MISSING] * part.n
                fresh.append(b"null")
                at.append(b"null")
                continue
            age_us = now_us - event_us
            fresh.append(b"%d" % (age_us // 1000))
            at.append(instant_text(event_us))
            if part.ttl_us is not None and age_us > part.ttl_us:
                values += part.missing
                changed[i] = [MISSING] * part.n
                details.update(part.vp.all_expired)
                continue
            texts, statuses = self._row(part, raw, age_us, details)
            values += texts
            if statuses is not None:
                changed[i] = statuses
        flat = [s for i, ok in enumerate(self.all_ok) for s in changed.get(i, ok)] if changed else None
        if flat is not None and self.refuses:
            self.plan.check_refusals(flat)
        return values, flat, fresh, at, orjson.dumps(details) if details else b"{}"

    def _row(self, part: ViewPart, raw: bytes, age_us: int, details: dict[str, str]) -> tuple[Texts, list[str] | None]:
        """Texts and statuses (None: all ok) of a row that its view's ttl holds valid."""
        statuses = None
        if part.stale_us is not None and age_us > part.stale_us:
            texts = part.stale_values if part.replaces_stale else part.texts(raw)
            statuses = [STALE] * part.n
        else:
            texts = part.texts(raw)
            if b"null" in texts:
                statuses = [NULL if text == b"null" else OK for text in texts]
        for i, ttl_us in part.short:
            if age_us > ttl_us:
                statuses = list(statuses or [OK] * part.n)
                texts = list(texts)
                texts[i], statuses[i] = part.missing[i], MISSING
                details[part.vp.names[i]] = EXPIRED
        return texts, statuses


def compiled(plan: Plan, compact: bool, int64_as_string: bool) -> Reply:
    """The plan's reply in that form; kept with the plan."""
    key = (compact, int64_as_string)
    reply: Reply | None = plan.compiled.get(key)
    if reply is None:
        reply = plan.compiled[key] = Reply(plan, compact, int64_as_string)
    return reply


def event_of(part: ViewPart, raw: bytes, now_us: int) -> int | None:
    """Event time of a stored row; None for a tombstone and for one of the future. Raises SK454."""
    if len(raw) <= HEADER_SIZE or raw[:2] not in MAGIC:
        event_us = part.vp.event_us(raw)
    else:
        event_us = unpack(raw)[2]
    return None if event_us is None or event_us > now_us else event_us


def template(names: Sequence[str]) -> Texts:
    """`{"a":`, hole, `,"b":`, hole … `}`: the texts of an object whose values go to the odd places."""
    out: Texts = []
    for i, name in enumerate(names):
        out += [(b"," if i else b"{") + orjson.dumps(name) + b":", b""]
    return [*out, b"}"] if names else [b"{", b"}"]


def fill(holes: Texts, values: Sequence[bytes]) -> bytes:
    """The object of a template."""
    out = holes.copy()
    out[1::2] = values
    return b"".join(out)


@lru_cache(maxsize=65_536)
def instant_text(at_us: int) -> bytes:
    """An instant as a JSON string."""
    return b'"' + format_instant(at_us).encode() + b'"'


def _quoter(type_text: str) -> Callable[[bytes], bytes]:
    """What makes strings of an int64's (or an array's) JSON text."""
    if parse_type(type_text).array:
        return lambda text: text if text[:1] != b"[" else orjson.dumps(
            [None if item is None else str(item) for item in orjson.loads(text)]
        )
    return lambda text: text if text == b"null" or text[:1] == b'"' else b'"' + text + b'"'
