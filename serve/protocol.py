"""uvicorn's protocol with bounds on what a client may send before the application sees it: the size of the head, and the time
from a request's first byte to its last. Refusals are problem JSON. Plain lookups do not go through the application.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from skewless.error_codes import CODES
from skewless.serve.direct import Lookup, route_of
from skewless.serve.hooks import VIEW_ROUTE
from skewless.serve.hot import JSON_TYPE
from skewless.serve.problems import STATUS
from skewless.serve.requests import BODY_BYTES_MAX

HEAD_BYTES_MAX = 32 * 1024
REQUEST_S = 30.0                # of one request's arrival
LOOK_S = 5.0
JOINED_MAX = 16_384
_head: tuple[Any, bytes] = (None, b"")


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_open, self._large = True, False
        self._refusal = ""
        self._since: float | None = self.loop.time()
        self._idle: float | None = None
        self._lookup: Lookup | None = None
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
        self._since, self._idle = self.loop.time(), None
        self._head_open, self._head_bytes = True, 1
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._lookup = None

    def on_headers_complete(self) -> None:
        self._head_open = False
        if self._large and len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            self._refusal = "SK431"
            raise ValueError("too large")       # the parser stops here; send_400_response answers
        app: Any = self.config.app
        if app.hosts is not None and not app.hosts(self.headers):
            self._refusal = "SK421"
            raise ValueError("another host")
        hot = app.direct if self._plain() else None
        route = None if hot is None else route_of(self.parser.get_method(), self.url)
        if hot is not None and route is not None:
            self.cycle = self._lookup = Lookup(self, hot, route)    # type: ignore[assignment]
        else:
            self._to_application()

    def _plain(self) -> bool:
        """Whether nothing but the route decides about the request: it is alone on a connection that stays open."""
        parser = self.parser
        return (
            (self.cycle is None or self.cycle.response_complete) and parser.should_keep_alive() and not parser.should_upgrade()
            and not self.expect_100_continue and not self.flow.write_paused and parser.get_http_version() == "1.1"
        )

    def _to_application(self) -> None:
        """uvicorn's own way: a scope, a task, and messages."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        lookup = self._lookup
        if lookup is None:
            super().on_body(body)
            return
        lookup.body = lookup.body + body if lookup.body else body
        if len(lookup.body) > BODY_BYTES_MAX:
            self._lookup, lookup.response_complete = None, True
            self._to_application()
            super().on_body(lookup.body)

    def on_message_complete(self) -> None:
        self._since = None
        lookup = self._lookup
        if lookup is None:
            super().on_message_complete()
        elif not lookup.begin():
            self.hand_over(lookup)

    def answer(self, lookup: Lookup, body: bytes) -> None:
        """Sends 200 with the body."""
        lookup.response_started = lookup.response_complete = True
        lookup.body = b""           # an idle connection keeps its last lookup
        if lookup.disconnected or self.transport.is_closing():
            return
        end = b"\r\n\r\n" if lookup.keep_alive else b"\r\nconnection: close\r\n\r\n"
        if len(body) <= JOINED_MAX:
            self.transport.write(b"".join((self._head(), b"%d" % len(body), end, body)))
        else:                       # the transport sends both at once, without a copy
            self.transport.writelines((b"".join((self._head(), b"%d" % len(body), end)), body))
        if not lookup.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _head(self) -> bytes:
        """What stands before the length in each reply, made again when uvicorn's headers (the date) change."""
        global _head
        headers = self.server_state.default_headers
        if headers is not _head[0]:
            lines = [b"%b: %b\r\n" % (name.lower(), value) for name, value in [*headers, JSON_TYPE]]
            _head = (headers, b"".join([STATUS_LINE[200], *lines, b"content-length: "]))
        return _head[1]

    def hand_over(self, lookup: Lookup, app: Any = None) -> None:
        """The request goes to the application, or to `app`, from its beginning."""
        if lookup.disconnected or self.transport.is_closing():
            return
        path, _, query = lookup.url.partition(b"?")
        scope: Any = {
            "type": "http", "asgi": {"version": self.asgi_version, "spec_version": "2.3"}, "http_version": "1.1",
            "server": self.server, "client": self.client, "scheme": self.scheme, "root_path": self.root_path,
            "headers": lookup.headers, "state": self.app_state.copy(), "query_string": query,
            "method": "GET" if lookup.route is VIEW_ROUTE else "POST",
            "path": self.root_path + path.decode("ascii"), "raw_path": self.root_path.encode("ascii") + path,
        }
        cycle = RequestResponseCycle(
            scope=scope, transport=self.transport, flow=self.flow, logger=self.logger, access_logger=self.access_logger,
            access_log=self.access_log, default_headers=self.server_state.default_headers, message_event=asyncio.Event(),
            expect_100_continue=False, keep_alive=lookup.keep_alive, on_response=self.on_response_complete,
        )
        cycle.body, cycle.more_body = bytearray(lookup.body), False
        cycle.message_event.set()
        if self.cycle is lookup:                # type: ignore[comparison-overlap]
            self.cycle = cycle
        self._start_asgi_task(cycle, app or self.app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or "SK400")

    def _refuse(self, code: str) -> None:
        self._refusal = code
        status = STATUS.get(code, 400)
        facts = {"SK431": f"the head of the request is longer than {HEAD_BYTES_MAX} bytes", "SK400": "this is not HTTP/1.1",
                 "SK408": f"the request did not arrive within {REQUEST_S:.0f} s", "SK421": "this server has another name"}
        hints = {"SK421": "Name it in serve.hosts of skewless.yml, or ask for tokens: --require-tokens."}
        body = orjson.dumps({"type": f"urn:skewless:error:{code}", "title": CODES[code], "status": status, "detail": facts[code],
                             "code": code, **({"hint": hints[code]} if code in hints else {})})
        self.transport.write(b"".join([
            STATUS_LINE[status], b"content-type: application/problem+json\r\nconnection: close\r\ncontent-length: ",
            str(len(body)).encode(), b"\r\n\r\n", body,
        ]))
        self.transport.close()

    def _slow(self) -> None:
        """Looks every LOOK_S whether a request has been arriving for too long, or nothing has come for the keep-alive time."""
        now = self.loop.time()
        late = self._since is not None and now - self._since > REQUEST_S
        if self._idle is not None and now - self._idle > self.timeout_keep_alive:
            self.timeout_keep_alive_handler()
        elif not late:
            self._look = self.loop.call_later(LOOK_S, self._slow)
        elif self._head_bytes if self._head_open else not self.cycle.response_started:
            self._refuse("SK408")
        else:
            self.transport.close()
