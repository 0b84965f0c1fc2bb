"""The scheduler: asks for what is due as long as there is room, and sends each attempt in a task.

What has been answered meanwhile is written in the same commit that claims the next. Two lanes:
endpoints that do not keep up share a quarter of the room, so that the others always find some. A
request that hangs is counted there as well, long before its timeout says of the endpoint what it is.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from time import monotonic

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Histogram
from svckit import turns
from svckit.db import Database
from svckit.failpoints import failpoint
from svckit.rights import Rights
from svckit.service import Running

from notify_svc.actions import attempts, hints, results
from notify_svc.actions.attempts import Claimed
from notify_svc.actions.results import Result
from notify_svc.deliver.post import Poster
from notify_svc.domain.attempts import Verdict
from notify_svc.queries.claims import Claim
from notify_svc.settings import Settings

_IDLE_S, _MOST_IDLE_S = 0.02, 0.4
_DRAIN_S = 8  # what is still in flight then reads `unknown` and is sent again after its lease
_AGAIN_S = 1.0
_HANGS_S = 1.0
_TRIES = 6  # after that the lease decides what the result could not
_jitter = random.SystemRandom()
_log = structlog.get_logger("deliver")
_attempts = Metric("careloop_webhook_attempts_total", "Attempts by outcome", ["outcome"])
_seconds = Histogram(
    "careloop_webhook_attempt_seconds", "Time from claim to answer", buckets=(0.05, 0.2, 1, 5, 15)
)
_batch = Histogram(
    "careloop_webhook_results_per_commit", "Results in one commit", buckets=(1, 2, 4, 8, 16, 32, 64)
)


async def run(running: Running, stop: asyncio.Event) -> None:
    """Deliver until stopped, then let what is in flight end."""
    settings: Settings = running.settings
    loop = Loop(running.db, running.rights, settings)
    try:
        await loop.run(stop)
    finally:
        await loop.close()


@dataclass(eq=False)
class _Answered:
    """A result that is not written yet, and how often that was tried."""

    result: Result
    tries: int = 0


class Loop:
    """One process's share of the delivering; any number of them may run."""

    def __init__(self, db: Database, rights: Rights, settings: Settings) -> None:
        self._db, self._rights = db, rights
        self._settings = settings
        self._poster = Poster(settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered: list[_Answered] = []
        self._wake = hints.woken()
        self._slow_room = settings.deliver_concurrency // 4
        self._room = settings.deliver_concurrency - self._slow_room
        # how far beyond its room requests that hang may take the slow lane
        self._hanging_room = settings.deliver_concurrency
        # what the other lane has in flight, and since when, oldest first
        self._fast: dict[asyncio.Task[None], float] = {}
        self._swept = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        await turns.run(
            self.step,
            stop,
            failed="claiming failed",
            idle_s=_IDLE_S,
            most_idle_s=_MOST_IDLE_S,
            again_s=_AGAIN_S,
            wake=self._wake,
            # what has been answered is still to be written, whatever happens
            survives=(Exception,),
        )

    async def step(self) -> bool:
        """Write what was answered, claim and start what there is room for; return whether any.

        While the rights are not fresh what is to be sent waits, to be decided when they are.
        """
        if monotonic() - self._swept > self._settings.sweep_every_s:
            async with self._db.begin() as tx:
                await attempts.sweep(tx)
            self._swept = monotonic()
        self._set_aside()
        has_room = self._room > 0 or self._slow_room > 0
        may_send = has_room and await self._rights.look()
        answered = self._take_answered()
        if not answered and not may_send:
            return False
        until = monotonic() + self._settings.lease_s
        claimed = await self._commit(answered, may_send=may_send)
        if claimed:
            failpoint("deliver.claimed")
            for claim in claimed.claims:
                self._start(claim, claimed, until, slow=claim.token in claimed.slow)
        return bool(answered) or claimed is not None

    async def _commit(self, answered: list[_Answered], *, may_send: bool) -> Claimed | None:
        if not answered and not may_send:
            return None
        verdicts: list[Verdict | None] = []
        claimed = None
        try:
            async with self._db.begin() as tx:
                if answered:
                    verdicts = await results.settle(
                        tx, [each.result for each in answered], self._settings
                    )
                if may_send:
                    claimed = await attempts.claim(
                        tx, self._settings, healthy=self._room, slow=max(self._slow_room, 0)
                    )
        except BaseException:
            self._put_back(answered)
            raise
        if verdicts:
            failpoint("deliver.settled")
            _batch.observe(len(verdicts))
        met = Counter(verdict.outcome if verdict else "superseded" for verdict in verdicts)
        for outcome, times in met.items():
            _attempts.labels(outcome).inc(times)
        return claimed

    def _take_answered(self) -> list[_Answered]:
        """Return what is to be written in one commit; what was refused twice, by itself."""
        taken = [each for each in self._answered if each.tries <= 1]
        left = [each for each in self._answered if each.tries > 1]
        if not taken:
            taken, left = left[:1], left[1:]
        self._answered = left
        return taken

    def _put_back(self, answered: list[_Answered]) -> None:
        for each in answered:
            each.tries += 1
            if each.tries > _TRIES:
                _log.warning("result not written", attempt=each.result.claim.token)
            else:
                self._answered.append(each)

    def _start(self, claim: Claim, claimed: Claimed, until: float, *, slow: bool) -> None:
        self._take(slow=slow, by=1)
        task = asyncio.create_task(self._attempt(claim, claimed, until))
        self._tasks.add(task)
        if not slow:
            self._fast[task] = monotonic()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._take(slow=self._fast.pop(task, None) is None, by=-1)
        self._wake.set()

    def _set_aside(self) -> None:
        """Give the room of what hangs to those that answer."""
        before = monotonic() - _HANGS_S
        hanging = list(takewhile(lambda task: self._fast[task] < before, self._fast))
        for task in hanging[: max(self._hanging_room + self._slow_room, 0)]:
            del self._fast[task]
            self._take(slow=False, by=-1)
            self._take(slow=True, by=1)

    def _take(self, *, slow: bool, by: int) -> None:
        if slow:
            self._slow_room -= by
        else:
            self._room -= by

    async def _attempt(self, claim: Claim, claimed: Claimed, until: float) -> None:
        """Send while the claim is ours, and keep what came of it to be written.

        A process that was stopped may wake up long after: then another one has the delivery, or its
        endpoint is disabled by now.
        """
        if monotonic() > until:
            _attempts.labels("superseded").inc()
            return
        began = monotonic()
        answer = await self._poster.post(claim, claimed.at)
        failpoint("deliver.answered")
        took_s = monotonic() - began
        _seconds.observe(took_s)
        self._answered.append(_Answered(Result(claim, answer, took_s, _jitter.random())))

    async def idle(self) -> None:
        """Wait until nothing is in flight and every result is written."""
        while self._tasks or self._answered:
            if self._tasks:
                await asyncio.wait(set(self._tasks))
            await self._commit(self._take_answered(), may_send=False)

    async def close(self) -> None:
        """Let what is in flight end, within bounds, write it, and close the connections."""
        left_s, deadline = float(_DRAIN_S), monotonic() + _DRAIN_S
        while (self._tasks or self._answered) and left_s > 0:
            if self._tasks and not self._answered:
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait(set(self._tasks), timeout=left_s, return_when=first)
            try:
                await self._commit(self._take_answered(), may_send=False)
            except Exception as error:  # noqa: BLE001  # the lease decides what is not written
                _log.warning("results not written", error=type(error).__name__)
                await asyncio.sleep(_AGAIN_S / 4)
            left_s = deadline - monotonic()
        for task in set(self._tasks):
            task.cancel()
        await self._poster.close()
