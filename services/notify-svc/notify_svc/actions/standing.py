"""Endpoints enabled, disabled and asked about, and their deliveries with them.

The caller has locked the endpoints.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.actions import hints, notices, recovery
from notify_svc.actions.fanout import DISABLED
from notify_svc.actions.hints import About
from notify_svc.domain import kinds
from notify_svc.domain.attempts import TOO_OLD, Status
from notify_svc.domain.health import Breaker
from notify_svc.domain.standing import LEVELS, failing_percent
from notify_svc.models import Delivery, Endpoint
from notify_svc.queries import standing as queries
from notify_svc.queries.claims import database_now
from notify_svc.queries.deliveries import expired

FAILING, BY_OWNER = "failing", "disabled-by-owner"

# what waits, or was being sent by someone who is gone; what is in flight settles itself
_STUCK = or_(
    Delivery.status == Status.PENDING,
    and_(Delivery.status == Status.SENDING, Delivery.next_at <= func.now()),
)


async def enable(tx: AsyncSession, endpoint: Endpoint, at: datetime) -> None:
    """Let what was held go out, all of it, from the start; what failed before no longer counts."""
    endpoint.enabled, endpoint.disabled_reason = True, None
    endpoint.enabled_at, endpoint.last_success_at = at, None
    endpoint.failed_messages = endpoint.warned_percent = 0
    endpoint.breaker, endpoint.breaker_until = Breaker.CLOSED, None
    endpoint.breaker_failures = endpoint.breaker_opened = 0
    _ask_no_more(endpoint)
    await tx.flush()
    await release(tx, [endpoint.id])
    hints.wake_after_commit(tx)


async def disable(tx: AsyncSession, endpoint: Endpoint, reason: str, at: datetime) -> None:
    """Hold what waits, and tell the owner once, unless it was the owner."""
    endpoint.enabled, endpoint.disabled_reason = False, reason
    _ask_no_more(endpoint)
    if reason != BY_OWNER:
        endpoint.version += 1
        endpoint.updated_at = at
        endpoint.warned_percent = LEVELS[-1]
        await notices.tell_owner(tx, endpoint, kinds.DISABLED, at)
    await tx.flush()
    await hold(tx, [endpoint.id])


async def ask(tx: AsyncSession, endpoint: Endpoint, at: datetime) -> None:
    """Hold what waits until the receiver has answered whose it is; it is asked at once."""
    endpoint.enabled, endpoint.disabled_reason = False, None
    endpoint.verify_at, endpoint.verify_step, endpoint.verify_token = at, 0, None
    endpoint.verified_at = None
    await tx.flush()
    await hold(tx, [endpoint.id])
    hints.wake_after_commit(tx, About.ASKED)


def _ask_no_more(endpoint: Endpoint) -> None:
    endpoint.verify_at = endpoint.verify_token = None
    endpoint.verify_step = 0


async def warn(tx: AsyncSession, limit_s: float) -> None:
    """Tell owners of endpoints that fail, once at each level, and disable those at the last."""
    at = await database_now(tx)
    for endpoint in await queries.failing(tx, limit_s * LEVELS[0] / 100):
        since = endpoint.last_success_at or endpoint.enabled_at or endpoint.created_at
        percent = failing_percent(
            failed_messages=endpoint.failed_messages,
            silent_s=(at - since).total_seconds(),
            limit_s=limit_s,
        )
        if percent == LEVELS[-1]:
            await disable(tx, endpoint, FAILING, at)
        elif percent > endpoint.warned_percent:
            endpoint.warned_percent = percent
            await notices.tell_owner(tx, endpoint, kinds.WARNED, at)


async def hold(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Hold what waits for disabled endpoints, locked by the caller."""
    await _settle(tx, endpoint_ids, _STUCK, status=Status.HELD, reason=DISABLED)


async def release(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Let held deliveries of enabled endpoints go out from the start, unless they are too old.

    Of those being recovered each waits for its turn.
    """
    held = Delivery.status == Status.HELD
    too_old = held & Delivery.message_id.in_(expired())
    await _settle(
        tx, endpoint_ids, too_old, status=Status.EXPIRED, reason=TOO_OLD, ended_at=func.now()
    )
    await _settle(
        tx, endpoint_ids, held, status=Status.PENDING, reason=None, step=0, next_at=func.now()
    )
    if endpoint_ids:
        await recovery.park(tx, endpoint_ids)


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
