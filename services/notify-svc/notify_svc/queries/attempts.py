"""The log of attempts, of the caller's organisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller

from notify_svc.domain.attempts import Outcome
from notify_svc.models import Attempt, Delivery, Message


class Logged(NamedTuple):
    attempt: Attempt
    endpoint_id: str
    event_id: str
    event_type: str


class Place(NamedTuple):
    """Where a page ends: an instant, and of those that began then the attempt."""

    started_at: datetime
    id: str


@dataclass(frozen=True)
class Filters:
    endpoint_id: str | None = None
    delivery_id: str | None = None
    event_id: str | None = None
    outcomes: Sequence[Outcome] = ()
    response_status: int | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_page(
    session: AsyncSession, caller: Caller, filters: Filters, *, limit: int, before: Place | None
) -> list[Logged]:
    """Return one row more than the limit, newest first."""
    query = (
        select(Attempt, Delivery.endpoint_id, Delivery.message_id, Message.type)
        .join(Delivery, Delivery.id == Attempt.delivery_id)
        .join(Message, Message.id == Delivery.message_id)
        .where(Attempt.organisation_id == caller.organisation_id, *_matching(filters))
        .order_by(Attempt.started_at.desc(), Attempt.id.desc())
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(tuple_(Attempt.started_at, Attempt.id) < before)
    return [Logged(*row) for row in (await session.execute(query)).all()]


def _matching(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.endpoint_id is not None:
        yield Delivery.endpoint_id == filters.endpoint_id
    if filters.delivery_id is not None:
        yield Attempt.delivery_id == filters.delivery_id
    if filters.event_id is not None:
        yield Delivery.message_id == filters.event_id
    if filters.outcomes:
        yield Attempt.outcome.in_(filters.outcomes)
    if filters.response_status is not None:
        yield Attempt.response_status == filters.response_status
    if filters.error is not None:
        yield Attempt.error == filters.error
    if filters.since is not None:
        yield Attempt.started_at >= filters.since
    if filters.until is not None:
        yield Attempt.started_at < filters.until
