"""uvicorn's httptools protocol with the limits it lacks.

Measured on uvicorn 0.54: no deadline for headers, no limit on their size or number (60 MB pass),
trailers merged into the request's headers, several Host fields and absolute targets accepted.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.certificates import thumbprint
from gateway.cycle import NO_BODY, Cycle, head_of
from gateway.limits import CONNECTIONS
from gateway.proxy import GONE
from gateway.reading import METHODS as READING
from gateway.reading import SAMPLED, Door, Fields, Head, Read
from gateway.refusals import Refusal, written

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
_METHODS = {*READING, b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"}
# a request line of the kind that needs no more than to be split; what it asks for is looked at later
_LINE = re.compile(rb"(GET|HEAD) (/[A-Za-z0-9._~/-]*)(?:\?([!-\"$-~]*))? HTTP/1\.1")
_END = b"\r\n\r\n"


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
        # come whole, not yet begun
        self._ready: Read | Cycle | None = None
        # taken by the door without a task
        self._reading: Read | None = None
        # the last plain head, and the bytes that it is the reading of
        self._last: Head | None = None
        self._last_bytes = b""
        # whether the parser is between two requests
        self._between = True
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
        self._last = None
        if not _is_over(self.cycle):
            # uvicorn's send says nothing of it: who streams an answer looks here
            cast("dict[str, Any]", self.cycle.scope)[GONE] = True
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._reading is not None and not self.pipeline:
            self._reading.keep_alive = False
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        if self._rests:
            self._rests, self._due = False, _NEVER
            if self._again(data):
                return
        begun, between = self._head_begun, self._between
        refusal = self._parsed(data)
        if between and isinstance(self._ready, Read):
            self._remember(data, self._ready.head)
        # not before all that came is read: what starts here may well answer
        self._begin()
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

    def _parsed(self, data: bytes) -> Refusal | None:
        """Let the parser have what came; return what is wrong with it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # answered as plain HTTP; on_headers_complete has arranged that nothing follows
            pass
        except httptools.HttpParserError:
            return self._refusal or Refusal(HTTPStatus.BAD_REQUEST, "malformed-http")
        return None

    def _again(self, data: bytes) -> bool:
        """Begin a read whose fields are, byte for byte, those of the one before."""
        line, _, fields = data.partition(b"\r\n")
        if self._last is None or fields != self._last_bytes or not self._between:
            return False
        found = _LINE.fullmatch(line)
        if found is None or len(data) > MAX_HEAD:
            return False
        method, path, query = found.groups(b"")
        self._start(Read(self, READING[method], path, query, self._last))
        return True

    def _remember(self, data: bytes, head: Head) -> None:
        """Keep what was made of the fields, if one such head is all that came."""
        line, _, fields = data.partition(b"\r\n")
        if _LINE.fullmatch(line) and 0 < fields.find(_END) == len(fields) - len(_END):
            self._last, self._last_bytes = head, fields

    def on_message_begin(self) -> None:
        self._between = False
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
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        keep_alive = keep_alive and not self.parser.should_upgrade()
        path, _, query = self.url.partition(b"?")
        is_next = self._idle and self._ready is None
        if is_next and keep_alive and method in READING and (head := Head.of(self.headers)):
            self._ready = Read(self, READING[method], path, query, head)
            return
        scope = self._scope(method.decode("ascii"), path, query, self.headers, version)
        self.cycle = Cycle(scope, self, keep_alive=keep_alive)
        if is_next:
            self._ready = self.cycle
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _begin(self) -> None:
        ready, self._ready = self._ready, None
        if isinstance(ready, Cycle):
            ready.run(self._door)
        elif ready is not None:
            self._start(ready)

    def _start(self, read: Read) -> None:
        self._reading = read
        if not self._door.quick(read):
            self.run(read, self._door)

    # what a read asks of its connection: `reading.Wire`

    @property
    def held_up(self) -> bool:
        return self.flow.write_paused

    def answer(
        self, read: Read, status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        given = [*self.server_state.default_headers, *fields]
        if read.method == "HEAD":
            body = b""
        elif status not in NO_BODY:
            length = (b"content-length", b"%d" % len(body))
            if length not in given and b"content-length" not in dict(given):
                given.append(length)
        if not read.keep_alive:
            given.append((b"connection", b"close"))
        data = head_of(status, given) + body
        self._reading = None
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if not read.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def run(self, read: Read, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        scope = self._scope(read.method, read.path, read.query, read.head.fields, "1.1")
        scope[SAMPLED] = read.sampled
        self.expect_100_continue = False
        cycle = Cycle(scope, self, keep_alive=read.keep_alive)
        cycle.more_body = False
        cycle.message_event.set()
        if self.transport.is_closing():
            cycle.disconnected = scope[GONE] = True
        self._reading = None
        if not self.pipeline:
            self.cycle = cycle
        cycle.run(app)

    def _scope(
        self, method: str, path: bytes, query: bytes, fields: Fields, version: str
    ) -> dict[str, Any]:
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": fields,
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
            cast("Cycle", self.pipeline.pop()[0]).run(self._door)
        elif self._due == _NEVER:
            self._rests = True
            self._due = self.loop.time() + self.timeout_keep_alive

    def on_message_complete(self) -> None:
        self._in_head = self._between = True
        if not _is_over(self.cycle):
            super().on_message_complete()

    @property
    def _idle(self) -> bool:
        """Whether nothing is being answered."""
        return self._reading is None and _is_over(self.cycle)

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
        if self._reading is not None and not self.pipeline:
            # what came is what follows a good request: let that one's answer finish
            self._reading.keep_alive = False
            return
        if not self._idle and not self.cycle.more_body:
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
        self.transport.write(written(refusal))
        self.transport.close()


def _is_over(cycle: RequestResponseCycle | None) -> bool:
    """Tell whether a cycle is answered; uvicorn has none before the first request."""
    return cycle is None or cycle.response_complete


def _tls_of(transport: asyncio.Transport) -> dict[Any, Any] | None:
    """Return what the connection's certificate is, once for all of its requests."""
    ssl_object = transport.get_extra_info("ssl_object")
    certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None
    return {"client_cert_thumbprint": thumbprint(certificate)} if certificate else None
