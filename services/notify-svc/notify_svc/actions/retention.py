"""expire, forget: what the keeper does to what is too old to be sent, and to be kept."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.actions import order
from notify_svc.domain.schedule import KEEP_DAYS
from notify_svc.queries import audience
from notify_svc.settings import Settings

# Nothing that was not delivered vanishes: it ends as expired first, and is seen as that for as long
# as an attempt of it may still be under way. Who changes an endpoint locks it before its deliveries;
# here nobody is waited for.
_EXPIRE = text(
    """
    UPDATE delivery
    SET status = 'expired', reason = 'expired', token = NULL, ended_at = clock_timestamp()
    WHERE id IN (
        SELECT d.id FROM delivery d
        JOIN message m ON m.id = d.message_id JOIN webhook_endpoint e ON e.id = d.endpoint_id
        WHERE d.status IN ('pending', 'held')
          AND m.expires_at <= now() + make_interval(secs => :early_s)
        LIMIT :batch FOR UPDATE OF d SKIP LOCKED FOR NO KEY UPDATE OF e SKIP LOCKED)
    RETURNING endpoint_id, order_key
    """
)
# by the day a message was kept, and by the day it was told last: then numbers leave in their order
_OLD = text(
    """
    SELECT m.id FROM message m
    WHERE m.expires_at <= now() + make_interval(secs => :early_s)
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id
                      AND d.status IN ('pending', 'sending', 'held'))
      AND NOT EXISTS (SELECT 1 FROM feed_item i WHERE i.message_id = m.id
                      AND i.told_at > now() - make_interval(secs => :keep_s))
    ORDER BY m.expires_at LIMIT :batch
    """
)
_LOCK = text(
    """
    SELECT d.id FROM delivery d WHERE d.message_id = ANY(:ids)
      AND d.status NOT IN ('pending', 'sending', 'held')
    FOR UPDATE SKIP LOCKED
    """
)
_ATTEMPTS = text("DELETE FROM delivery_attempt WHERE delivery_id = ANY(:ids)")
_DELIVERIES = text("DELETE FROM delivery WHERE id = ANY(:ids)")
_GONE = text(
    """
    SELECT m.id FROM message m WHERE m.id = ANY(:ids)
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id)
    """
)
_ITEMS = text(
    """
    WITH gone AS (
        DELETE FROM feed_item WHERE message_id = ANY(:ids)
        RETURNING organisation_id, seq,
                  coalesce(told_at, now() - make_interval(secs => :keep_s)) AS told_at
    ), reached AS (
        SELECT organisation_id, max(seq) AS seq, max(told_at) AS told_at FROM gone GROUP BY 1
    )
    UPDATE feed_head h SET forgotten_seq = greatest(h.forgotten_seq, r.seq),
        forgotten_until = greatest(h.forgotten_until, r.told_at)
    FROM reached r WHERE r.organisation_id = h.organisation_id
    """
)
_MESSAGES = text("DELETE FROM message WHERE id = ANY(:ids)")
_RECOVERIES = text("DELETE FROM recovery WHERE ended_at <= now() - make_interval(secs => :keep_s)")
_DAY_S = 86_400.0


async def expire(tx: AsyncSession, settings: Settings) -> None:
    """Let what waits and is too old to be sent end as expired; remove old recoveries."""
    early_s = max(KEEP_DAYS - settings.keep_days, 0) * _DAY_S
    ended = await tx.execute(_EXPIRE, {"early_s": early_s, "batch": settings.forget_batch})
    await order.bring_back(tx, [(row.endpoint_id, row.order_key) for row in ended])
    await tx.execute(_RECOVERIES, {"keep_s": settings.keep_days * _DAY_S})


async def forget(tx: AsyncSession, settings: Settings) -> int:
    """Remove a batch of messages past their time, with feed items, deliveries and attempts.

    Each feed remembers up to where it was removed. Returns how many messages.
    """
    # nobody numbers feeds meanwhile, or tells late of what is being removed
    await audience.serialise(tx)
    given = {
        "early_s": (KEEP_DAYS - settings.keep_days) * _DAY_S,
        "keep_s": settings.keep_days * _DAY_S,
        "batch": settings.forget_batch,
    }
    old = list(await tx.scalars(_OLD, given))
    if not old:
        return 0
    ended = list(await tx.scalars(_LOCK, {"ids": old}))
    await tx.execute(_ATTEMPTS, {"ids": ended})
    await tx.execute(_DELIVERIES, {"ids": ended})
    gone = list(await tx.scalars(_GONE, {"ids": old}))
    await tx.execute(_ITEMS, {"ids": gone, "keep_s": given["keep_s"]})
    await tx.execute(_MESSAGES, {"ids": gone})
    return len(gone)
