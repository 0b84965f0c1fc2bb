"""The clock of the worker inbox: deadlines into notices, notices into mails, mails to the server.

Any number of processes may look; what one has locked the others leave to it.
"""

import asyncio
import random

import structlog
from prometheus_client import Counter
from svckit import turns
from svckit.db import Database
from svckit.rights import Rights
from svckit.service import Running

from notify_svc.actions import inbox, mails
from notify_svc.domain.letters import Letter
from notify_svc.domain.mailbox import Answer
from notify_svc.remind.smtp import Post, post_of
from notify_svc.settings import Settings

_BATCH = 100
_SETTLE_S = (0.1, 0.5, 2.0, 5.0)
_jitter = random.SystemRandom()
_log = structlog.get_logger("remind")
_mails = Counter("careloop_mails_total", "Attempts to send a mail, by outcome", ["outcome"])
_notices = Counter("careloop_deadline_notices_total", "Notices of deadlines")


async def run(running: Running, stop: asyncio.Event) -> None:
    """Look until stopped; a mail that is being handed over is handed over first."""
    await Loop(running.db, running.rights, running.settings, stop).run()


class Loop:
    """One process's share of the reminding."""

    def __init__(
        self, db: Database, rights: Rights, settings: Settings, stop: asyncio.Event
    ) -> None:
        self._db, self._rights, self._settings, self._stop = db, rights, settings, stop
        self._post: Post | None = post_of(settings)

    async def run(self) -> None:
        await turns.run(
            self.step,
            self._stop,
            failed="reminding failed",
            idle_s=self._settings.remind_every_s,
            survives=(Exception,),
        )

    async def step(self) -> bool:
        """Tell, plan and send a batch of each; return whether there may be more.

        While the rights are not fresh no mail is claimed: what it may say is not known.
        """
        async with self._db.begin() as tx:
            done = await inbox.pass_time(tx, limit=_BATCH)
        _notices.inc(done)
        if self._post is None:
            return done > 0
        async with self._db.begin() as tx:
            done += await mails.plan(tx)
        if await self._rights.look():
            done += await self._send(self._post)
        return done > 0

    async def _send(self, post: Post) -> int:
        """Send one after the other; return how many were looked at."""
        for looked in range(_BATCH):
            if self._stop.is_set():
                return looked
            async with self._db.begin() as tx:
                claimed = await mails.claim(tx, self._settings)
            if claimed is None:
                return looked
            if claimed.letter:
                await self._settle(claimed.letter, await post(claimed.letter))
        return _BATCH

    async def _settle(self, letter: Letter, answer: Answer) -> None:
        """Write the result; a database that is away gets some seconds, then the lease decides."""
        for wait_s in (*_SETTLE_S, None):
            try:
                async with self._db.begin() as tx:
                    verdict = await mails.settle(
                        tx, letter, answer, self._settings, _jitter.random()
                    )
            except Exception as error:  # noqa: BLE001  # one result must not end the loop
                _log.warning("result not written", error=type(error).__name__)
                if wait_s is not None:
                    await asyncio.sleep(wait_s)
            else:
                _mails.labels(verdict.outcome if verdict else "superseded").inc()
                return
