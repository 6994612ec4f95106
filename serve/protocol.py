"""uvicorn's protocol with bounds on what a client may send before the application sees it: the size of the head, and the time
from a request's first byte to its last. Refusals are problem JSON."""

from __future__ import annotations

import asyncio

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from skewless.error_codes import CODES

HEAD_BYTES_MAX = 32 * 1024
REQUEST_S = 30.0                # of one request's arrival
LOOK_S = 5.0


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_open, self._large = True, False
        self._refusal = ""
        self._since: float | None = self.loop.time()
        self._look = self.loop.call_later(LOOK_S, self._slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        if self._head_open:
            self._head_bytes += len(data)
        self._large = max(len(data), self._head_bytes) > HEAD_BYTES_MAX
        super().data_received(data)
        if self._head_open and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse("SK431")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()
        self._head_open, self._head_bytes = True, 1

    def on_headers_complete(self) -> None:
        self._head_open = False
        if self._large and len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            self._refusal = "SK431"
            raise ValueError("too large")       # the parser stops here; send_400_response answers
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or "SK400")

    def _refuse(self, code: str) -> None:
        self._refusal = code
        status = {"SK431": 431, "SK408": 408}.get(code, 400)
        facts = {"SK431": f"the head of the request is longer than {HEAD_BYTES_MAX} bytes", "SK400": "this is not HTTP/1.1",
                 "SK408": f"the request did not arrive within {REQUEST_S:.0f} s"}
        body = orjson.dumps({"type": f"urn:skewless:error:{code}", "title": CODES[code], "status": status,
                             "detail": facts[code], "code": code})
        self.transport.write(b"".join([
            STATUS_LINE[status], b"content-type: application/problem+json\r\nconnection: close\r\ncontent-length: ",
            str(len(body)).encode(), b"\r\n\r\n", body,
        ]))
        self.transport.close()

    def _slow(self) -> None:
        """Looks every LOOK_S whether a request has been arriving for too long."""
        late = self._since is not None and self.loop.time() - self._since > REQUEST_S
        if not late:
            self._look = self.loop.call_later(LOOK_S, self._slow)
        elif self._head_bytes if self._head_open else not self.cycle.response_started:
            self._refuse("SK408")
        else:
            self.transport.close()
