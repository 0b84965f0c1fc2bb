"""The body of a request as a partner sends it: bounded in size, in silence and in pace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from starlette.types import Message, Receive
from svckit.errors import CareloopError, PayloadTooLarge, Unavailable

# after the first silence that is allowed, a body comes at least this fast: drops keep nobody
MIN_BYTES_PER_S = 1024


class BodyTooSlow(CareloopError):
    status = 408
    code = "body-too-slow"


class Pace:
    """How long the other side may take: a silence, and on the whole no slower than the minimum."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._waited_s = 0.0
        self._seen = 0

    @asynccontextmanager
    async def of(self, size: int = 0) -> AsyncIterator[None]:
        """Time the block, which moves that many bytes. Raises TimeoutError."""
        late = max(0.0, self._waited_s - self._seen / MIN_BYTES_PER_S)
        at = monotonic()
        async with asyncio.timeout(max(0.0, self._silence_s - late)):
            yield
        self._waited_s += monotonic() - at
        self._seen += size

    def saw(self, size: int) -> int:
        """Count bytes whose number was not known before; return all so far."""
        self._seen += size
        return self._seen


class Body:
    """Yields what comes, once. `fault` is why it ended before its end."""

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._pace = Pace(timeout_s)
        self.fault: CareloopError | None = None
        self.more = True

    async def next(self) -> bytes:
        """Return the next part, b"" for none; `more` tells whether to ask again."""
        try:
            async with self._pace.of():
                message = await self._receive()
        except TimeoutError:
            raise self._failed(BodyTooSlow("The body came too slowly.")) from None
        if message["type"] == "http.disconnect":
            raise self._failed(Unavailable("The client went away."))
        chunk: bytes = message.get("body", b"")
        if self._pace.saw(len(chunk)) > self._limit:
            raise self._failed(too_large(self._limit))
        self.more = message.get("more_body", False)
        return chunk

    def _failed(self, fault: CareloopError) -> CareloopError:
        self.fault = fault
        return fault


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")


async def read_whole(receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """Return a small body. Raises PayloadTooLarge, BodyTooSlow."""
    body = Body(receive, limit, timeout_s)
    parts: list[bytes] = []
    while body.more:
        parts.append(await body.next())
    return b"".join(parts)


async def drain(receive: Receive, *, limit: int, timeout_s: float) -> None:
    """Take in what the client still sends, within bounds, so that it gets to read our answer."""
    body = Body(receive, limit, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            while body.more:
                await body.next()
    except (CareloopError, TimeoutError):
        return


def replayed(body: bytes) -> Receive:
    """Return a receive channel that yields the body once, then a disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return {"type": "http.disconnect"}

    return receive
