"""Rows in the online store: read them, write them through the one script, scan the keys of a view."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from skewless.clock import now_us
from skewless.online import newest, script
from skewless.online.connection import speaking, url_of
from skewless.online.position import SyncRecord, SyncRecords
from skewless.online.written import Written
from skewless.registry.model import View
from skewless.rows import HEADER_SIZE, key_suffix

if TYPE_CHECKING:
    import pyarrow as pa
    import redis

GRACE_US = 7 * 86_400_000_000           # an expired row can still be seen (as `expired`) for this long
TOMBSTONE_MS = 30 * 86_400_000          # longer than any worker can sleep on an old batch
OWN_ALL_US = 2**63 - 1                  # `through` of a view without a stream: the batch owns every slot
READ_KEYS_MAX = 500
KEYS_PER_CALL = 100


class OnlineStore:
    """The rows of one namespace (`<project>.<target>`). `client` is a redis-py client whose replies are bytes."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.url = url_of(client)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The stored bytes of each key, None where there is nothing. Raises SK600."""
        out: list[bytes | None] = []
        with speaking(self.url):
            for at in range(0, len(keys), READ_KEYS_MAX):
                out += [None if raw is None else _bytes(raw) for raw in self.client.mget(keys[at : at + READ_KEYS_MAX])]
        return out

    def write_rows(
        self, view: View, keys: pa.Array, values: pa.Array, *, through_us: int = OWN_ALL_US, full: bool = False,
    ) -> Written:
        """Rows of a batch, one a key: changed rows, or with `full` the newest row of each entity. Raises SK600, SK604."""
        from skewless.online import push

        call = push.Call(script.FULL if full else script.BATCH, *self._settings(view, through_us))
        with speaking(self.url):
            written = push.push(self.client, call, keys, values)
            newest.note(self.client, self.namespace, view, values)
        return written

    def retract(
        self, view: View, keys: Sequence[bytes], values: Sequence[bytes], gone: Sequence[bytes], *, through_us: int = OWN_ALL_US
    ) -> Written:
        """Retracted versions: the newest remaining row of the entity or a tombstone, and the version that went.

        `gone` holds 16 bytes each (`version_bytes`), or nothing. A key may come more than once. Raises SK600, SK604.
        """
        return self._write_some(script.TRUTH, view, through_us, keys, values, gone)

    def write_stream(self, view: View, keys: Sequence[bytes], values: Sequence[bytes], *, through_us: int = 0) -> Written:
        """Rows of a stream, no key twice. A header's stamp is the newest ledger commit its writer had read; it is not stored.

        `Written.refresh`: rows not written because a batch has touched their key since; re-read the ledger, drop the rows before
        complete_through, send the others again. Raises SK600, SK604.
        """
        assert len(set(keys)) == len(keys), "a key may come once in a call"
        return self._write_some(script.STREAM, view, through_us, keys, values, None)

    def write_stream_rows(self, view: View, keys: pa.Array, values: pa.Array) -> Written:
        """`write_stream` of Arrow columns, for many rows at once. Raises SK600, SK604."""
        from skewless.online import push

        with speaking(self.url):
            written = push.push(self.client, push.Call(script.STREAM, *self._settings(view, 0)), keys, values)
            newest.note(self.client, self.namespace, view, values)
        return written

    def headers(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The first 34 bytes of each key's row, None where there is none. Raises SK600."""
        out: list[bytes | None] = []
        with speaking(self.url):
            for at in range(0, len(keys), READ_KEYS_MAX):
                pipe = self.client.pipeline(transaction=False)
                for key in keys[at : at + READ_KEYS_MAX]:
                    pipe.getrange(key, 0, HEADER_SIZE - 1)
                out += [header or None for header in pipe.execute()]
        return out

    def backfill(self, view: View, key: bytes, value: bytes, *, life_us: int) -> Written:
        """One row that was found in the history; it stays for at most `life_us`, unless a batch writes the key.

        The header's stamp is that of the commit it was read at. As a stream's row it gives way to what is as new. Raises SK600.
        """
        (event_us,) = struct.unpack_from(">q", value, 10)
        through, now, span, tombstone = self._settings(view, 0)
        life = int(now) - event_us + life_us
        span = b"%d" % (life if int(span) < 0 else min(life, int(span)))
        with speaking(self.url):
            codes = self._evalsha(1, key, script.STREAM, through, now, span, tombstone, value)
        return Written(codes.count(script.WRITTEN), codes.count(script.IGNORED))

    def _write_some(
        self, mode: bytes, view: View, through_us: int, keys: Sequence[bytes], values: Sequence[bytes],
        gone: Sequence[bytes] | None,
    ) -> Written:
        settings = [mode, *self._settings(view, through_us)]
        codes = b""
        with speaking(self.url):
            for at in range(0, len(keys), KEYS_PER_CALL):
                end = at + KEYS_PER_CALL
                part = keys[at:end]
                codes += self._evalsha(len(part), *part, *settings, *values[at:end], *(gone[at:end] if gone is not None else ()))
        refresh = tuple(i for i, code in enumerate(codes) if code == script.REFRESH)
        applied = codes.count(script.WRITTEN)
        return Written(applied, len(codes) - applied - len(refresh), refresh)

    def _evalsha(self, *arguments: Any) -> bytes:
        from redis.exceptions import NoScriptError

        try:
            return self.client.evalsha(script.SHA.decode(), *arguments)
        except NoScriptError:
            self.client.script_load(script.SCRIPT)
            return self.client.evalsha(script.SHA.decode(), *arguments)

    def _settings(self, view: View, through_us: int) -> tuple[bytes, bytes, bytes, bytes]:
        span = -1 if view.ttl_us is None else view.ttl_us + GRACE_US
        return struct.pack(">q", through_us), b"%d" % now_us(), b"%d" % span, b"%d" % TOMBSTONE_MS

    def scan(self, view: View, *, count: int = 1000) -> Iterator[tuple[list[bytes], list[bytes | None]]]:
        """All keys of the view with the first 35 bytes of their rows (a tombstone has 34), in batches; a key may come twice."""
        pattern = (_glob(self.namespace) + ":{*}" + _glob(key_suffix(view))).encode()
        cursor = 0
        while True:
            with speaking(self.url):
                cursor, found = self.client.scan(cursor, match=pattern, count=count)
                keys = [_bytes(key) for key in found]
                # whole rows by one MGET cost a third of their heads by one GETRANGE each: a command weighs more than a row
                if keys:
                    yield keys, [row and row[: HEADER_SIZE + 1] for row in self.read(keys)]
            if not cursor:
                return

    def suspect(self, view: View, keys: Sequence[bytes]) -> None:
        """The next sync of the view compares these keys with the history and repairs them.

        A stream's writer names here the keys of rows that it drops because they are before complete_through: it may have written
        them in an earlier life.
        """
        with speaking(self.url):
            for at in range(0, len(keys), READ_KEYS_MAX):
                self.client.sadd(self._suspects_key(view), *keys[at : at + READ_KEYS_MAX])

    def suspects(self, view: View) -> list[bytes]:
        """The keys named by `suspect` and not repaired yet."""
        with speaking(self.url):
            return sorted(_bytes(key) for key in self.client.smembers(self._suspects_key(view)))

    def repaired(self, view: View, keys: Sequence[bytes]) -> None:
        """These keys are no longer suspects."""
        with speaking(self.url):
            for at in range(0, len(keys), READ_KEYS_MAX):
                self.client.srem(self._suspects_key(view), *keys[at : at + READ_KEYS_MAX])

    def _suspects_key(self, view: View) -> str:
        return f"{self.namespace}:sync:{view.ref}:suspects"

    def position(self, view: View) -> tuple[str, int, int] | None:
        """(table id, version, stamp) of the commit up to which the view has been pushed; None: never, or the store was lost."""
        found = SyncRecords(self.client, self.namespace).read(view)
        return found.position if found else None

    def set_position(self, view: View, position: Sequence[Any]) -> None:
        """Record a position without a lock; a sync records its own."""
        SyncRecords(self.client, self.namespace).write(view, SyncRecord(position=tuple(position), at_us=now_us()))

    def last_sync(self, view: View) -> SyncRecord | None:
        """The record of the last finished sync of the view: position, at_us, rows; None before the first."""
        return SyncRecords(self.client, self.namespace).read(view)


def version_bytes(event_timestamp_us: int, ingested_at_us: int) -> bytes:
    """A version's name for `retract`: the 16 bytes of its header."""
    return struct.pack(">qq", event_timestamp_us, ingested_at_us)


def _glob(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\^" else c for c in text)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
