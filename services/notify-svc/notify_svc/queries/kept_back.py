"""What is kept back of a case while one of its events waits for an operator."""

from collections.abc import Collection, Sequence

from sharing import tables
from sharing.model import Grant
from sharing.waiting import waits
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.models import Delivery, FeedItem, Message


async def waiting(tx: AsyncSession, delivery_ids: Collection[str]) -> set[str]:
    """Return those of the deliveries whose case waits."""
    query = select(Delivery.id).join(Message, Message.id == Delivery.message_id)
    return set(await tx.scalars(query.where(Delivery.id.in_(delivery_ids), waits(Message.case_id))))


async def untold(tx: AsyncSession, case_id: str) -> Sequence[Message]:
    """Return what happened in a case and nobody was told yet, in order."""
    told = select(FeedItem.message_id).where(FeedItem.message_id == Message.id)
    query = select(Message).where(
        Message.case_id == case_id, Message.expires_at > func.now(), ~told.exists()
    )
    return (await tx.scalars(query.order_by(Message.occurred_at, Message.id))).all()


async def grants(tx: AsyncSession, case_id: str) -> Sequence[Grant]:
    """Return the grants that may show something of a case, or of its person."""
    about = select(Message.person_id, Message.custodian_id).where(Message.case_id == case_id)
    of_case = about.distinct().subquery()
    grant = tables.grant
    query = select(grant).join(
        of_case,
        (of_case.c.person_id == grant.c.person_id)
        & (of_case.c.custodian_id == grant.c.custodian_id),
    )
    rows = await tx.execute(query.order_by(grant.c.id))
    return [Grant(**row) for row in rows.mappings()]
