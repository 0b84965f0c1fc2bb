"""uvicorn's httptools protocol with the limits it lacks.

Measured on uvicorn 0.54: no deadline for headers, no limit on their size or number (60 MB pass),
trailers merged into the request's headers, several Host fields and absolute targets accepted.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.certificates import thumbprint
from gateway.cycle import Cycle, Door
from gateway.limits import CONNECTIONS
from gateway.proxy import GONE

HEAD_S = 5.0
MAX_HEAD = 16 * 1024
MAX_FIELDS = 64
MAX_PIPELINED = 16
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_NEVER = float("inf")
# fields that mean nothing twice; a second one is somebody's trick
_ONCE = frozenset(
    {b"host", b"authorization", b"content-type", b"content-length", b"transfer-encoding",
     b"expect", b"idempotency-key", b"if-match", b"if-none-match", b"range", b"dpop"}
)  # fmt: skip
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


class Refusal(Exception):
    """What is wrong with a request's head."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


_TOO_LARGE = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large")


class HardenedProtocol(HttpToolsProtocol):
    """Refuses a request before the application sees it; then the connection closes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_begun = False
        self._fields_bytes = 0
        self._unparsed_bytes = 0
        self._refusal: Refusal | None = None
        self._dead = False
        self._door = cast("Door", self.app)
        # read, not yet begun
        self._ready: Cycle | None = None
        # when the head that is awaited, or the next request, is overdue; one timer a connection
        # looks, since one a request would cost more than parsing it
        self._due = _NEVER
        self._rests = False
        self._step_s = min(HEAD_S, self.timeout_keep_alive)
        self._watch: asyncio.TimerHandle | None = None
        self._tls: dict[Any, Any] | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        if not CONNECTIONS.enter(self._address):
            self._dead = True
            transport.abort()
            return
        self._tls = _tls_of(transport)
        self._due = self.loop.time() + HEAD_S
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        CONNECTIONS.leave(self._address)
        if not self._idle:
            # uvicorn's send says nothing of it: who streams an answer looks here
            cast("dict[str, Any]", self.cycle.scope)[GONE] = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        if self._rests:
            self._rests, self._due = False, _NEVER
        begun = self._head_begun
        refusal: Refusal | None = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # answered as plain HTTP; on_headers_complete has arranged that nothing follows
            pass
        except httptools.HttpParserError:
            refusal = self._refusal or Refusal(HTTPStatus.BAD_REQUEST, "malformed-http")
        if self._ready is not None:
            # not before all that came is read: what starts here may well answer
            cycle, self._ready = self._ready, None
            self._start(cycle)
        if refusal is not None:
            self._refuse(refusal)
            return
        if self._due == _NEVER and (self._head_begun or self._idle):
            # a head is begun, or what came belongs to no request: line ends
            self._due = self.loop.time() + HEAD_S
        if begun and self._head_begun:
            # one long field reaches on_header only when it ends: count what is still inside
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > MAX_HEAD:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = self._head_begun = True
        self._fields_bytes = self._unparsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        # a trailer: the request has been authorised by its head, nothing may be added to it
        if self._in_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._check_head(method, version)
        self._in_head = self._head_begun = False
        self._fields_bytes = 0
        self._due = _NEVER
        before: RequestResponseCycle | None = self.cycle
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        self.cycle = Cycle(
            self._scope(method, version),
            self,
            keep_alive=keep_alive and not self.parser.should_upgrade(),
        )
        if before is None or before.response_complete:
            self._ready = self.cycle
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start(self, cycle: Cycle) -> None:
        if not self._door.quick(cycle):
            cycle.run(self._door)

    def _scope(self, method: bytes, version: str) -> dict[str, Any]:
        path, _, query = self.url.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method.decode("ascii"),
            "root_path": "",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        if self._tls:
            scope["extensions"] = {"tls": self._tls}
        return scope

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(cast("Cycle", self.pipeline.pop()[0]))
        elif self._due == _NEVER:
            self._rests = True
            self._due = self.loop.time() + self.timeout_keep_alive

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    @property
    def _idle(self) -> bool:
        """Whether nothing is being answered; uvicorn has no cycle before the first request."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _wrong(self, refusal: Refusal) -> Refusal:
        """Keep what is wrong: the parser would swallow what its callbacks raise."""
        self._refusal = refusal
        return refusal

    def _count(self, size: int) -> None:
        self._fields_bytes += size
        if self._fields_bytes > MAX_HEAD:
            raise self._wrong(_TOO_LARGE)
        if len(self.headers) > MAX_FIELDS:
            raise self._wrong(
                Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too-many-headers")
            )

    def _check_head(self, method: bytes, version: str) -> None:
        if method not in _METHODS:
            raise self._wrong(Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed"))
        if len(self.pipeline) >= MAX_PIPELINED:
            raise self._wrong(Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too-many-pipelined"))
        if version not in ("1.0", "1.1"):
            raise self._wrong(Refusal(HTTPStatus.BAD_REQUEST, "http-version"))
        if not self.url.startswith(b"/") or b"#" in self.url:
            raise self._wrong(Refusal(HTTPStatus.BAD_REQUEST, "target-not-origin-form"))
        names = [name for name, _ in self.headers]
        known = set(names)
        if b"host" not in known or names.count(b"host") != 1:
            raise self._wrong(Refusal(HTTPStatus.BAD_REQUEST, "host-not-single"))
        if len(known) < len(names) and any(names.count(name) > 1 for name in _ONCE):
            raise self._wrong(Refusal(HTTPStatus.BAD_REQUEST, "header-repeated"))
        if b"expect" in known:
            self.expect_100_continue = True
            if dict(self.headers)[b"expect"].lower() != b"100-continue":
                raise self._wrong(Refusal(HTTPStatus.EXPECTATION_FAILED, "expectation-failed"))
        if b"transfer-encoding" in known:
            self._check_coding(names, version)

    def _check_coding(self, names: list[bytes], version: str) -> None:
        """Refuse every framing but one: chunks, alone, in HTTP/1.1 (RFC 9112 s6.1)."""
        coding = dict(self.headers)[b"transfer-encoding"].lower()
        if b"content-length" in names or coding != b"chunked" or version != "1.1":
            raise self._wrong(Refusal(HTTPStatus.BAD_REQUEST, "transfer-encoding"))

    def _look(self) -> None:
        """End the connection when it is overdue, else look again when it could be."""
        left_s = self._due - self.loop.time()
        if left_s > 0:
            self._watch = self.loop.call_later(min(left_s, self._step_s), self._look)
        elif self._rests:
            self.transport.close()
        else:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "headers-too-slow"))

    def _refuse(self, refusal: Refusal) -> None:
        self._dead = True
        self._due = _NEVER
        if self.transport.is_closing():
            return
        if not self._idle and not self.cycle.more_body:
            # what came is what follows a good request: let that one's answer finish
            self.cycle.keep_alive = False
            return
        if not self._idle:
            # the body of the current request is broken: the application need not go on
            unanswerable = self.cycle.response_started or self.pipeline
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if unanswerable:
                self.transport.close()
                return
        self.transport.write(_problem(refusal))
        self.transport.close()


def _tls_of(transport: asyncio.Transport) -> dict[Any, Any] | None:
    """Return what the connection's certificate is, once for all of its requests."""
    ssl_object = transport.get_extra_info("ssl_object")
    certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None
    return {"client_cert_thumbprint": thumbprint(certificate)} if certificate else None


def _problem(refusal: Refusal) -> bytes:
    status = refusal.status
    body = orjson.dumps(
        {
            "type": f"urn:careloop:problem:{refusal.code}",
            "title": status.phrase,
            "status": status.value,
            "code": refusal.code,
            "detail": "The request's head is not acceptable.",
        }
    )
    allow = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE\r\n" if status == 405 else ""  # noqa: PLR2004  # RFC 9110 s15.5.6
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n{allow}"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
