"""Recoveries of the caller's organisation, and what one sends next."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sharing import tables
from sharing.model import Organisation
from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from notify_svc.domain.attempts import OPEN, Status
from notify_svc.domain.readers import default_purpose
from notify_svc.domain.recovery import PATIENCE, Progress
from notify_svc.models import Delivery, Endpoint, FeedHead, FeedItem, Message, Recovery


class Span(NamedTuple):
    """Numbers of a feed: those after the first, up to the last."""

    after: int
    last: int


class Running(NamedTuple):
    recovery: Recovery
    endpoint: Endpoint


async def get(
    session: AsyncSession,
    caller: Caller,
    endpoint_id: str,
    recovery_id: str,
    *,
    lock: bool = False,
) -> Recovery:
    """Raises NotFound."""
    query = _of(caller, endpoint_id).where(Recovery.id == recovery_id)
    found = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFound
    return found


async def list_page(
    session: AsyncSession, caller: Caller, endpoint_id: str, *, limit: int, before: str | None
) -> Sequence[Recovery]:
    """Return one row more than the limit, newest first."""
    query = _of(caller, endpoint_id).order_by(Recovery.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Recovery.id < before)
    return (await session.scalars(query)).all()


def _of(caller: Caller, endpoint_id: str) -> Select[Recovery]:
    return select(Recovery).where(
        Recovery.organisation_id == caller.organisation_id, Recovery.endpoint_id == endpoint_id
    )


async def under_way(tx: AsyncSession, endpoint_id: str) -> Recovery | None:
    """Return the endpoint's recovery that has not ended; the caller has locked the endpoint."""
    query = select(Recovery).where(
        Recovery.endpoint_id == endpoint_id, Recovery.progress == Progress.RUNNING
    )
    return (await tx.scalars(query)).first()


async def span(tx: AsyncSession, organisation_id: str, since: datetime, until: datetime) -> Span:
    """Return the numbers told in a period; empty when `after` is the last."""
    told_at = func.coalesce(FeedItem.told_at, Message.occurred_at)
    row = (
        await tx.execute(
            select(func.min(FeedItem.seq), func.max(FeedItem.seq))
            .join(Message, Message.id == FeedItem.message_id)
            .where(FeedItem.organisation_id == organisation_id, told_at >= since, told_at < until)
        )
    ).one()
    return Span(row[0] - 1, row[1]) if row[0] else Span(0, 0)


async def forgotten_until(tx: AsyncSession, organisation_id: str) -> datetime | None:
    """Return until when an organisation's feed has been removed by its age."""
    return await tx.scalar(
        select(FeedHead.forgotten_until).where(FeedHead.organisation_id == organisation_id)
    )


async def movable(tx: AsyncSession, limit: int) -> list[Running]:
    """Lock and return recoveries that may go on: see `domain.recovery`.

    Endpoint and recovery are locked together or not at all: others lock the endpoint first.
    """
    waiting = or_(
        Delivery.status == Status.HELD,
        and_(Delivery.status.in_(OPEN), Delivery.step < PATIENCE),
    )
    before = (
        select(Delivery.id)
        .where(Delivery.id == Recovery.delivery_id, waiting)
        .correlate(Recovery)
        .exists()
    )
    found = await tx.execute(
        select(Recovery, Endpoint)
        .join(Endpoint, Endpoint.id == Recovery.endpoint_id)
        .where(
            Recovery.progress == Progress.RUNNING,
            or_(Endpoint.deleted_at.is_not(None), and_(Endpoint.enabled, ~before)),
        )
        .order_by(Recovery.id)
        .limit(limit)
        .with_for_update(of=[Recovery, Endpoint], key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [Running(*row) for row in found]


async def reader_of(tx: AsyncSession, organisation_id: str) -> Organisation:
    """Return the organisation as it is told: for the purpose of its kind."""
    kind = await tx.scalar(
        select(tables.organisation.c.kind).where(tables.organisation.c.id == organisation_id)
    )
    return Organisation(organisation_id, kind or "", default_purpose(kind or ""))


async def messages(tx: AsyncSession, message_ids: Collection[str]) -> dict[str, Message]:
    """Return these messages by id, but those too old to be sent."""
    found = await tx.scalars(
        select(Message).where(Message.id.in_(message_ids), Message.expires_at > func.now())
    )
    return {message.id: message for message in found}


async def deliveries(
    tx: AsyncSession, endpoint_id: str, message_ids: Collection[str]
) -> dict[str, Delivery]:
    """Return the endpoint's deliveries of these messages, by message."""
    found = await tx.scalars(
        select(Delivery).where(
            Delivery.endpoint_id == endpoint_id, Delivery.message_id.in_(message_ids)
        )
    )
    return {delivery.message_id: delivery for delivery in found}


async def lock(tx: AsyncSession, delivery_id: str) -> Delivery:
    """Return a delivery as it now is, locked after its endpoint as everywhere."""
    found = await tx.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()
