"""What lies sealed, of every organisation: for the operator's change of keys alone."""

from collections.abc import Sequence

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.models import Endpoint, Secret


async def secrets(tx: AsyncSession) -> Sequence[Row[int, str, str]]:
    """Return every signing secret, locked."""
    query = select(Secret.id, Secret.endpoint_id, Secret.value).order_by(Secret.id)
    return (await tx.execute(query.with_for_update())).all()


async def endpoints(tx: AsyncSession) -> Sequence[Row[str, str | None]]:
    """Return how endpoints are reached where that is secret, locked."""
    query = select(Endpoint.id, Endpoint.sealed).where(Endpoint.sealed.is_not(None))
    return (await tx.execute(query.order_by(Endpoint.id).with_for_update())).all()
