"""Whose row an id names, and what decides about it: for the ledger and for explanations."""

from sharing.classes import ENVELOPE, DataClass, names_of
from sharing.described import Described, Way
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.disclosure import Owner

from referral_svc.models import Message, Referral

# who learns of a message needs these of its referral
MESSAGE_SHOWS = DataClass.COORDINATION | DataClass.NOTES


async def owner_of(session: AsyncSession, row_id: str) -> Owner | None:
    """Return the custodian and the person of a referral, whoever asks; None when there is none."""
    if not row_id.startswith("ref_"):
        return None
    statement = select(Referral.custodian_id, Referral.person_id).where(Referral.id == row_id)
    row = (await session.execute(statement)).first()
    return Owner("referral", *row) if row else None


async def describe(session: AsyncSession, row_id: str) -> Described | None:
    """Return what decides about a referral or a message; None when there is none.

    A message is a part of its referral. A draft has one side.
    """
    statement = select(Referral)
    if row_id.startswith("msg_"):
        statement = statement.join(Message, Message.referral_id == Referral.id)
        resource, more, which = "message", MESSAGE_SHOWS, Message.id == row_id
    elif row_id.startswith("ref_"):
        resource, more, which = "referral", ENVELOPE, Referral.id == row_id
    else:
        return None
    found = await session.scalar(statement.where(which))
    if found is None:
        return None
    told = [found.owner_id] if found.requested_at else []
    return Described(
        resource=resource,
        custodian_id=found.custodian_id,
        person_id=found.person_id,
        required=tuple(names_of(found.required_classes | more)),
        confidentiality="N",
        ways=(Way(case_id=found.case_id, referral_id=found.id),),
        parties=(found.requester_id, *told),
    )
