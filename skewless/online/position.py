"""How far a view has been synced, kept in the online store itself, so that a lost store is synced in full; and the sync lock.

Redis keys: `<namespace>:sync:<view>@<version>` (JSON of SyncRecord) and the same with `:lock`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from skewless.errors import SkewlessError
from skewless.online.connection import speaking, url_of
from skewless.registry.model import View

if TYPE_CHECKING:
    import redis

LOCK_SECONDS = 30


class SyncRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished sync. Stamps in the online store are the ledger's plus `offset_us`.

    The offset is 0 unless a history was started anew under a clock that did not go on; it keeps stamps growing.
    """

    position: tuple[str, int, int]      # table id, version, ledger stamp
    at_us: int
    rows: int = 0
    offset_us: int = 0
    settings: str = ""                  # what decides expiry and selection; another value asks for a full sync

    @property
    def stamp_us(self) -> int:
        """The greatest stamp written so far."""
        return self.position[2] + self.offset_us


class SyncRecords:
    """The records and locks of one namespace."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client, self.namespace, self.url = client, namespace, url_of(client)

    def read(self, view: View) -> SyncRecord | None:
        """The last finished sync of the view, None when there was none or its record does not parse. Raises SK600."""
        with speaking(self.url):
            raw = self.client.get(self._key(view))
        try:
            return msgspec.json.decode(raw, type=SyncRecord) if raw else None
        except msgspec.MsgspecError:
            return None

    def write(self, view: View, record: SyncRecord, *, token: str = "") -> None:
        """Keep the record. Raises SK603 when a token is given that no longer holds the lock."""
        raw = msgspec.json.encode(record)
        with speaking(self.url):
            if not token:
                self.client.set(self._key(view), raw)
            elif not self.client.eval(_SET_IF_HELD, 2, self._lock_key(view), self._key(view), token, raw):
                raise _busy(view, "The lock of this sync has expired and another one took it.")

    def _key(self, view: View) -> str:
        return f"{self.namespace}:sync:{view.ref}"

    def _lock_key(self, view: View) -> str:
        return f"{self.namespace}:sync:{view.ref}:lock"

    @contextmanager
    def lock(self, view: View, *, wait_seconds: float = 0.0) -> Iterator[str]:
        """The view's sync lock; its token. Renewed while held; a killed holder on this machine loses it at once. Raises SK603."""
        token, deadline = _token(), time.monotonic() + wait_seconds
        with speaking(self.url):
            while not self._take(view, token):
                if time.monotonic() >= deadline:
                    raise _busy(view, f"Its lock ends {LOCK_SECONDS} s after its process.")
                time.sleep(0.05)
        _held.add(token)
        done = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(view, token, done), daemon=True)
        renewer.start()
        try:
            yield token
        finally:
            _held.discard(token)
            done.set()
            renewer.join()
            with suppress(Exception):       # it expires by itself
                self.client.eval(_DELETE_IF_HELD, 1, self._lock_key(view), token)

    def _take(self, view: View, token: str) -> bool:
        key = self._lock_key(view)
        if self.client.set(key, token, nx=True, ex=LOCK_SECONDS):
            return True
        holder = self.client.get(key)
        if holder and _is_dead(holder.decode() if isinstance(holder, bytes) else holder):
            self.client.eval(_DELETE_IF_HELD, 1, key, holder)
            return bool(self.client.set(key, token, nx=True, ex=LOCK_SECONDS))
        return False

    def _renew(self, view: View, token: str, done: threading.Event) -> None:
        while not done.wait(LOCK_SECONDS / 4):
            with suppress(Exception):
                self.client.eval(_RENEW_IF_HELD, 1, self._lock_key(view), token, LOCK_SECONDS)


_DELETE_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"
_SET_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[2], ARGV[2]) return 1 end return 0"


_held: set[str] = set()         # the tokens of locks that this process holds


def _token() -> str:
    return "|".join((_machine(), str(os.getpid()), _born(os.getpid()), uuid4().hex))


def _is_dead(token: str) -> bool:
    """Whether the holder was a process of this machine that is gone, or a sync of this process that could not free it."""
    parts = token.split("|")
    if len(parts) != 4 or parts[0] != _machine() or not parts[2]:
        return False
    mine = parts[1] == str(os.getpid()) and token not in _held
    return mine or _born(int(parts[1])) != parts[2]


def _machine() -> str:
    """Host name, boot and process namespace; equal only for processes that see each other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{uuid4().hex}"


def _born(pid: int) -> str:
    """The start time of a living process, else empty."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]


def _busy(view: View, detail: str) -> SkewlessError:
    fact = f'another sync of "{view.ref}" is running'
    return SkewlessError("SK603", fact, detail=detail, hint="Wait for it, then run this again.")
