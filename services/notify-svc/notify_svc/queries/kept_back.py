"""What is kept back of a case while one of its events waits for an operator."""

from collections.abc import Collection, Sequence

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
