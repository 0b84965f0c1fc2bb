"""What the two sides of a referral write to each other."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.identity import Caller
from svckit.ids import new_id

from referral_svc import events
from referral_svc.actions.moves import party_of
from referral_svc.models import Message
from referral_svc.queries import referrals


async def send(tx: AsyncSession, caller: Caller, referral_id: str, text: str) -> Message:
    """Write to the other side. Raises NotFound, NotAParty."""
    row = await referrals.get_for_update(tx, caller, referral_id)
    party_of(row, caller)
    message = Message(
        id=new_id("msg"),
        version=1,
        referral_id=row.id,
        sender_id=caller.organisation_id,
        actor=caller.actor,
        text=text,
        sent_at=now(),
    )
    tx.add(message)
    await tx.flush()
    await events.message_sent(tx, caller, row, message)
    await audit.record(tx, caller, action="message.send", resource=message.id, version=1)
    return message
