"""Every SELECT of suspensions: a custodian's own."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller

from gateway.models import Suspension


async def list_suspensions(
    tx: AsyncSession, caller: Caller, person_id: str | None, after: str | None, limit: int
) -> Sequence[Suspension]:
    """Return the caller's suspensions, newest first, one more than the limit."""
    query = select(Suspension).where(Suspension.custodian_id == caller.organisation_id)
    if person_id:
        query = query.where(Suspension.person_id == person_id)
    if after is not None:
        query = query.where(Suspension.id < after)
    return (await tx.scalars(query.order_by(Suspension.id.desc()).limit(limit + 1))).all()


async def agencies(
    tx: AsyncSession, caller: Caller, person_id: str, at: datetime
) -> frozenset[str]:
    """Return the agencies that nobody is told were told of the person, at that instant."""
    query = select(Suspension.organisation_id).where(
        Suspension.custodian_id == caller.organisation_id,
        Suspension.person_id == person_id,
        Suspension.valid_from <= at,
        Suspension.valid_to > at,
    )
    return frozenset(await tx.scalars(query))
