"""Passes server-sent events on, as long as the token that asked for them is good.

The service puts ahead of what it tells a comment that says of whom (`svckit.disclosure`). Here it is
taken out and entered into the ledger, and only then does what follows it leave. A block leaves whole
or not at all, so nothing can leave ahead of its comment.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

from starlette.types import Scope, Send
from svckit import disclosure
from svckit.errors import CareloopError

from gateway.body import Pace
from gateway.upstream import Broken, Connection

MEDIA_TYPE = b"text/event-stream"
_SERVICE = "notify-svc"
# in a request's scope: a function that raises CareloopError when an answer must not go on
GO_ON = "careloop.go-on"
# how soon it is noticed that a token was revoked, has ended, or that its partner is gone
_LOOK_S = 0.25
# a block is some hundred bytes; one without end is none of ours
_MAX_BLOCK = 256 * 1024
_END = b"\n\n"
_NOTE = re.compile(rb"^:%b ([!-~]+)\n" % disclosure.HEADER, re.MULTILINE)
_RETRY = b"\nretry: 1000\n\n"
Before = Callable[[int, Mapping[bytes, bytes]], Awaitable[None]]


def is_stream(service: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a service answers with server-sent events of ours.

    Of no other service: a document may have any type, and say what looks like a note.
    """
    return service == _SERVICE and any(
        name == b"content-type" and value.startswith(MEDIA_TYPE) for name, value in headers
    )


class Stream:
    """One partner's stream; `before` enters into the ledger what a batch tells, ahead of it."""

    def __init__(
        self, connection: Connection, send: Send, before: Before, *, silence_s: float
    ) -> None:
        self._connection = connection
        self._send = send
        self._before = before
        # a partner that does not take its events must not keep a connection to the service
        self._pace = Pace(silence_s)

    async def run(self, scope: Scope, gone: str) -> None:
        """Pass on what comes until it ends on either side. Raises Broken, TimeoutError."""
        # the head does not wait for the first event
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            async for part in self._blocks(scope, gone):
                scope[GO_ON]()
                if notes := _NOTE.findall(part):
                    told = {disclosure.HEADER: b", ".join(notes)}
                    await self._before(self._connection.status, told)
                await self._pass(_NOTE.sub(b"", part), more=True)
        except CareloopError as error:
            await self._pass(b": %b" % error.code.encode() + _RETRY, more=False)
        else:
            await self._pass(b"", more=False)

    async def _blocks(self, scope: Scope, gone: str) -> AsyncIterator[bytes]:
        """Yield whole blocks as they come, and nothing when none came for a moment."""
        held, more = b"", True
        while more and gone not in scope:
            part = b""
            try:
                async with asyncio.timeout(_LOOK_S):
                    part, more = await self._connection.chunk()
            except TimeoutError:
                yield b""
                continue
            whole, end, held = (held + part).rpartition(_END)
            if end:
                yield whole + end
            if len(held) > _MAX_BLOCK:
                raise Broken("block-too-large")

    async def _pass(self, part: bytes, *, more: bool) -> None:
        if part or not more:
            async with self._pace.of(len(part)):
                await self._send({"type": "http.response.body", "body": part, "more_body": more})
