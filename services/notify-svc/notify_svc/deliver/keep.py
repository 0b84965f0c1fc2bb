"""Looks after endpoints: asks whose they are, warns of those that fail, replays, forgets what is old.

Any number of processes may: what one does is locked, or has a lease.
"""

import asyncio
import random
from time import monotonic

import structlog
from prometheus_client import Counter
from svckit import turns
from svckit.db import Database
from svckit.faults import AWAY
from svckit.rights import Rights
from svckit.service import Running

from notify_svc.actions import hints, recovery, retention, standing, verification
from notify_svc.actions.hints import About
from notify_svc.actions.verification import Challenge
from notify_svc.deliver.post import Poster
from notify_svc.domain.verification import Finding, judge_echo, judge_refusal
from notify_svc.settings import Settings

_IDLE_S, _MOST_IDLE_S = 0.01, 0.4
_ROOM = 8  # receivers asked at once
_GRACE_S = 8  # who is still being asked then is asked again after the lease
_jitter = random.SystemRandom()
_log = structlog.get_logger("keep")
_verifications = Counter(
    "careloop_webhook_verifications_total", "Receivers asked whose they are", ["verdict"]
)
_forgotten = Counter("careloop_messages_forgotten_total", "Messages removed by their age")


async def run(running: Running, stop: asyncio.Event) -> None:
    """Look after endpoints until stopped."""
    keeper = Keeper(running.db, running.rights, running.settings)
    try:
        await keeper.run(stop)
    finally:
        await keeper.close()


class Keeper:
    """One process's share of the looking after."""

    def __init__(self, db: Database, rights: Rights, settings: Settings) -> None:
        self._db, self._rights, self._settings = db, rights, settings
        self._poster = Poster(settings)
        self._asking: set[asyncio.Task[None]] = set()
        self._wake = hints.woken(About.ASKED)
        self._warned = self._forgot = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        await turns.run(
            self.turn,
            stop,
            failed="endpoints are not looked after",
            idle_s=_IDLE_S,
            most_idle_s=_MOST_IDLE_S,
            wake=self._wake,
        )

    async def turn(self) -> bool:
        """Do what is to be done now; return whether there was anything."""
        moved = await self._ask()
        if await self._rights.look():
            async with self._db.begin() as tx:
                moved = await recovery.advance(tx) or moved
        if monotonic() - self._warned > self._settings.sweep_every_s:
            async with self._db.begin() as tx:
                await standing.warn(tx, self._settings.disable_after_s)
            self._warned = monotonic()
        if monotonic() - self._forgot > self._settings.forget_every_s:
            await self._forget()
        return moved

    async def _forget(self) -> None:
        """Remove one batch; as long as there is a whole one, the next turn goes on with it."""
        async with self._db.begin() as tx:
            await retention.expire(tx, self._settings)
        async with self._db.begin() as tx:
            removed = await retention.forget(tx, self._settings)
        _forgotten.inc(removed)
        if removed < self._settings.forget_batch:
            self._forgot = monotonic()

    async def _ask(self) -> bool:
        room = _ROOM - len(self._asking)
        if room <= 0:
            return False
        async with self._db.begin() as tx:
            taken = await verification.take(tx, self._settings, room)
        for challenge in taken:
            task = asyncio.create_task(self._verify(challenge))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return bool(taken)

    async def _verify(self, challenge: Challenge) -> None:
        finding = await self._finding(challenge)
        try:
            async with self._db.begin() as tx:
                await verification.settle(
                    tx, challenge.token, finding, self._settings, _jitter.random()
                )
        except AWAY as error:
            # asked again after the lease
            _log.warning("a verification is not written", error=type(error).__name__)
        else:
            _verifications.labels(finding.verdict).inc()

    async def _finding(self, challenge: Challenge) -> Finding:
        answer = await self._poster.post(challenge.genuine, challenge.at)
        found = judge_echo(answer, challenge.challenge)
        if found is not None:
            return found
        return judge_refusal(await self._poster.post(challenge.forged, challenge.at))

    async def idle(self) -> None:
        """Wait until nobody is being asked."""
        while self._asking:
            await asyncio.wait(set(self._asking))

    async def close(self) -> None:
        if self._asking:
            await asyncio.wait(set(self._asking), timeout=_GRACE_S)
        for task in set(self._asking):
            task.cancel()
        await self._poster.close()
