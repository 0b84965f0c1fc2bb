"""Deliveries and their attempts, of the caller's organisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from notify_svc.domain.attempts import Status
from notify_svc.models import Attempt, Delivery, Endpoint, Message


class Shown(NamedTuple):
    delivery: Delivery
    event_type: str


class Locked(NamedTuple):
    delivery: Delivery
    endpoint: Endpoint
    message: Message


@dataclass(frozen=True)
class Filters:
    endpoint_id: str | None = None
    status: Status | None = None
    event_id: str | None = None
    # in their short form, `case.*` among them
    kinds: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    response_status: int | None = None


def own(caller: Caller) -> Select[Delivery, str]:
    return (
        select(Delivery, Message.type)
        .join(Message, Message.id == Delivery.message_id)
        .where(Delivery.organisation_id == caller.organisation_id)
    )


async def get(session: AsyncSession, caller: Caller, delivery_id: str) -> Shown:
    """Raises NotFound."""
    found = (await session.execute(own(caller).where(Delivery.id == delivery_id))).first()
    if found is None:
        raise NotFound
    return Shown(found[0], found[1])


async def list_page(
    session: AsyncSession, caller: Caller, filters: Filters, *, limit: int, before: str | None
) -> list[Shown]:
    """Return one row more than the limit, newest first."""
    query = own(caller).order_by(Delivery.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Delivery.id < before)
    query = query.where(*_matching(filters))
    return [Shown(row[0], row[1]) for row in (await session.execute(query)).all()]


def _matching(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.endpoint_id is not None:
        yield Delivery.endpoint_id == filters.endpoint_id
    if filters.status is not None:
        yield Delivery.status == filters.status
    if filters.event_id is not None:
        yield Delivery.message_id == filters.event_id
    if filters.kinds:
        nouns = [kind.removesuffix("*") for kind in filters.kinds if kind.endswith(".*")]
        begins = [Message.kind.startswith(noun, autoescape=True) for noun in nouns]
        yield or_(Message.kind.in_(filters.kinds), *begins)
    if filters.since is not None:
        yield Delivery.created_at >= filters.since
    if filters.until is not None:
        yield Delivery.created_at < filters.until
    if filters.response_status is not None:
        answered = select(Attempt.id).where(
            Attempt.delivery_id == Delivery.id, Attempt.response_status == filters.response_status
        )
        yield answered.exists()


async def attempts_of(session: AsyncSession, delivery_id: str) -> Sequence[Attempt]:
    """Return all attempts of a delivery the caller was already found to own, oldest first."""
    found = await session.scalars(
        select(Attempt).where(Attempt.delivery_id == delivery_id).order_by(Attempt.number)
    )
    return found.all()


async def get_for_update(tx: AsyncSession, caller: Caller, delivery_id: str) -> Locked:
    """Return the delivery, locked after its endpoint as everywhere. Raises NotFound."""
    endpoint = await tx.scalar(
        select(Endpoint)
        .join(Delivery, Delivery.endpoint_id == Endpoint.id)
        .where(
            Delivery.organisation_id == caller.organisation_id,
            Delivery.id == delivery_id,
            Endpoint.deleted_at.is_(None),
        )
        .with_for_update(of=Endpoint, key_share=True)
    )
    if endpoint is None:
        raise NotFound
    row = (
        await tx.execute(
            select(Delivery, Message)
            .join(Message, Message.id == Delivery.message_id)
            .where(Delivery.id == delivery_id)
            .with_for_update(of=Delivery)
        )
    ).one()
    return Locked(row[0], endpoint, row[1])


def expired() -> Select[str]:
    """Return the ids of messages that are too old to be sent."""
    return select(Message.id).where(Message.expires_at <= func.now())
