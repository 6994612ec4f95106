"""Several processes behind one port: the parent owns the sockets and the signals, each worker answers on a socket of its own.

The kernel spreads connections over the sockets (SO_REUSEPORT). The parent keeps them open, so connections that wait at a worker
that has died are answered by the one that takes its place. Workers end when the parent is gone, however it went.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable

from skewless.errors import SkewlessError

log = logging.getLogger("skewless.serve")
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
RESTART_S = 0.2
# Serves on a socket until told to end. Gets what to call when it answers, and a descriptor that ends (EOF) with the parent.
Work = Callable[[socket.socket, Callable[[], None], int], None]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(listener: socket.socket, count: int) -> list[socket.socket]:
    """`count` listening sockets of the listener's address. The listener is closed: it showed that nobody else has the address."""
    address, family = listener.getsockname(), listener.family
    listener.close()
    out = []
    for _ in range(count):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(address)
        out.append(one)
    return out


class Workers:
    """One forked process per socket. `on_end` hears the id of each that has ended."""

    def __init__(self, sockets: list[socket.socket], work: Work, on_end: Callable[[int], None] = lambda pid: None) -> None:
        self.sockets, self.work, self.on_end = sockets, work, on_end
        self.pids: dict[int, int] = {}              # pid -> index
        self.alive, self._parent = os.pipe()        # read end: EOF when no parent holds the other
        self.ready, self._tell = os.pipe()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT, and until every worker has ended then. Raises SK900 when a worker does not start."""
        gc.collect()
        gc.freeze()
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            for index in range(len(self.sockets)):
                self._start(index)
            os.set_blocking(self.ready, False)
            self._watch(on_ready)
        finally:
            self._stop()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

    def _watch(self, on_ready: Callable[[], None]) -> None:
        started, ready = 0, False
        while True:
            got = signal.sigtimedwait(WATCHED, 0.02 if not ready else 1.0)
            if got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT):
                return
            if got is not None and got.si_signo == signal.SIGHUP:
                self._send(signal.SIGHUP)
            for index in self._ended():
                if not ready:
                    raise SkewlessError("SK900", "the server did not start", hint="The lines above say why.")
                log.error("worker %d ended; another takes its place", index)
                time.sleep(RESTART_S)
                self._start(index)
            if not ready:
                started += self._answering()
                if started == len(self.sockets):
                    ready = True
                    on_ready()

    def _answering(self) -> int:
        """How many workers have said that they answer, since the last call."""
        try:
            return len(os.read(self.ready, 1024))
        except BlockingIOError:
            return 0

    def _say_ready(self) -> None:
        os.write(self._tell, b"1")

    def _start(self, index: int) -> None:
        pid = os.fork()
        if pid:
            self.pids[pid] = index
            return
        code = 1
        try:
            os.close(self._parent)
            for other, one in enumerate(self.sockets):
                if other != index:
                    one.close()
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            self.work(self.sockets[index], self._say_ready, self.alive)
            code = 0
        except SkewlessError as error:
            print(error, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _ended(self) -> list[int]:
        """The indexes of workers that have ended."""
        gone = [pid for pid in self.pids if os.waitpid(pid, os.WNOHANG)[0]]
        for pid in gone:
            self.on_end(pid)
        return [self.pids.pop(pid) for pid in gone]

    def _send(self, number: int) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def _stop(self) -> None:
        """Nobody listens any more; the workers finish what they have."""
        for one in self.sockets:
            one.close()
        self._send(signal.SIGTERM)
        while self.pids:
            signal.sigtimedwait(WATCHED, 0.1)
            self._ended()
        for end in (self.alive, self._parent, self.ready, self._tell):
            os.close(end)
