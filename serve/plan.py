"""Replies compiled: what of a reply depends only on the snapshot and the request's shape is bytes before the first row is read.

    compiled(plan, compact, int64_as_string)   -> Reply, made once for each plan and form
    Reply.one(rows, now_us, entity)            -> the body for one entity
    Reply.many(rows, now_us)                   -> the body for a batch

Values are slices of the stored rows. Equal, byte for byte, to a reply made value by value; a property test compares them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import orjson

from skewless.errors import SkewlessError
from skewless.lookup import Plan
from skewless.serve.part import Answer, ViewPart, instant_text

Raws = Sequence[bytes | None]
start_of = struct.Struct(">10sq").unpack_from      # what says how a row is read, and its event time
ROW_BYTES_MIN = 36                                  # a header and an array


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
        self._tail = b',"version":' + version + tail + b"}}"
        self._entity = self._compact_form() if compact else self._full_form()

    def one(self, raws: Raws, now_us: int, entity: bytes = b"", sources: Sequence[str] | None = None) -> bytes:
        """The body for one entity; `entity` is the JSON of `entity_id` in a reply that has it. Raises SK410, SK422, SK423, SK454.

        `sources` says for each view where its row came from; it is `metadata.cache` then.
        """
        self.plan.check_sunset(now_us)
        head = [b'{"entity_id":', entity, b","] if entity else [b"{"]
        if self.compact:
            head += (self._head, b",")
        return b"".join(head + self._one(raws, now_us, entity, sources))

    def many(self, raws: Raws, now_us: int, sources: Sequence[str] | None = None) -> bytes:
        """The body for a batch: `width` rows for each entity. Errors name the entity's index."""
        self.plan.check_sunset(now_us)
        head = (b"{", self._head, b',"results":[{') if self.compact else (b'{"results":[{',)
        width, out, one, some = self.width, list(head), self._one, None
        for at in range(0, len(raws), width):
            if sources is not None:
                some = sources[at : at + width]
            try:
                out += one(raws[at : at + width], now_us, b"", some)
            except SkewlessError as error:
                error.fact = f"entities[{at // width}]: {error.fact}"
                raise
            out.append(b",{")
        out[-1] = b"]}" if raws else out[-1].removesuffix(b"{") + b"]}"
        return b"".join(out)

    def _one(self, raws: Raws, now_us: int, entity: bytes, sources: Sequence[str] | None) -> list[bytes]:
        """One entity's object without its opening brace, in pieces."""
        values, statuses, fresh, at, details = self._segments(raws, now_us) if self.order is None else self._ordered(raws, now_us)
        if self.compact:
            more = b',"detail":' + orjson.dumps(details) if details else b""
            if sources is not None:
                more += b',"cache":' + orjson.dumps(list(sources))
            pieces = self._entity.copy()
            pieces[1::2] = (*values, *statuses, *fresh, *at, more)
            return pieces
        event = b',"event_timestamp":' + at[0] if entity else b""
        detail = orjson.dumps(details) if details else b"{}"
        cache = b"" if sources is None else b',"cache":' + orjson.dumps(dict(zip(self.labels, sources, strict=True)))
        pieces = self._entity.copy()
        pieces[1::2] = (*values, event, *fresh, *statuses, detail, *at, cache)
        return pieces

    def _segments(self, raws: Raws, now_us: int) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes], dict[str, str]]:
        """For each view: its values, its statuses, freshness and event time as JSON texts; and `detail`. Laws 3 and 4."""
        values, statuses, fresh, at = [], [], [], []
        details: dict[str, str] = {}
        for part, raw in zip(self.parts, raws, strict=True):
            if raw is not None and len(raw) >= ROW_BYTES_MIN:
                start, event_us = start_of(raw)
                age_us = now_us - event_us
                if start == part.identity and 0 <= age_us <= part.plain_us:
                    inner = raw[35:-1]
                    null_at = inner.find(b"null")
                    if null_at >= 0:
                        words = part.statuses_of(inner, null_at)
                    else:
                        words = part.all_ok if inner.count(b",") == part.commas else b""
                    if words and raw[34] == 91 and raw[-1] == 93:
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

    def _ordered(self, raws: Raws, now_us: int) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes], dict[str, str]]:
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

    def _compact_form(self) -> list[bytes]:
        """Texts and holes in turn."""
        holes, views = [b","] * ((self.width if self.order is None else 1) - 1), [b","] * (self.width - 1)
        texts = [b'"values":[', *holes, b'],"status":[', *holes, b'],"freshness_ms":[', *views, b'],"event_timestamp":[', *views,
                 b"]", b"}"]
        return in_turn(texts)

    def _full_form(self) -> list[bytes]:
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
