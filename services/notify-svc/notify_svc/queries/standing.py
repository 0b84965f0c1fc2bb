"""Endpoints that fail."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.standing import DISABLE_AFTER_MESSAGES, LEVELS
from notify_svc.models import Endpoint

_FIRST = DISABLE_AFTER_MESSAGES * LEVELS[0] / 100


async def failing(tx: AsyncSession, silent_s: float) -> Sequence[Endpoint]:
    """Lock and return enabled endpoints that may be at a level, but those someone is changing."""
    since = func.coalesce(Endpoint.last_success_at, Endpoint.enabled_at, Endpoint.created_at)
    found = await tx.scalars(
        select(Endpoint)
        .where(
            Endpoint.enabled,
            Endpoint.deleted_at.is_(None),
            Endpoint.failed_messages >= _FIRST,
            since <= func.now() - func.make_interval(0, 0, 0, 0, 0, 0, silent_s),
        )
        .order_by(Endpoint.id)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return found.all()
