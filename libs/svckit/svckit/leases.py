"""Numbered leases shared fairly among processes: session advisory locks on a direct connection.

A killed holder loses its leases with its connection. A stopped one (SIGSTOP, a stuck event loop)
loses them when its beat stays away for `LEASE_S` and the server ends the session.
"""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from svckit.db import SESSION
from svckit.faults import DRIVER_AWAY

LEASE_S = 15
# The lock number that says "I am a member"; above every lease number.
_MEMBER = 2**31 - 1

_JOIN = "SELECT pg_advisory_lock_shared($1::int, $2::int)"
_MEMBERS = """
SELECT pid, pid = pg_backend_pid() AS me FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = ($1::bigint & 4294967295)::oid AND objid = $2::bigint::oid
ORDER BY pid
"""
# LIMIT ends the scan, so no lock beyond those returned is taken.
_TAKE = """
SELECT number FROM unnest($2::int[]) AS number
WHERE pg_try_advisory_lock($1::int, number) LIMIT $3
"""
_DROP = "SELECT pg_advisory_unlock($1::int, number) FROM unnest($2::int[]) AS number"


class Leases:
    """A member's share of the numbers of one name. Any error of its connection ends all of it."""

    def __init__(
        self, connection: Any, name: str, numbers: Collection[int], lease_s: float
    ) -> None:
        self.held: frozenset[int] = frozenset()
        self._connection = connection
        self._space = zlib.crc32(name.encode()) - 2**31
        self._numbers = frozenset(numbers)
        self._turn = asyncio.Lock()
        self._lease_s = lease_s
        self._beat = asyncio.create_task(self._keep_alive())

    @classmethod
    async def join(
        cls, url: str, name: str, numbers: Collection[int], lease_s: float | None = None
    ) -> "Leases":
        """Become a member on a connection of its own. Raises OSError or PostgresError."""
        lease_s = lease_s or LEASE_S
        connection = await asyncpg.connect(
            url,
            timeout=5,
            command_timeout=30,
            server_settings={
                **SESSION,
                "idle_session_timeout": str(int(lease_s * 1000)),
                "application_name": f"lease {name}"[:60],
            },
        )
        leases = cls(connection, name, numbers, lease_s)
        await connection.execute(_JOIN, leases._space, _MEMBER)  # its own class
        return leases

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Yield the connection that holds the locks: what runs on it runs under the lease."""
        async with self._turn:
            yield self._connection

    async def refresh(self) -> frozenset[int]:
        """Move towards the fair share and return the numbers now held."""
        async with self._turn:
            share = await self._share()
            if len(self.held) > share:
                await self._drop(sorted(self.held)[share:])
            elif len(self.held) < share:
                await self._take(share - len(self.held))
        return self.held

    async def _share(self) -> int:
        members = await self._connection.fetch(_MEMBERS, self._space, _MEMBER)
        rank = next((place for place, row in enumerate(members) if row["me"]), None)
        if rank is None:
            raise ConnectionError("the membership lock is gone")
        share, rest = divmod(len(self._numbers), len(members))
        return share + (1 if rank < rest else 0)

    async def _take(self, count: int) -> None:
        free = list(self._numbers - self.held)
        random.shuffle(free)
        rows = await self._connection.fetch(_TAKE, self._space, free, count)
        self.held |= {row["number"] for row in rows}

    async def _drop(self, numbers: Collection[int]) -> None:
        await self._connection.execute(_DROP, self._space, list(numbers))
        self.held -= frozenset(numbers)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            async with self._turn:
                await self._connection.execute("SELECT 1")

    async def close(self) -> None:
        """Give everything back; a dead connection already has."""
        self.held = frozenset()
        self._beat.cancel()
        await asyncio.gather(self._beat, return_exceptions=True)
        try:
            await self._connection.close(timeout=2)
        except DRIVER_AWAY:
            self._connection.terminate()
