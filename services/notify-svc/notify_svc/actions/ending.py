"""Tells an organisation, once, that it may no longer see what it was told of; then there is silence.

Whatever changes rights leaves a note of whom to look at. Looked at it is a moment later, by rights
that are fresh, so that of a change that comes in several events only the result is told. Note, state
and notice are one commit: a process that dies leaves the note, or the notice.
"""

import asyncio
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import turns
from svckit.clock import now
from svckit.ids import new_id
from svckit.service import Running
from svckit.telemetry import traceparent

from notify_svc import events
from notify_svc.actions import fanout
from notify_svc.domain.kinds import ACCESS_ENDED, short
from notify_svc.domain.schedule import KEEP_DAYS
from notify_svc.models import Access, Message
from notify_svc.queries import access, audience

_IDLE_S = 0.25
_PERSONS = 50
# by the letters of an id
_HREFS = {"per": "persons", "cas": "cases", "ref": "referrals"}


async def watch(running: Running, stop: asyncio.Event) -> None:
    """Look at what is due until stopped; while rights are not fresh it waits."""
    settle_s = running.settings.access_settle_s

    async def turn() -> bool:
        if not await running.rights.look():
            return False
        async with running.db.read() as session:
            found = await access.is_due(session, settle_s)
        if found:
            async with running.db.begin() as tx:
                await step(tx, settle_s)
        return found

    await turns.run(turn, stop, failed="what ended cannot be told yet", idle_s=_IDLE_S)


async def step(tx: AsyncSession, settle_s: float) -> None:
    """Look at some of those who are due: tell what ended, note what may be seen again."""
    # before their notes are taken, in the order in which a fan-out takes the two
    await audience.serialise(tx)
    persons = await access.take_due(tx, settle_s, _PERSONS)
    found = await access.standing(tx, persons) if persons else []
    lost = [one.access for one in found if not one.sees and one.access.ended_at is None]
    back = [one.access for one in found if one.sees and one.access.ended_at is not None]
    if back:
        await access.reopen(tx, back)
    if lost:
        await access.end(tx, lost)
    for one in lost:
        await _tell(tx, one)


async def _tell(tx: AsyncSession, lost: Access) -> None:
    """Put the notice into the organisation's feed; it is the organisation's own, and tells ids only."""
    at = now()
    about = {
        "id": lost.subject,
        "version": lost.times + 1,
        "href": f"/v1/{_HREFS[lost.subject[:3]]}/{lost.subject}",
        "case_id": lost.case_id,
    }
    found = new_id("evt")
    message = Message(
        id=found,
        type=ACCESS_ENDED,
        kind=short(ACCESS_ENDED),
        # of its own: nothing that happens to the case supersedes it
        subject=found,
        version=1,
        custodian_id=lost.organisation_id,
        case_id=lost.case_id,
        referral_id=lost.referral_id,
        parties=[],
        classes=0,
        body=events.body(ACCESS_ENDED, at, about),
        occurred_at=at,
        expires_at=at + timedelta(days=KEEP_DAYS),
    )
    tx.add(message)
    await tx.flush()
    await fanout.hand_out(tx, message, [lost.organisation_id], parent=traceparent())
