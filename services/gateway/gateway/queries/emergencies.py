"""Emergency accesses: whose they are, and which wait for their review."""

from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller

from gateway.domain import Review
from gateway.models import EmergencyAccess, Grant, Person
from gateway.queries import rows


def _own(caller: Caller) -> ColumnElement[bool]:
    return or_(
        EmergencyAccess.custodian_id == caller.organisation_id,
        EmergencyAccess.requester_id == caller.organisation_id,
    )


async def get(
    tx: AsyncSession, caller: Caller, access_id: str, *, lock: bool = False
) -> EmergencyAccess:
    """Return an access that the caller gave or had. Raises NotFound."""
    return await rows.get(tx, EmergencyAccess, access_id, _own(caller), lock=lock)


async def page(
    tx: AsyncSession,
    caller: Caller,
    *,
    review: Review | None,
    after: str | None,
    limit: int,
    at: datetime,
) -> list[EmergencyAccess]:
    """Return the caller's accesses, newest first, one more than the limit."""
    stands = true() if review is None else _stands(review, at)
    return await rows.page(tx, EmergencyAccess, _own(caller), stands, after=after, limit=limit)


def _stands(review: Review, at: datetime) -> ColumnElement[bool]:
    if review == Review.DONE:
        return EmergencyAccess.outcome.is_not(None)
    late = EmergencyAccess.review_due_at <= at
    return EmergencyAccess.outcome.is_(None) & (late if review == Review.OVERDUE else ~late)


async def count_overdue(tx: AsyncSession, at: datetime) -> int:
    """Return how many accesses nobody reviewed in time, over all custodians."""
    query = select(func.count()).where(_stands(Review.OVERDUE, at))
    return await tx.scalar(query) or 0


async def keeps_records(tx: AsyncSession, custodian_id: str, person_id: str) -> bool:
    """Tell whether the custodian registered the person, or ever opened anything of it."""
    registered = exists().where(Person.id == person_id, Person.custodian_id == custodian_id)
    opened = exists().where(Grant.person_id == person_id, Grant.custodian_id == custodian_id)
    return bool(await tx.scalar(select(or_(registered, opened))))
