"""Reads the feed: a page at once, a page when there is one (long poll), or pages without end."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from time import monotonic

import structlog
from svckit.db import Database
from svckit.faults import AWAY
from svckit.identity import Caller
from svckit.rights import Rights

from notify_svc.domain.feeds import FeedPositionExpired
from notify_svc.domain.filters import EVERYTHING, Wanted
from notify_svc.queries import feed as queries
from notify_svc.queries.feed import FeedRow

MAX_WAIT_S = 25  # below the idle timeout that proxies commonly have (30 s)
_POLL_S = 0.1
_log = structlog.get_logger("feed")
_WINDOWS = 10  # looked through in one request when nothing in them may be seen any more


@dataclass(frozen=True)
class FeedPage:
    rows: list[FeedRow]
    next_after: int
    more: bool


class Feed:
    """Reads for one process. No connection is held while waiting."""

    def __init__(self, db: Database, rights: Rights, waiters: int) -> None:
        self._db, self._rights = db, rights
        self._room = waiters
        self._waiting: Counter[str] = Counter()
        self._heads: dict[str, int] = {}
        self._turn = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None

    async def read(
        self, caller: Caller, *, after: int, limit: int, wanted: Wanted, wait_s: float
    ) -> FeedPage:
        """Return the next events; empty when there is none within `wait_s`.

        Beyond the process's number of waiters the answer comes at once. What arrives during the wait
        is decided by the rights of that moment: raises RightsStale when nothing is known of them.
        """
        page = await self.look(caller, after, limit, wanted)
        if page.rows or page.more or wait_s == 0 or self._room == 0:
            return page
        until = monotonic() + wait_s
        self._room -= 1
        try:
            while monotonic() < until:
                await self.news(caller.organisation_id, page.next_after, until)
                await self._rights.look()
                page = await self.look(caller, page.next_after, limit, wanted)
                if page.rows or page.more:
                    break
        finally:
            self._room += 1
        return page

    async def news(self, organisation_id: str, seen: int, until: float) -> None:
        """Wait until the organisation's counter is beyond what was seen, or for the time to end."""
        self._waiting[organisation_id] += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(until - monotonic()):
                while self._heads.get(organisation_id, 0) <= seen:
                    await self._turn.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= Counter([organisation_id])

    async def _poll(self) -> None:
        """Look at the counters of all who wait, in one statement a turn, while anyone waits."""
        while self._waiting:
            try:
                async with self._db.read() as session:
                    self._heads = await queries.heads(session, list(self._waiting))
            except AWAY as error:
                _log.warning("the feed's counters cannot be read", error=type(error).__name__)
            turn, self._turn = self._turn, asyncio.Event()
            turn.set()
            await asyncio.sleep(_POLL_S)

    async def look(
        self, caller: Caller, after: int, limit: int, wanted: Wanted = EVERYTHING
    ) -> FeedPage:
        """Return what there is after a number, decided by the rights as they are."""
        at = after
        for _ in range(_WINDOWS):
            async with self._db.read_as(caller.organisation_id) as session:
                last = await queries.head(session, caller.organisation_id)
                found = await queries.window(session, caller, after=at, limit=limit, wanted=wanted)
            seen = [row for row in found.rows if row.visible]
            _require_kept(after, last)
            # an exhausted window has seen everything up to the counter, also what filters left out
            reached = found.rows[-1].seq if found.rows else at
            at = reached if found.is_full else max(reached, last.seq)
            if seen or not found.is_full:
                return FeedPage(seen, at, found.is_full)
        return FeedPage([], at, more=True)


def _require_kept(after: int, head: queries.Head) -> None:
    """Raise FeedPositionExpired when what follows has been removed.

    0 is no place of anybody's: who has nothing yet begins with what is kept.
    """
    if 0 < after < head.forgotten_seq:
        raise FeedPositionExpired(
            "Events after this number are no longer kept.",
            extra={"kept_after": head.forgotten_seq},
        )
