"""redeliver: send again by hand what has ended."""

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.identity import Caller

from notify_svc.domain.attempts import Status, require_redeliverable
from notify_svc.queries import deliveries
from notify_svc.queries.deliveries import Shown


async def redeliver(tx: AsyncSession, caller: Caller, delivery_id: str) -> Shown:
    """Put a delivery back to the start of the schedule: same message, same `webhook-id`.

    Whether the organisation may still learn of it is decided again at the attempt.
    Raises NotFound, DeliveryInProgress, EndpointDisabled, MessageExpired.
    """
    locked = await deliveries.get_for_update(tx, caller, delivery_id)
    delivery = locked.delivery
    require_redeliverable(
        delivery.status,
        enabled=locked.endpoint.enabled,
        expired=locked.message.expires_at <= now(),
    )
    delivery.status, delivery.reason, delivery.step = Status.PENDING, None, 0
    delivery.ended_at, delivery.next_at = None, func.now()
    await tx.flush()
    await tx.refresh(delivery)
    await audit.record(tx, caller, action="delivery.redeliver", resource=delivery.id)
    return Shown(delivery, locked.message.type)
