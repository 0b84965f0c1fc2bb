"""What single clients may ask for, where it is not their organisation's share."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import Client


async def own_quotas(tx: AsyncSession) -> dict[str, int]:
    """Return requests a window by client id."""
    query = select(Client.id, Client.rate_limit).where(Client.rate_limit.is_not(None))
    found = await tx.execute(query)
    return {client_id: quota for client_id, quota in found if quota is not None}
