"""One connection to a service: HTTP/1.1, one request at a time, answers parsed strictly.

What is not plainly one answer to one request ends the connection: two framings, framing by the end
of the connection, an upgrade, bytes that nobody asked for. Trailers are dropped.
"""

import asyncio
from collections.abc import Callable

import httptools

_MAX_HEAD = 64 * 1024
_MAX_FIELDS = 128
_MAX_INTERIM = 4
# so much of an answer waits here for a partner that takes it slowly; then the service waits
_HIGH_WATER = 256 * 1024
_INTERIM = frozenset({100, *range(102, 200)})
_FINAL = range(200, 600)
_BODILESS = frozenset({204, 304})
_NEVER = float("inf")


class Broken(Exception):
    """The connection can no longer be used; `stale`: it ended before anything was answered on it."""

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stale = stale


class _Unacceptable(Exception):
    """Something in an answer that we do not pass on."""


class Connection(asyncio.Protocol):
    """Asks with `ask`, then `head` and `chunk` until there is no more; `gone` is told of its end."""

    def __init__(self, gone: Callable[["Connection"], None], patience_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._gone = gone
        self._patience_s = patience_s
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._then: Callable[[], None] | None = None
        self._fault: Broken | None = None
        self._paused_reading = False
        self._paused_writing = False
        self._busy = False
        self._keep = True
        self._used = False
        # whoever sweeps the pool ends the connection after this
        self.deadline = _NEVER
        self.idle_since = 0.0
        self._reset(bodiless=False)

    def _reset(self, *, bodiless: bool) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._bodiless = bodiless
        self._heard = self._said_1_1 = False
        self._interim = 0
        self._in_head = True
        self._head_bytes = self._fields_bytes = 0
        self._started = False
        self._complete = False
        self._chunks: list[bytes] = []
        self._buffered = 0

    # the request

    def ask(self, data: bytes, *, bodiless: bool, then: Callable[[], None] | None = None) -> None:
        """Send the head of a request, and what there is of its body; `bodiless` as HEAD is.

        `then` is called when `head` would return or raise at once.
        """
        self._reset(bodiless=bodiless)
        self._busy = True
        self._then = then
        self.deadline = self._loop.time() + self._patience_s
        self._write(data)

    async def more(self, data: bytes) -> None:
        """Send more of the request's body, as fast as the service takes it. Raises Broken."""
        self.deadline = self._loop.time() + self._patience_s
        self._write(data)
        while self._paused_writing and self._fault is None:
            await self._turn()
        if self._fault is not None:
            raise self._fault

    def be_patient(self) -> None:
        """Do not hold the service to its deadline: the next move is the partner's."""
        self.deadline = _NEVER

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self._fault is None:
            self._transport.write(data)

    # the answer

    async def head(self) -> None:
        """Return when `status` and `headers` are there. Raises Broken."""
        while not self._started:
            if self._fault is not None:
                raise self._fault
            await self._turn()

    async def chunk(self) -> tuple[bytes, bool]:
        """Return what has come of the body, and whether there is more. Raises Broken."""
        while not self._chunks and not self._complete:
            if self._fault is not None:
                raise self._fault
            await self._turn()
        data = self.body()
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self.deadline = self._loop.time() + self._patience_s
            self._transport.resume_reading()
        return data, not self._complete

    @property
    def complete(self) -> bool:
        """Whether all of the answer is there; then `chunk` does not wait."""
        return self._complete

    def body(self) -> bytes:
        """Return what has come of the body since it was last asked for."""
        chunks, self._chunks = self._chunks, []
        self._buffered = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def reusable(self) -> bool:
        """Whether the answer came to its end and another may follow."""
        return self._complete and self._keep and self._fault is None

    def rest(self) -> None:
        """Go idle: from here on whatever comes is unasked for."""
        self._busy = False
        self._used = True
        self.deadline = _NEVER
        self.idle_since = self._loop.time()

    def fail(self, reason: str) -> None:
        """End the connection; whoever waits for it learns the reason."""
        if self._fault is None:
            self._fault = Broken(
                reason, stale=reason == "closed" and self._used and not self._heard
            )
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def _turn(self) -> None:
        """Wait for the next thing that happens here: who sends and who reads may both wait."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()
        if self._then is not None and (self._started or self._fault is not None):
            then, self._then = self._then, None
            then()

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self.fail("closed")
        self._gone(self)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._complete:
            self.fail("unasked-bytes")
            return
        if not self._heard:
            self._heard = True
            self._said_1_1 = data.startswith(b"HTTP/1.1 ")
        self.deadline = self._loop.time() + self._patience_s
        if self._in_head:
            # one long field reaches on_header only when it ends: count what is still inside
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # what came whole before stands; nothing may follow it
            self._keep = False
            if not self._complete:
                self.fail("malformed-answer")
            self._wake()
            return
        if self._in_head and self._head_bytes > _MAX_HEAD:
            self.fail("answer-head-too-large")
        if self._bodiless and self._complete:
            # the parser does not know of HEAD and waits for a body
            self._parser = httptools.HttpResponseParser(self)
        self._wake()

    # the parser's side: an exception here comes out of feed_data as HttpParserError

    def on_message_begin(self) -> None:
        if self._started:
            raise _Unacceptable("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        self._fields_bytes += len(name) + len(value)
        if len(self.headers) >= _MAX_FIELDS or self._fields_bytes > _MAX_HEAD:
            raise _Unacceptable("fields")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status in _INTERIM and self._interim < _MAX_INTERIM:
            self._interim += 1
            return
        if status not in _FINAL or not self._is_1_1():
            raise _Unacceptable("status or version")
        self._check_framing(status)
        self.status = status
        self._in_head = False
        self._started = True
        if self._bodiless:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    def _is_1_1(self) -> bool:
        """Tell the version by the bytes where they say it plainly: the parser takes long to."""
        plainly = self._said_1_1 and not self._interim
        return plainly or self._parser.get_http_version() == "1.1"

    def _check_framing(self, status: int) -> None:
        said = dict(self.headers)
        length, coding = said.get(b"content-length"), said.get(b"transfer-encoding")
        if len(said) < len(self.headers):
            names = [name for name, _ in self.headers]
            if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
                raise _Unacceptable("framing")
        if length is not None and (coding is not None or not length.isdigit()):
            raise _Unacceptable("framing")
        if coding is not None and coding.lower() != b"chunked":
            raise _Unacceptable("framing")
        if coding is length is None and not self._bodiless and status not in _BODILESS:
            # an answer that ends with its connection cannot be told from one cut short
            raise _Unacceptable("framing")

    def on_body(self, data: bytes) -> None:
        if self._complete:
            raise _Unacceptable("a body after the end")
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > _HIGH_WATER and not self._paused_reading and self._transport:
            self._paused_reading = True
            # it is the partner who is slow
            self.deadline = _NEVER
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self._started:
            # an interim answer: the real one follows
            self.headers = []
            self._head_bytes = self._fields_bytes = 0
            return
        if not self._complete:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
