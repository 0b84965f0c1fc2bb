"""The long poll: reads the feed until there is something to see, or the wait is over."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic

from svckit.db import Database
from svckit.identity import Caller

from notify_svc.queries import feed as queries
from notify_svc.queries.feed import FeedRow

MAX_WAIT_S = 25  # below the idle timeout that proxies commonly have (30 s)
_POLL_S = 0.2
_WINDOWS = 10  # looked through in one request when nothing in them may be seen any more


@dataclass(frozen=True)
class FeedPage:
    rows: list[FeedRow]
    next_after: int
    more: bool


class Feed:
    """Reads for one process. No connection is held while waiting."""

    def __init__(self, db: Database, waiters: int) -> None:
        self._db = db
        self._room = waiters

    async def read(
        self, caller: Caller, *, after: int, limit: int, kinds: Collection[str], wait_s: float
    ) -> FeedPage:
        """Return the next events; empty when there is none within `wait_s`.

        Beyond the process's number of waiters the answer comes at once.
        """
        page = await self._look(caller, after, limit, kinds)
        if page.rows or page.more or wait_s == 0 or self._room == 0:
            return page
        until = monotonic() + wait_s
        self._room -= 1
        try:
            while monotonic() < until:
                await self._news(caller, page.next_after, until)
                page = await self._look(caller, page.next_after, limit, kinds)
                if page.rows or page.more:
                    break
        finally:
            self._room += 1
        return page

    async def _news(self, caller: Caller, seen: int, until: float) -> None:
        """Wait until the organisation's counter is beyond what was seen: one row by its key."""
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(_POLL_S, left))
            async with self._db.read() as session:
                if await queries.head(session, caller.organisation_id) > seen:
                    return

    async def _look(
        self, caller: Caller, after: int, limit: int, kinds: Collection[str]
    ) -> FeedPage:
        at = after
        for _ in range(_WINDOWS):
            async with self._db.read() as session:
                last = await queries.head(session, caller.organisation_id)
                found = await queries.window(session, caller, after=at, limit=limit, kinds=kinds)
            seen = [row for row in found.rows if row.visible]
            # an exhausted window has seen everything up to the counter, also what filters left out
            reached = found.rows[-1].seq if found.rows else at
            at = reached if found.is_full else max(reached, last)
            if seen or not found.is_full:
                return FeedPage(seen, at, found.is_full)
        return FeedPage([], at, more=True)
