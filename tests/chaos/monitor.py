"""What the harness sees of the run from outside: how far everything has arrived, by the databases."""

import asyncio
import contextlib
import time

import asyncpg
from svckit.faults import DRIVER_AWAY

from tests.chaos import plan

_AT = (
    "SELECT extract(epoch FROM min(at))::float8 FROM watermark"
    " WHERE consumer = $1 AND topic = $2 HAVING count(*) >= max(partitions)"
)
_WAITING = (
    "SELECT count(*) FROM delivery WHERE status = 'sending'"
    " OR status = 'pending' AND next_at < now() + interval '60 seconds'"
)


async def ask(url, query, *args, within_s=60.0):
    """Return one value, through outages of the database."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5, command_timeout=60)
            try:
                return await connection.fetchval(query, *args)
            finally:
                await connection.close(timeout=2)
        except DRIVER_AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


class Arrivals:
    """Asks twice a second, for all who wait, up to which instant everything has arrived."""

    def __init__(self, world):
        self._world = world
        self._urls = {plan.LEDGER: world.ledger_url}
        if world.partners:
            self._urls[plan.NOTIFY] = world.notify_url
        self._latest = dict.fromkeys(self._urls, 0.0)
        self._task = asyncio.create_task(self._look())

    async def _look(self):
        while True:
            for group, url in self._urls.items():
                with contextlib.suppress(*DRIVER_AWAY):
                    self._latest[group] = await ask(url, _AT, group, plan.TOPIC) or 0.0
            await asyncio.sleep(0.5)

    def behind_s(self):
        """How old the oldest is that somebody still waits for."""
        return time.time() - min(self._latest.values())

    async def caught_up(self, since, within_s=120.0):
        """Wait until every group has all from before `since`; tell whether it came to that."""
        deadline = time.monotonic() + within_s
        while min(self._latest.values()) < since:
            if self._task.done():
                self._task.result()  # nobody looks any more: that is no finding
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def counts(world):
    """What is left on the way, and what went it: all zero but the last two when all is quiet."""
    asked = {
        "outbox": (world.source_url, "SELECT count(*) FROM outbox"),
        "ledger parked": (world.ledger_url, "SELECT count(*) FROM parked_message"),
    }
    if world.partners:
        asked |= {
            "notify outbox": (world.notify_url, "SELECT count(*) FROM outbox"),
            "notify parked": (world.notify_url, "SELECT count(*) FROM parked_message"),
            "deliveries under way": (world.notify_url, _WAITING),
        }
    asked |= {
        "journal": (world.source_url, "SELECT count(*) FROM journal"),
        "ledger": (world.ledger_url, "SELECT count(*) FROM ledger"),
    }
    return {what: await ask(*how) for what, how in asked.items()}


async def drained(world, quiet_s=30.0):
    """Wait until nothing is left, or nothing has moved for that long; return what is left."""
    seen, moved_at = {}, time.monotonic()
    while True:
        now = await counts(world)
        if now != seen:
            seen, moved_at = now, time.monotonic()
        *left, journal, ledger = now.values()
        if not any(left) and journal == ledger:
            return now
        if time.monotonic() - moved_at > quiet_s:
            return now
        await asyncio.sleep(0.3)
