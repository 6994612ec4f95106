"""Rows in the online store: read, write through the one script, and how far a view has been synced."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import orjson

from skewless.clock import now_us
from skewless.errors import SkewlessError
from skewless.online import script
from skewless.online.connection import speaking
from skewless.registry.model import View
from skewless.rows import HEADER_SIZE, key_suffix

if TYPE_CHECKING:
    import pyarrow as pa
    import redis

GRACE_US = 7 * 86_400_000_000           # an expired row can still be seen (as `expired`) for this long
TOMBSTONE_MS = 30 * 86_400_000          # longer than any worker can sleep on an old batch
OWN_ALL_US = 2**63 - 1                  # `through` of a view without a stream: the batch owns every slot
LOCK_SECONDS = 60
READ_KEYS_MAX = 500
KEYS_PER_CALL = 100


class Written(NamedTuple):
    """Rows written, rows that changed nothing, and (streams) the indexes of rows whose writer must re-read the ledger."""

    applied: int
    ignored: int
    refresh: tuple[int, ...] = ()


class OnlineStore:
    """The rows of one namespace (`<project>.<target>`). `client` is a redis-py client whose replies are bytes."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.url = _url(client)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The stored bytes of each key, None where there is nothing. Raises SK600."""
        out: list[bytes | None] = []
        with speaking(self.url):
            for at in range(0, len(keys), READ_KEYS_MAX):
                out += self.client.mget(keys[at : at + READ_KEYS_MAX])
        return out

    def write_rows(
        self, view: View, keys: pa.Array, values: pa.Array, *, through_us: int = OWN_ALL_US, full: bool = False,
    ) -> Written:
        """Rows of a batch, one a key: changed rows, or with `full` the newest row of each entity. Raises SK600, SK604."""
        from skewless.online import push

        call = push.Call(script.FULL if full else script.BATCH, *self._settings(view, through_us))
        with speaking(self.url):
            return push.push(self.client, call, keys, values)

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
        """All keys of the view with their headers (34 bytes), in batches; a key may come twice. Raises SK600."""
        pattern = (_glob(self.namespace) + ":{*}" + _glob(key_suffix(view))).encode()
        cursor = 0
        while True:
            with speaking(self.url):
                cursor, keys = self.client.scan(cursor, match=pattern, count=count)
                if keys:
                    pipe = self.client.pipeline(transaction=False)
                    for key in keys:
                        pipe.getrange(key, 0, HEADER_SIZE - 1)
                    yield keys, [header or None for header in pipe.execute()]
            if not cursor:
                return

    # --- how far a view has been synced ---

    def _sync_key(self, view: View) -> str:
        return f"{self.namespace}:sync:{view.ref}"

    def position(self, view: View) -> tuple[str, int, int] | None:
        """(table id, version, stamp) of the commit up to which the view has been pushed; None: never, or the store was lost."""
        with speaking(self.url):
            raw = self.client.hget(self._sync_key(view), "position")
        return tuple(orjson.loads(raw)) if raw else None

    def set_position(self, view: View, position: Sequence[Any], *, rows: int = 0, token: str = "") -> None:
        """Record the position, and time and rows for `last_sync`. Raises SK603 when `token` no longer holds the lock."""
        record: dict[str, Any] = {"position": orjson.dumps(list(position)), "at": now_us(), "rows": rows}
        with speaking(self.url):
            if token:
                flat: list[Any] = [str(part) if isinstance(part, int) else part for pair in record.items() for part in pair]
                if not self.client.eval(_SET_IF_HELD, 2, self._lock_key(view), self._sync_key(view), token, *flat):
                    raise _busy(view, "The lock of this sync has expired.")
            else:
                self.client.hset(self._sync_key(view), mapping=record)

    def forget_position(self, view: View) -> None:
        """The next sync of the view is a full one."""
        with speaking(self.url):
            self.client.delete(self._sync_key(view))

    def last_sync(self, view: View) -> dict[str, Any] | None:
        """{"at_us", "rows", "position"} of the last finished sync of the view, or None."""
        with speaking(self.url):
            raw = self.client.hgetall(self._sync_key(view))
        if not raw or b"at" not in raw:
            return None
        return {"at_us": int(raw[b"at"]), "rows": int(raw[b"rows"]), "position": tuple(orjson.loads(raw[b"position"]))}

    def _lock_key(self, view: View) -> str:
        return f"{self.namespace}:sync:{view.ref}:lock"

    @contextmanager
    def lock(self, view: View, *, wait_seconds: float = 0.0) -> Iterator[str]:
        """The view's sync lock; its token. Renewed while held; a killed holder frees it after a minute. Raises SK603."""
        key, token, deadline = self._lock_key(view), uuid4().hex, time.monotonic() + wait_seconds
        with speaking(self.url):
            while not self.client.set(key, token, nx=True, ex=LOCK_SECONDS):
                if time.monotonic() >= deadline:
                    raise _busy(view, f"It holds the lock for up to {LOCK_SECONDS} s after it was killed.")
                time.sleep(0.1)
        done = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(key, token, done), daemon=True)
        renewer.start()
        try:
            yield token
        finally:
            done.set()
            renewer.join()
            try:
                self.client.eval(_DELETE_IF_HELD, 1, key, token)
            except Exception:
                pass    # the lock expires by itself

    def _renew(self, key: str, token: str, done: threading.Event) -> None:
        while not done.wait(LOCK_SECONDS / 4):
            try:
                self.client.eval(_RENEW_IF_HELD, 1, key, token, LOCK_SECONDS)
            except Exception:
                continue


_DELETE_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"
_SET_IF_HELD = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""


def version_bytes(event_timestamp_us: int, ingested_at_us: int) -> bytes:
    """A version's name for `retract`: the 16 bytes of its header."""
    return struct.pack(">qq", event_timestamp_us, ingested_at_us)


def _busy(view: View, detail: str) -> SkewlessError:
    fact = f'another sync of "{view.ref}" is running'
    return SkewlessError("SK603", fact, detail=detail, hint="Wait for it, then run this again.")


def _glob(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\^" else c for c in text)


def _url(client: redis.Redis) -> str:
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        return f"unix://{settings['path']}"
    return f"redis://{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db', 0)}"


def all_keys(batches: Iterable[tuple[list[bytes], list[bytes | None]]]) -> list[bytes]:
    """The distinct keys of a scan."""
    return list({key: None for keys, _ in batches for key in keys})
