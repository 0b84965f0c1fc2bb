"""The scheduler: asks for what is due as long as there is room, and sends each attempt in a task.

Two lanes. Endpoints that time out share a quarter of the room, so that the others always find some.
"""

import asyncio
import random
from time import monotonic

import structlog
from prometheus_client import Counter, Histogram
from svckit.db import Database
from svckit.failpoints import failpoint
from svckit.rights import Rights
from svckit.service import Running

from notify_svc.actions import attempts, hints
from notify_svc.deliver.post import Poster
from notify_svc.domain.attempts import Answer
from notify_svc.queries.claims import Claim
from notify_svc.settings import Settings

_IDLE_S = (0.02, 0.4)  # doubling from the first to the second while nothing is due
_DRAIN_S = 8  # what is still in flight then reads `unknown` and is sent again after its lease
_SETTLE_S = (0.1, 0.5, 2.0, 5.0)
_jitter = random.SystemRandom()
_log = structlog.get_logger("deliver")
_attempts = Counter("careloop_webhook_attempts_total", "Attempts by outcome", ["outcome"])
_seconds = Histogram(
    "careloop_webhook_attempt_seconds", "Time from claim to answer", buckets=(0.05, 0.2, 1, 5, 15)
)


async def run(running: Running, stop: asyncio.Event) -> None:
    """Deliver until stopped, then let what is in flight end."""
    settings: Settings = running.settings
    loop = Loop(running.db, running.rights, settings)
    try:
        await loop.run(stop)
    finally:
        await loop.close()


class Loop:
    """One process's share of the delivering; any number of them may run."""

    def __init__(self, db: Database, rights: Rights, settings: Settings) -> None:
        self._db, self._rights = db, rights
        self._settings = settings
        self._poster = Poster(settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = hints.woken()
        self._slow_room = settings.deliver_concurrency // 4
        self._room = settings.deliver_concurrency - self._slow_room
        self._swept = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        idle_s = _IDLE_S[0]
        while not stop.is_set():
            try:
                found = await self.step()
            except Exception as error:  # noqa: BLE001  # the loop outlives its database
                _log.warning("claiming failed", error=type(error).__name__)
                found, idle_s = False, 1.0
            if not found:
                await self._pause(stop, idle_s)
                idle_s = min(idle_s * 2, _IDLE_S[1])
            else:
                idle_s = _IDLE_S[0]

    async def step(self) -> bool:
        """Claim and start what there is room for; return whether there was anything.

        While the rights are not fresh everything waits, to be decided when they are.
        """
        if monotonic() - self._swept > self._settings.sweep_every_s:
            async with self._db.begin() as tx:
                await attempts.sweep(tx)
            self._swept = monotonic()
        if (self._room <= 0 and self._slow_room <= 0) or not await self._rights.look():
            return False
        until = monotonic() + self._settings.lease_s
        async with self._db.begin() as tx:
            claimed = await attempts.claim(
                tx, self._settings, healthy=self._room, slow=self._slow_room
            )
        if claimed is None:
            return False
        failpoint("deliver.claimed")
        for claim in claimed.claims:
            self._start(claim, claimed, until, slow=claim.token in claimed.slow)
        return True

    def _start(self, claim: Claim, claimed: attempts.Claimed, until: float, *, slow: bool) -> None:
        self._take(slow=slow, by=1)
        task = asyncio.create_task(self._attempt(claim, claimed, until))
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            self._take(slow=slow, by=-1)
            self._wake.set()

        task.add_done_callback(ended)

    def _take(self, *, slow: bool, by: int) -> None:
        if slow:
            self._slow_room -= by
        else:
            self._room -= by

    async def _attempt(self, claim: Claim, claimed: attempts.Claimed, until: float) -> None:
        """Send while the claim is ours, and write what came of it.

        A process that was stopped may wake up long after: then another one has the delivery, or its
        endpoint is disabled by now.
        """
        if monotonic() > until:
            _attempts.labels("superseded").inc()
            return
        with _seconds.time():
            answer = await self._poster.post(claim, claimed.at)
        failpoint("deliver.answered")
        await self._settle(claim, answer)
        failpoint("deliver.settled")

    async def _settle(self, claim: Claim, answer: Answer) -> None:
        """Write the result; a database that is away gets some seconds, then the lease decides."""
        for wait_s in (*_SETTLE_S, None):
            try:
                async with self._db.begin() as tx:
                    verdict = await attempts.settle(
                        tx, claim, answer, self._settings, _jitter.random()
                    )
            except Exception as error:  # noqa: BLE001  # one result must not end the others
                _log.warning("result not written", error=type(error).__name__)
                if wait_s is not None:
                    await asyncio.sleep(wait_s)
            else:
                _attempts.labels(verdict.outcome if verdict else "superseded").inc()
                return

    async def _pause(self, stop: asyncio.Event, idle_s: float) -> None:
        """Wait for a free place, for the stop, or for the time to look again."""
        self._wake.clear()
        waiting = {asyncio.create_task(event.wait()) for event in (stop, self._wake)}
        await asyncio.wait(waiting, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Let what is in flight end, within bounds, and close the connections."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_DRAIN_S)
        for task in set(self._tasks):
            task.cancel()
        await self._poster.close()
