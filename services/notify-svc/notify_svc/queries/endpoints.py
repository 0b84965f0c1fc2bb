"""Webhook endpoints of the caller's organisation."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from notify_svc.models import Endpoint


def own(caller: Caller) -> ColumnElement[bool]:
    return and_(Endpoint.organisation_id == caller.organisation_id, Endpoint.deleted_at.is_(None))


async def get(session: AsyncSession, caller: Caller, endpoint_id: str) -> Endpoint:
    """Raises NotFound."""
    found = await session.scalar(select(Endpoint).where(own(caller), Endpoint.id == endpoint_id))
    if found is None:
        raise NotFound
    return found


async def get_for_update(tx: AsyncSession, caller: Caller, endpoint_id: str) -> Endpoint:
    """Return the endpoint, locked against the scheduler and other changes. Raises NotFound."""
    found = await tx.scalar(
        select(Endpoint)
        .where(own(caller), Endpoint.id == endpoint_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return found


async def list_page(
    session: AsyncSession, caller: Caller, *, limit: int, before: str | None
) -> Sequence[Endpoint]:
    """Return one row more than the limit, newest first."""
    query = select(Endpoint).where(own(caller)).order_by(Endpoint.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Endpoint.id < before)
    return (await session.scalars(query)).all()


async def count(tx: AsyncSession, caller: Caller) -> int:
    """Return the number of endpoints, locking the organisation's set against a second count."""
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"whe {caller.organisation_id}", 0))
    await tx.execute(select(lock))
    found = await tx.scalar(select(func.count()).select_from(Endpoint).where(own(caller)))
    return found or 0
