"""What waits behind its predecessor, and what a newer version makes needless.

A delivery of an ordered endpoint that comes up while an earlier one of its key is open is parked,
and brought back when that has ended: what is due is then what may be sent, and no claim has to look
through a backlog. The caller has locked the endpoints.
"""

from collections.abc import Collection

from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.attempts import IN_ORDER, IN_TURN, Status
from notify_svc.models import Delivery
from notify_svc.queries.claims import PREDECESSOR

Key = tuple[str, str]  # endpoint and order key

_MOST = 1000
_PARK = text(
    f"""
    UPDATE delivery SET next_at = 'infinity', reason = '{IN_ORDER}'
    WHERE id IN (
        SELECT d.id FROM (
            SELECT d.* FROM delivery d
            WHERE d.endpoint_id = ANY(:endpoints) AND d.status = 'pending' AND d.next_at <= now()
            ORDER BY d.next_at LIMIT {_MOST}
        ) d
        WHERE EXISTS ({PREDECESSOR})
    )
    """  # noqa: S608  # constants of ours
)
_BRING_BACK = text(
    f"""
    UPDATE delivery d SET next_at = clock_timestamp(), reason = NULL
    FROM unnest(CAST(:endpoints AS text[]), CAST(:keys AS text[])) AS k (endpoint_id, order_key)
    WHERE d.status = 'pending' AND d.reason = '{IN_ORDER}' AND d.id = (
        SELECT n.id FROM delivery n
        WHERE n.endpoint_id = k.endpoint_id AND n.order_key = k.order_key
          AND n.status IN ('pending', 'sending') AND n.reason IS DISTINCT FROM '{IN_TURN}'
        ORDER BY n.seq, n.id LIMIT 1)
    """  # noqa: S608  # constants of ours
)


async def park(tx: AsyncSession, endpoint_ids: Collection[str]) -> bool:
    """Let what is due of ordered endpoints wait for its predecessor; return whether anything does."""
    if not endpoint_ids:
        return False
    parked = await tx.execute(_PARK, {"endpoints": list(endpoint_ids)})
    return bool(getattr(parked, "rowcount", 0))


async def bring_back(tx: AsyncSession, ended: Collection[Key]) -> None:
    """Make the next of each key due, where one is parked."""
    if ended:
        keys = sorted(set(ended))
        given = {"endpoints": [key[0] for key in keys], "keys": [key[1] for key in keys]}
        await tx.execute(_BRING_BACK, given)


async def unpark(tx: AsyncSession, endpoint_id: str) -> None:
    """Make everything due that was parked: the endpoint wants no order any more."""
    await tx.execute(
        update(Delivery)
        .where(
            Delivery.endpoint_id == endpoint_id,
            Delivery.status == Status.PENDING,
            Delivery.reason == IN_ORDER,
        )
        .values(next_at=func.now(), reason=None)
    )
