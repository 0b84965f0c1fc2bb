"""Follows what was revoked: told at once by the database, and asked for all the same.

`pg_notify` reaches every replica that listens when the revoking transaction commits. A connection
that drops silently, or a server between that passes no notifications, costs the poll's interval.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog
from svckit.clock import now
from svckit.db import Database
from svckit.faults import AWAY, PASSING

from gateway.queries import identity
from gateway.tokens import Revoked

_FORGET_EVERY_S = 60.0
_CONNECT_S = 5.0
_log = structlog.get_logger("revocations")


class Follower:
    """Keeps `revoked` like the database; while it is away the last known stand."""

    def __init__(self, db: Database, revoked: Revoked, poll_s: float) -> None:
        self._db = db
        self._revoked = revoked
        self._poll_s = poll_s
        self._told = asyncio.Event()
        self._connection: Any = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow until the block ends; what is revoked by now is known when it begins."""
        await self.look()
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self._hang_up()

    async def look(self) -> None:
        """Read what is revoked now."""
        self._told.clear()
        async with self._db.read() as session:
            found = await identity.revoked(session, now())
        revoked = self._revoked
        revoked.tokens, revoked.clients, revoked.versions = found

    async def _follow(self) -> None:
        forget_at = time.monotonic() + _FORGET_EVERY_S
        while True:
            try:
                await self._listen()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._told.wait()
                await self.look()
                if time.monotonic() >= forget_at:
                    forget_at = time.monotonic() + _FORGET_EVERY_S
                    async with self._db.begin() as tx:
                        await identity.forget_expired(tx, now())
            except (*AWAY, *PASSING) as error:
                _log.warning("revocations cannot be read", error=type(error).__name__)
                await asyncio.sleep(self._poll_s)

    async def _listen(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            return
        self._connection = await asyncpg.connect(self._db.url, timeout=_CONNECT_S)
        await self._connection.add_listener(identity.REVOCATIONS, self._notified)
        # what was told between the last look and now was told to nobody
        self._told.set()

    def _notified(self, *_: object) -> None:
        self._told.set()

    async def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(*AWAY):
                await self._connection.close(timeout=1)
