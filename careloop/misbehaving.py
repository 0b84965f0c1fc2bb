"""How a receiver may misbehave, played on purpose: a status, `429:5`, `slow:10`, `hang`, `reset`."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from careloop.errors import Refused

# Longer than any sender waits.
_FOREVER_S = 3600.0
_CHUNK = b"." * 65536


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, as it was written; `seconds` after the colon."""

    name: str
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Raises Refused."""
        name, colon, rest = text.partition(":")
        try:
            seconds = float(rest) if colon else None
        except ValueError:
            raise Refused(f"{text!r}: seconds are a number") from None
        is_status = name.isdigit() and HTTPStatus.OK <= int(name) <= 599  # noqa: PLR2004  # RFC 9110 s15
        if name not in _PLAYS and not is_status:
            known = ", ".join(["a status", *_PLAYS])
            raise Refused(f"no fault is called {name!r}; there are: {known}")
        return cls(name, seconds)

    def __str__(self) -> str:
        return self.name if self.seconds is None else f"{self.name}:{self.seconds:g}"

    async def play(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer the request as badly as asked."""
        play = _PLAYS.get(self.name)
        return await play(request, self.seconds) if play else self._status()

    def _status(self) -> web.Response:
        headers = {} if self.seconds is None else {"Retry-After": f"{self.seconds:g}"}
        if HTTPStatus.MULTIPLE_CHOICES <= int(self.name) < HTTPStatus.BAD_REQUEST:
            headers["Location"] = "/moved"
        return web.Response(status=int(self.name), headers=headers)


async def _slow(_: web.BaseRequest, seconds: float | None) -> web.StreamResponse:
    await asyncio.sleep(10 if seconds is None else seconds)
    return web.Response(status=204)


async def _hang(_: web.BaseRequest, __: float | None) -> web.StreamResponse:
    await asyncio.sleep(_FOREVER_S)
    return web.Response(status=204)


async def _reset(request: web.BaseRequest, _: float | None) -> web.StreamResponse:
    """Close with RST instead of FIN: lingering for no time discards what was not sent."""
    if request.transport is not None:
        handle: socket.socket = request.transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=204)


async def _drip(request: web.BaseRequest, seconds: float | None) -> web.StreamResponse:
    return await _stream(request, b".", 1.0 if seconds is None else seconds)


async def _late(request: web.BaseRequest, _: float | None) -> web.StreamResponse:
    return await _stream(request, b"", _FOREVER_S)


async def _endless(request: web.BaseRequest, _: float | None) -> web.StreamResponse:
    return await _stream(request, _CHUNK, 0)


async def _stream(request: web.BaseRequest, chunk: bytes, pause_s: float) -> web.StreamResponse:
    """Answer 200 and go on with the body until the other side has enough."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(chunk)
        await asyncio.sleep(pause_s)


_Play = Callable[[web.BaseRequest, float | None], Awaitable[web.StreamResponse]]
_PLAYS: dict[str, _Play] = {
    "slow": _slow,
    "hang": _hang,
    "reset": _reset,
    "drip": _drip,
    "late": _late,
    "endless": _endless,
}
