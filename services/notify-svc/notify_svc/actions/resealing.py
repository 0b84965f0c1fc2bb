"""Brings what is sealed under the first key of the settings: after a new one was put before it."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.sealing import Sealer
from notify_svc.models import Endpoint, Secret
from notify_svc.queries import sealed


async def reseal(tx: AsyncSession, sealer: Sealer) -> int:
    """Seal anew what another key sealed or none; return how much it was. Raises CannotOpen."""
    count = 0
    for secret in await sealed.secrets(tx):
        if not sealer.is_current(secret.value):
            opened = sealer.open(secret.value, secret.endpoint_id)
            value = sealer.seal(opened, secret.endpoint_id)
            await tx.execute(update(Secret).where(Secret.id == secret.id).values(value=value))
            count += 1
    for endpoint_id, kept in await sealed.endpoints(tx):
        if kept and not sealer.is_current(kept):
            value = sealer.seal(sealer.open(kept, endpoint_id), endpoint_id)
            await tx.execute(
                update(Endpoint).where(Endpoint.id == endpoint_id).values(sealed=value)
            )
            count += 1
    return count
