"""How an answer is written: uvicorn's cycle, with its head and the first of its body in one write."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

NO_BODY = frozenset({204, 304})
# as numbers: a byte is counted faster than a text of one
_LF, _CR, _NUL = b"\n\r\0"


def head_of(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return an answer's head. Raises RuntimeError for a field that would split it in two."""
    lines = [*map(b": ".join, fields), b"\r\n"]
    head, most = b"\r\n".join(lines), len(lines)
    if head.count(_LF) != most or head.count(_CR) != most or _NUL in head:
        raise RuntimeError("A header's value holds a line break.")
    return STATUS_LINE[status] + head


class Cycle(RequestResponseCycle):
    """One request and its answer. A header that would split the answer in two is an error."""

    # wider than uvicorn's own type of it, as ASGI has it
    scope: Any

    def __init__(self, scope: Any, protocol: HttpToolsProtocol, *, keep_alive: bool) -> None:
        self._protocol = protocol
        super().__init__(
            scope,
            protocol.transport,
            protocol.flow,
            protocol.logger,
            protocol.access_logger,
            access_log=False,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=protocol.expect_100_continue,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )
        self._held = b""

    def run(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        """Let the application answer in a task of its own."""
        self._protocol._start_asgi_task(self, app)  # noqa: SLF001  # uvicorn's own way to begin one

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._held = self._head(message["status"], message.get("headers", ()))
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started or self.response_complete:
            raise RuntimeError(f"{message['type']} is out of order")
        more = message.get("more_body", False)
        data = self._held + self._framed(message.get("body", b""), more=more)
        self._held = b""
        if data:
            self.transport.write(data)
        if not more:
            self._end()

    def _end(self) -> None:
        if self.expected_content_length != 0:
            raise RuntimeError("The answer is shorter than its Content-Length.")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _head(self, status: int, given: Iterable[tuple[bytes, bytes]]) -> bytes:
        fields = [*self.default_headers, *given]
        said = dict(fields)
        length = said.get(b"content-length")
        if said.get(b"transfer-encoding", b"").lower() == b"chunked":
            self.chunked_encoding = True
        elif length is not None:
            self.chunked_encoding = False
            self.expected_content_length = int(length)
        if b"close" in said.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            fields.append((b"connection", b"close"))
        if self.scope["method"] == "HEAD" or status in NO_BODY:
            self.expected_content_length = 0
        elif self.chunked_encoding is None:
            self.chunked_encoding = True
            fields.append((b"transfer-encoding", b"chunked"))
        return head_of(status, fields)

    def _framed(self, part: bytes, *, more: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            return b""
        if self.chunked_encoding:
            framed = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            return framed if more else framed + b"0\r\n\r\n"
        self.expected_content_length -= len(part)
        if self.expected_content_length < 0:
            raise RuntimeError("The answer is longer than its Content-Length.")
        return part
