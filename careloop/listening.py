"""A local receiver for development: verifies, tells what came, misbehaves when asked to."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from careloop.errors import Refused
from careloop.misbehaving import Fault
from careloop.verifying import VERIFICATION, fault_of, is_handshake

# A handshake may come before the answer that holds the secret.
_SECRET_WITHIN_S = 5.0
_GRACE_S = 0.2


@dataclass(frozen=True)
class Arrival:
    """One request and how it was answered; `message` only when it was genuine."""

    message: dict[str, Any] | None
    message_id: str
    times: int
    refused: str | None = None
    played: str | None = None
    status: int | None = None


@dataclass
class Listener:
    """Plays `fault` on every `every`-th delivery; a handshake is always answered."""

    tell: Callable[[Arrival], None]
    fault: Fault | None = None
    every: int = 1
    secrets: tuple[str, ...] = ()
    port: int = 0
    _known: asyncio.Event = field(default_factory=asyncio.Event)
    _times: dict[str, int] = field(default_factory=dict)
    _deliveries: int = 0

    def trust(self, *secrets: str) -> None:
        self.secrets = secrets
        self._known.set()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen until the block ends; `port` says where. Raises Refused: it is taken."""
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise Refused(f"{host}:{port} is taken: choose another --port") from error
            self.port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), _SECRET_WITHIN_S)
        headers = {name.lower(): value for name, value in request.headers.items()}
        message_id = headers.get("webhook-id", "")
        refused = fault_of(self.secrets, headers, body, at=time.time())
        if refused:
            if is_handshake(body):  # of a new endpoint: the first is signed, the second is not
                refused = f"the forged half of a handshake, as it should be ({refused})"
            self.tell(Arrival(None, message_id, 1, refused=refused, status=401))
            return web.Response(status=401)
        message: dict[str, Any] = json.loads(body)
        times = self._times[message_id] = self._times.get(message_id, 0) + 1
        if message.get("type") == VERIFICATION:
            self.tell(Arrival(message, message_id, times, status=200))
            return web.json_response({"challenge": message["data"]["challenge"]})
        return await self._take(request, message, message_id, times)

    async def _take(
        self, request: web.BaseRequest, message: dict[str, Any], message_id: str, times: int
    ) -> web.StreamResponse:
        self._deliveries += 1
        if self.fault is None or self._deliveries % self.every:
            self.tell(Arrival(message, message_id, times, status=204))
            return web.Response(status=204)
        self.tell(Arrival(message, message_id, times, played=str(self.fault)))
        return await self.fault.play(request)
