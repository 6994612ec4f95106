"""Replies compiled: what of a reply depends only on the snapshot and the request's shape is bytes before the first row is read.

    compiled(plan, compact, int64_as_string)   -> Reply, made once for each plan and form
    Reply.one(rows, now_us, entity)            -> the body for one entity
    Reply.many(rows, now_us)                   -> the body for a batch

Values are slices of the stored rows. Equal, byte for byte, to a reply made value by value; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

import orjson

from skewless.errors import SkewlessError
from skewless.lookup import Plan
from skewless.serve.part import Answer, Details, Raws, RowError, Texts, ViewPart, instant_text


class Reply:
    """One plan in one form. Immutable but for its cached texts, so all requests share it."""

    def __init__(self, plan: Plan, compact: bool, int64_as_string: bool) -> None:
        self.plan, self.compact = plan, compact
        self.parts = tuple(ViewPart(vp, int64_as_string, named=plan.grouped and not compact) for vp in plan.views)
        self.width = len(self.parts)
        names = [name for vp in plan.views for name in vp.names]
        self.order = None if plan.grouped else tuple(names.index(name) for name in plan.names)
        self.labels = tuple(vp.label for vp in plan.views)
        self.refuses = any(vp.refuses or vp.stale == "error" for vp in plan.views)
        tail = b',"deprecation":' + orjson.dumps(plan.deprecation) if plan.deprecation else b""
        version = orjson.dumps(plan.version)
        self._head = (
            b'"names":' + orjson.dumps(plan.names) + b',"views":' + orjson.dumps(self.labels)
            + b',"version":' + orjson.dumps([plan.version[label] for label in self.labels]) + tail
        )
        self._once = self._head + b"," if compact else b""
        self._tail = b',"version":' + version + tail + b"}}"
        self._entity = self._compact_form() if compact else self._full_form()

    def one(
        self, raws: Raws, now_us: int, entity: bytes = b"", sources: Sequence[str] | None = None, ages: list[int] | None = None
    ) -> bytes:
        """The body for one entity; `entity` is the JSON of `entity_id` in a reply that has it. Raises SK410, SK422, SK423, SK454.

        `sources` says for each view where its row came from; it is `metadata.cache` then. `ages` is filled as `many` does it.
        """
        if self.plan.sunset_us is not None:
            self.plan.check_sunset(now_us)
        found = self._segments(raws, now_us, [] if ages is None else ages) if self.order is None else self._ordered(raws, now_us)
        head = b'{"entity_id":%b,' % entity if entity else b"{"
        return b"".join((head, self._once, *self._form(*found, entity, sources)))

    def many(self, raws: Raws, now_us: int, sources: Sequence[str] | None = None, ages: list[int] | None = None) -> bytes:
        """The body for a batch: `width` rows for each entity. Errors name the entity's index.

        `ages` gets the age of each row, view by view, that is valid with nothing to be said about it: where it ends as long as
        `raws`, every row is.
        """
        self.plan.check_sunset(now_us)
        head = b"".join((b"{", self._head, b',"results":[')) if self.compact else b'{"results":['
        if self.order is None and sources is None and raws and not self.refuses:
            return self._columns(head, raws, now_us, [] if ages is None else ages)
        width, out, some = self.width, [], None
        for at in range(0, len(raws), width):
            if sources is not None:
                some = sources[at : at + width]
            try:
                out.append(b"{" + self._each(raws[at : at + width], now_us, some))
            except SkewlessError as error:
                error.fact = f"entities[{at // width}]: {error.fact}"
                raise
        return b"".join((head, b",".join(out), b"]}"))

    def _each(self, raws: Raws, now_us: int, sources: Sequence[str] | None) -> bytes:
        """One entity's object in a batch, without its opening brace."""
        found = self._segments(raws, now_us, []) if self.order is None else self._ordered(raws, now_us)
        return b"".join(self._form(*found, b"", sources))

    def _form(
        self, values: Texts, statuses: Texts, fresh: Texts, at: Texts, details: Details, entity: bytes,
        sources: Sequence[str] | None,
    ) -> Texts:
        """One entity's object without its opening brace, in pieces."""
        pieces = self._entity.copy()
        if self.compact:
            more = b',"detail":' + orjson.dumps(details) if details else b""
            if sources is not None:
                more += b',"cache":' + orjson.dumps(list(sources))
            pieces[1::2] = (*values, *statuses, *fresh, *at, more)
            return pieces
        event = b',"event_timestamp":' + at[0] if entity else b""
        detail = orjson.dumps(details) if details else b"{}"
        cache = b"" if sources is None else b',"cache":' + orjson.dumps(dict(zip(self.labels, sources, strict=True)))
        pieces[1::2] = (*values, event, *fresh, *statuses, detail, *at, cache)
        return pieces

    def _columns(self, head: bytes, raws: Raws, now_us: int, ages: list[int]) -> bytes:
        """A batch view by view, then put together entity by entity: what a row costs is what is in it."""
        width, n = self.width, len(raws) // self.width
        details: list[Details | None] = [None] * n
        try:
            columns = [part.column(raws[i::width], now_us, ages, details) for i, part in enumerate(self.parts)]
        except RowError as error:
            raise error.told(f"entities[{error.index}]: ") from None
        values, statuses, fresh, at = zip(*columns, strict=True)
        detail: list[bytes] = [b"" if self.compact else b"{}"] * n
        for index, said in enumerate(details):
            if said:
                detail[index] = (b',"detail":' if self.compact else b"") + orjson.dumps(said)
        nothing = [b""] * n
        forms: list[Iterable[bytes]] = [repeat(text) for text in self._entity]
        if self.compact:
            forms[1::2] = (*values, *statuses, *fresh, *at, detail)
        else:
            forms[1::2] = (*values, nothing, *fresh, *statuses, detail, *at, nothing)
        objects = [head, b"{", *chain.from_iterable(zip(*forms, repeat(b",{"), strict=False))]
        objects[-1] = b"]}"
        return b"".join(objects)

    def _segments(self, raws: Raws, now_us: int, ages: list[int]) -> tuple[Texts, Texts, Texts, Texts, Details]:
        """For each view: its values, its statuses, freshness and event time as JSON texts; and `detail`. Laws 3 and 4."""
        values, statuses, fresh, at = [], [], [], []
        details: Details = {}
        for part, raw in zip(self.parts, raws, strict=True):
            found = part.plain(raw, now_us)
            if found is not None:
                inner, words, age_us, event_us = found
                ages.append(age_us)
                values.append(part.named_values(inner.split(b",")) if part.named else inner)
                statuses.append(words)
                fresh.append(b"%d" % (age_us // 1000))
                at.append(instant_text(event_us))
                continue
            answer = part.answer(raw, now_us)
            if self.refuses and answer.doubtful:
                self._check(raws, now_us)
            values.append(part.join_values(answer.texts))
            statuses.append(part.join_statuses(answer.statuses))
            fresh.append(answer.fresh)
            at.append(answer.at)
            if answer.details is not None:
                details.update(answer.details)
        return values, statuses, fresh, at, details

    def _ordered(self, raws: Raws, now_us: int) -> tuple[Texts, Texts, Texts, Texts, Details]:
        """The same where the order asked for goes back and forth between views: values and statuses are one text each."""
        assert self.order is not None
        answers = [part.answer(raw, now_us) for part, raw in zip(self.parts, raws, strict=True)]
        self._check(raws, now_us, answers)
        texts = [text for answer in answers for text in answer.texts]
        words = [status for answer in answers for status in answer.statuses]
        texts, words = [texts[i] for i in self.order], [words[i] for i in self.order]
        details = {name: word for answer in answers for name, word in (answer.details or {}).items()}
        if self.compact:
            values, statuses = b",".join(texts), orjson.dumps(words)[1:-1]
        else:
            values = b",".join([orjson.dumps(name) + b":" + text for name, text in zip(self.plan.names, texts, strict=True)])
            statuses = orjson.dumps(dict(zip(self.plan.names, words, strict=True)))[1:-1]
        return [values], [statuses], [answer.fresh for answer in answers], [answer.at for answer in answers], details

    def _check(self, raws: Raws, now_us: int, answers: Sequence[Answer] | None = None) -> None:
        """Raises SK422, SK423 for all views together."""
        if self.refuses:
            answers = answers or [part.answer(raw, now_us) for part, raw in zip(self.parts, raws, strict=True)]
            self.plan.check_refusals([status for answer in answers for status in answer.statuses])

    def _compact_form(self) -> Texts:
        """Texts and holes in turn."""
        holes, views = [b","] * ((self.width if self.order is None else 1) - 1), [b","] * (self.width - 1)
        texts = [b'"values":[', *holes, b'],"status":[', *holes, b'],"freshness_ms":[', *views, b'],"event_timestamp":[', *views,
                 b"]", b"}"]
        return in_turn(texts)

    def _full_form(self) -> Texts:
        """Texts and holes in turn."""
        holes = [b","] * ((self.width if self.order is None else 1) - 1)
        first, *others = [orjson.dumps(label) + b":" for label in self.labels]
        views = [b"," + label for label in others]
        texts = [b'"features":{', *holes, b"}", b',"metadata":{"freshness_ms":{' + first, *views, b'},"status":{', *holes,
                 b'},"detail":', b',"event_timestamp":{' + first, *views, b"}", self._tail]
        return in_turn(texts)


def in_turn(texts: Sequence[bytes]) -> list[bytes]:
    """The texts with an empty place between each two."""
    out: list[bytes] = []
    for text in texts:
        out += (text, b"")
    return out[:-1]


def compiled(plan: Plan, compact: bool, int64_as_string: bool) -> Reply:
    """The plan's reply in that form; kept with the plan."""
    key = (compact, int64_as_string)
    reply: Reply | None = plan.compiled.get(key)
    if reply is None:
        reply = plan.compiled[key] = Reply(plan, compact, int64_as_string)
    return reply
