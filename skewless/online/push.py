"""Arrow keys and rows -> one wire stream of script calls, sent over one connection while its replies are drained.

The joined Arrow array's data buffer is the stream; nothing is copied into Python objects. A key may come once in a call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.online import script
from skewless.online.written import Written

if TYPE_CHECKING:
    import redis

KEYS_PER_CALL = 100         # one slot a call on a Cluster: 1
CALLS_PER_SEND = 50
SOCKET_SECONDS_MAX = 60.0


class Call(NamedTuple):
    """The arguments that every call of one push shares; see `script`."""

    mode: bytes
    through: bytes
    now: bytes
    span: bytes
    life: bytes


def push(client: redis.Redis, call: Call, keys: pa.Array, values: pa.Array, *, keys_per_call: int = KEYS_PER_CALL) -> Written:
    """Run the script over all rows, in order. Raises redis-py's errors."""
    client.script_load(script.SCRIPT)
    codes: list[bytes] = []
    connection = client.connection_pool.get_connection()
    try:
        step, waiting = keys_per_call * CALLS_PER_SEND, 0
        for at in range(0, len(keys), step):
            part = keys.slice(at, step)
            connection.send_packed_command([frame(call, part, values.slice(at, step), keys_per_call)])
            codes += [connection.read_response() for _ in range(waiting)]
            waiting = -(-len(part) // keys_per_call)
        codes += [connection.read_response() for _ in range(waiting)]
    except BaseException:
        connection.disconnect()         # replies of a broken stream must not reach the next user
        raise
    finally:
        client.connection_pool.release(connection)
    return _written(b"".join(codes), len(keys))


def _written(codes: bytes, rows: int) -> Written:
    assert len(codes) == rows, f"{len(codes)} replies for {rows} rows"
    applied, refresh = codes.count(script.WRITTEN), codes.count(script.REFRESH)
    places = tuple(i for i, code in enumerate(codes) if code == script.REFRESH) if refresh else ()
    return Written(applied, rows - applied - refresh, places)


def frame(call: Call, keys: pa.Array, values: pa.Array, keys_per_call: int) -> memoryview:
    """The RESP bytes of as many EVALSHA calls as it takes."""
    n = len(keys)
    keys, values = _bulk(keys), _bulk(values)
    heads, middles, order = [], [], []
    starts = range(0, n, keys_per_call)
    for i, at in enumerate(starts):
        size = min(keys_per_call, n - at)
        heads.append(_head(call, size))
        middles.append(b"".join(_argument(a) for a in call))
        rows = np.arange(at, at + size)
        order += [np.array([2 * n + i]), rows, np.array([2 * n + len(starts) + i]), rows + n]
    pieces = pa.concat_arrays([keys, values, pa.array(heads + middles, pa.binary())])
    stream = pieces.take(pa.array(np.concatenate(order)))
    offsets = np.frombuffer(stream.buffers()[1], np.int32)[stream.offset : stream.offset + len(stream) + 1]
    return memoryview(stream.buffers()[2])[offsets[0] : offsets[-1]]


def _head(call: Call, size: int) -> bytes:
    return b"*%d\r\n" % (3 + 2 * size + len(call)) + _argument(b"EVALSHA") + _argument(script.SHA) + _argument(b"%d" % size)


def _argument(raw: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def _bulk(values: pa.Array) -> pa.Array:
    """Each value as a RESP bulk string."""
    length = pc.cast(pc.cast(pc.binary_length(values), pa.string()), pa.binary())
    return pc.binary_join_element_wise(_literal(b"$"), length, _literal(b"\r\n"), values, _literal(b"\r\n"), _literal(b""))


def _literal(raw: bytes) -> pa.Scalar:
    return pa.scalar(raw, pa.binary())


class Throttle:
    """At most so many rows a second on average; 0 = no limit."""

    def __init__(self, rows_per_second_max: float) -> None:
        self.rate, self.started, self.rows = rows_per_second_max, time.monotonic(), 0

    def wait(self, rows: int) -> None:
        """Sleep until `rows` more may go."""
        if self.rate > 0:
            ahead = self.rows / self.rate - (time.monotonic() - self.started)
            if ahead > 0:
                time.sleep(ahead)
        self.rows += rows
