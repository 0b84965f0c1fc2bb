"""Lets deliveries stand as their endpoint does. The caller has locked the endpoints."""

from sqlalchemy import ColumnElement, and_, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.actions.fanout import DISABLED
from notify_svc.domain.attempts import Status
from notify_svc.models import Delivery
from notify_svc.queries.deliveries import expired

# what waits, or was being sent by someone who is gone; what is in flight settles itself
_STUCK = or_(
    Delivery.status == Status.PENDING,
    and_(Delivery.status == Status.SENDING, Delivery.next_at <= func.now()),
)


async def hold(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Hold what waits for disabled endpoints, locked by the caller."""
    await _settle(tx, endpoint_ids, _STUCK, status=Status.HELD, reason=DISABLED)


async def release(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Let held deliveries of enabled endpoints go out from the start, unless they are too old."""
    held = Delivery.status == Status.HELD
    too_old = held & Delivery.message_id.in_(expired())
    await _settle(
        tx, endpoint_ids, too_old, status=Status.EXHAUSTED, reason="expired", ended_at=func.now()
    )
    await _settle(
        tx, endpoint_ids, held, status=Status.PENDING, reason=None, step=0, next_at=func.now()
    )


async def cancel_removed(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Cancel what has not ended and is not in flight for endpoints that are gone."""
    waiting = _STUCK | (Delivery.status == Status.HELD)
    await _settle(
        tx,
        endpoint_ids,
        waiting,
        status=Status.CANCELLED,
        reason="endpoint-removed",
        ended_at=func.now(),
    )


async def _settle(
    tx: AsyncSession, endpoint_ids: list[str], which: ColumnElement[bool], **values: object
) -> None:
    if endpoint_ids:
        await tx.execute(
            update(Delivery)
            .where(Delivery.endpoint_id.in_(endpoint_ids), which)
            .values(token=None, **values)
            .execution_options(synchronize_session=False)
        )
