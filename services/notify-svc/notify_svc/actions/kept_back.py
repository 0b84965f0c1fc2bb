"""What is kept back while an event of its case waits for an operator, and goes on when that is done.

Nothing is lost and nothing is told before it: messages of the case are stored and not handed out,
deliveries are put off, and whether access ended is looked at afterwards.
"""

from collections.abc import Collection

from sharing.waiting import CASES
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.telemetry import traceparent

from notify_svc.actions import fanout, hints
from notify_svc.domain.attempts import EVENT_WAITS, Status
from notify_svc.models import Delivery
from notify_svc.queries import access, audience, kept_back

# brought back when the case is free; in case nobody does, looked at again
_AGAIN = text("clock_timestamp() + interval '5 minutes'")
_BRING_BACK = text(
    "UPDATE delivery d SET next_at = clock_timestamp(), reason = NULL FROM message m"
    " WHERE m.case_id = :case_id AND d.message_id = m.id"
    " AND d.status = 'pending' AND d.reason = :reason"
)


async def put_off(tx: AsyncSession, delivery_ids: Collection[str]) -> set[str]:
    """Let those of these deliveries wait whose case waits; return which."""
    waiting = await kept_back.waiting(tx, delivery_ids)
    if waiting:
        await tx.execute(
            update(Delivery)
            .where(Delivery.id.in_(waiting))
            .values(status=Status.PENDING, reason=EVENT_WAITS, token=None, next_at=_AGAIN)
            .execution_options(synchronize_session=False)
        )
    return waiting


async def freed(tx: AsyncSession, topic: str, key: str) -> None:
    """Tell and send what waited for the case, by the rights as they are now."""
    if topic != CASES:
        return
    await audience.serialise(tx)
    untold = await kept_back.untold(tx, key)
    parent, found = traceparent(), await audience.audiences(tx, untold)
    told = zip(untold, found, strict=True)
    await fanout.hand_out_all(tx, [fanout.Handed(*each, parent) for each in told])
    for grant in await audience.grants_of(tx, case_id=key):
        await fanout.tell_missed(tx, grant)
    await tx.execute(_BRING_BACK, {"case_id": key, "reason": EVENT_WAITS})
    hints.wake_after_commit(tx)
    await access.check_case(tx, key)
