"""Endpoints to be asked whose they are."""

from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.models import Endpoint, Secret

# The lease is written ahead: when the asker dies, another asks at its end.
_TAKE = text(
    """
    UPDATE webhook_endpoint
    SET verify_token = gen_random_uuid()::text,
        verify_at = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE id IN (
        SELECT id FROM webhook_endpoint
        WHERE verify_at <= clock_timestamp() AND deleted_at IS NULL
        ORDER BY verify_at LIMIT :room
        FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING verify_token
    """
)


class Asked(NamedTuple):
    """An endpoint of which the asker holds `token` until its lease ends."""

    token: str
    endpoint: Endpoint
    secrets: tuple[str, ...]


async def take(tx: AsyncSession, *, room: int, lease_s: float) -> list[Asked]:
    """Take endpoints that are to be asked now."""
    tokens = list(await tx.scalars(_TAKE, {"room": room, "lease_s": lease_s}))
    if not tokens:
        return []
    active = (
        select(func.array_agg(aggregate_order_by(Secret.value, Secret.id.desc())))
        .where(
            Secret.endpoint_id == Endpoint.id,
            (Secret.not_after.is_(None)) | (Secret.not_after > func.now()),
        )
        .scalar_subquery()
    )
    rows = await tx.execute(select(Endpoint, active).where(Endpoint.verify_token.in_(tokens)))
    return [
        Asked(endpoint.verify_token or "", endpoint, tuple(secrets or ()))
        for endpoint, secrets in rows
    ]


async def held(tx: AsyncSession, token: str) -> Endpoint | None:
    """Return the endpoint while it is still this asker's, locked."""
    found = await tx.scalars(
        select(Endpoint)
        .where(Endpoint.verify_token == token, Endpoint.deleted_at.is_(None))
        .with_for_update(key_share=True)
    )
    return found.first()
