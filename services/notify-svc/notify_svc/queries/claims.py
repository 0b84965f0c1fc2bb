"""What is due, and everything an attempt needs.

Endpoints are claimed, not rows: each has a window of attempts in flight, so that a slow one holds
up nobody else.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sharing import tables
from sharing.kept import given, kept
from sharing.model import Reader
from sqlalchemy import Select, Text, any_, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.attempts import WINDOW
from notify_svc.models import Delivery, Endpoint, Message, Secret
from notify_svc.queries.visible import CLASSES, visible


class Telling(NamedTuple):
    """What an attempt tells: whose event about whom, and to which organisation."""

    token: str
    delivery_id: str
    endpoint_id: str
    organisation_id: str
    kind: str
    custodian_id: str
    person_id: str | None
    classes: int


@dataclass(frozen=True)
class Claim:
    """One attempt to send: written in the database already, under `token`."""

    token: str
    delivery_id: str
    endpoint_id: str
    message_id: str
    url: str
    body: bytes
    secrets: tuple[str, ...]
    traceparent: str


class Due(NamedTuple):
    """A delivery that may be attempted now; its row is locked by the transaction that asked."""

    delivery_id: str
    endpoint_id: str
    organisation_id: str
    kind: str
    attempts: int
    is_slow: bool


class Held(NamedTuple):
    """Where a delivery, its endpoint and its message stand when a result arrives."""

    delivery: Delivery
    endpoint: Endpoint
    expires_at: datetime


# An endpoint locked by someone else is skipped: its window is being counted there. The probe is
# one look into ix_delivery_due for each endpoint, however much it has waiting. Two lanes, so that
# endpoints that time out cannot fill the list before those that keep up.
_LANE = """
    SELECT e.id FROM webhook_endpoint e
    WHERE e.enabled AND e.deleted_at IS NULL AND (e."window" < :full) = {slow}
      AND EXISTS (SELECT 1 FROM delivery d
                  WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'sending')
                    AND d.next_at <= now())
      AND e."window" > (SELECT count(*) FROM delivery b
                        WHERE b.endpoint_id = e.id AND b.status = 'sending' AND b.next_at > now())
    ORDER BY e.claimed_at NULLS FIRST LIMIT :{slots}
    FOR NO KEY UPDATE OF e SKIP LOCKED
"""
_READY = text(
    f"WITH healthy AS ({_LANE.format(slow='false', slots='healthy')}), "  # noqa: S608  # ours
    f"slow AS ({_LANE.format(slow='true', slots='slow')}) "
    "SELECT id FROM healthy UNION ALL SELECT id FROM slow"
)
# a second statement, so that it sees what the holder of the lock before us has claimed
_PICK = text(
    """
    SELECT p.id, p.endpoint_id, p.organisation_id, coalesce(o.kind, '') AS kind, p.attempts, p.slow
    FROM (
        SELECT d.*, e.organisation_id, e."window" < :full AS slow,
               row_number() OVER (PARTITION BY e."window" < :full ORDER BY d.place, d.next_at) AS turn
        FROM webhook_endpoint e
        CROSS JOIN LATERAL (
            SELECT due.*, row_number() OVER (ORDER BY due.next_at, due.id) AS place
            FROM (
                SELECT d.id, d.endpoint_id, d.attempts, d.next_at
                FROM delivery d
                WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'sending')
                  AND d.next_at <= now()
                ORDER BY d.next_at, d.id
                LIMIT greatest(e."window" - (
                    SELECT count(*) FROM delivery b
                    WHERE b.endpoint_id = e.id AND b.status = 'sending' AND b.next_at > now()), 0)
                FOR UPDATE OF d SKIP LOCKED
            ) due
        ) d
        WHERE e.id = ANY(:endpoints)
    ) p
    LEFT JOIN sharing_organisation o ON o.id = p.organisation_id
    WHERE p.turn <= CASE WHEN p.slow THEN CAST(:slow AS bigint) ELSE CAST(:healthy AS bigint) END
    """
)


# what waits, or was being sent by someone who is gone
STUCK = "(d.status = 'pending' OR (d.status = 'sending' AND d.next_at <= now()))"
_UNSETTLED = text(
    f"""
    SELECT e.id, e.enabled, e.deleted_at IS NOT NULL AS removed FROM webhook_endpoint e
    WHERE (NOT e.enabled AND EXISTS (
              SELECT 1 FROM delivery d WHERE d.endpoint_id = e.id AND {STUCK}))
       OR ((e.enabled OR e.deleted_at IS NOT NULL) AND EXISTS (
              SELECT 1 FROM delivery d WHERE d.endpoint_id = e.id AND d.status = 'held'))
    FOR NO KEY UPDATE OF e SKIP LOCKED
    """  # noqa: S608  # a constant of ours
)


class Unsettled(NamedTuple):
    """Endpoints whose deliveries do not stand as the endpoint does; all of them locked."""

    removed: list[str]
    disabled: list[str]
    enabled: list[str]


async def unsettled(tx: AsyncSession) -> Unsettled:
    """Lock and return the endpoints that a sweep is for, but those that someone is changing."""
    rows = (await tx.execute(_UNSETTLED)).all()
    return Unsettled(
        removed=[row.id for row in rows if row.removed],
        disabled=[row.id for row in rows if not row.removed and not row.enabled],
        enabled=[row.id for row in rows if row.enabled],
    )


async def due(tx: AsyncSession, *, healthy: int, slow: int) -> list[Due]:
    """Lock and return what is due: at most `healthy` for endpoints that keep up, `slow` for others.

    Endpoints take turns: every endpoint's first before any one's second.
    """
    limits = {"healthy": healthy, "slow": slow, "full": WINDOW}
    endpoints = list(await tx.scalars(_READY, limits))
    if not endpoints:
        return []
    found = await tx.execute(_PICK, {**limits, "endpoints": endpoints})
    return [Due(*row) for row in found.all()]


async def visible_among(
    tx: AsyncSession, reader: Reader, delivery_ids: Collection[str]
) -> set[str]:
    """Return those of an organisation's deliveries whose message it may still learn of."""
    found = await _visible_among.rows(tx, reader, {"delivery_ids": list(delivery_ids)})
    return {delivery_id for (delivery_id,) in found}


@kept
def _visible_among(reader: Reader) -> Select[Any]:
    these = given("delivery_ids", ARRAY(Text))
    # by a filter that matched nobody learns of what it is no longer shown
    needed = CLASSES.op("|")(Delivery.__table__.c.asked_classes)
    return (
        select(Delivery.id)
        .join(Message, Message.id == Delivery.message_id)
        .where(Delivery.id == any_(these), visible(reader, needed))
    )


async def claims_of(tx: AsyncSession, tokens: Collection[str]) -> list[Claim]:
    """Return what the attempts of these tokens send: bodies, addresses, every active secret."""
    active = (
        select(func.array_agg(aggregate_order_by(Secret.value, Secret.id.desc())))
        .where(
            Secret.endpoint_id == Endpoint.id,
            (Secret.not_after.is_(None)) | (Secret.not_after > func.now()),
        )
        .scalar_subquery()
    )
    rows = await tx.execute(
        select(
            Delivery.token,
            Delivery.id,
            Endpoint.id,
            Message.id,
            Endpoint.url,
            Message.body,
            active,
            Delivery.traceparent,
        )
        .join(Endpoint, Endpoint.id == Delivery.endpoint_id)
        .join(Message, Message.id == Delivery.message_id)
        .where(Delivery.token.in_(tokens))
    )
    return [
        Claim(token, delivery, endpoint, message, url, bytes(body), tuple(secrets or ()), parent)
        for token, delivery, endpoint, message, url, body, secrets, parent in rows
    ]


async def tellings(tx: AsyncSession, tokens: Collection[str]) -> list[Telling]:
    """Return what these attempts tell of other organisations' persons, by custodian."""
    rows = await tx.execute(
        select(
            Delivery.token,
            Delivery.id,
            Endpoint.id,
            Endpoint.organisation_id,
            func.coalesce(tables.organisation.c.kind, ""),
            Message.custodian_id,
            Message.person_id,
            Message.classes,
        )
        .join(Endpoint, Endpoint.id == Delivery.endpoint_id)
        .join(Message, Message.id == Delivery.message_id)
        .outerjoin(tables.organisation, tables.organisation.c.id == Endpoint.organisation_id)
        .where(Delivery.token.in_(tokens), Message.custodian_id != Endpoint.organisation_id)
        .order_by(Message.custodian_id, Delivery.token)
    )
    return [Telling(*row) for row in rows]


async def held(tx: AsyncSession, claim: Claim) -> Held | None:
    """Return the delivery while it is still this claim's, locked after its endpoint."""
    endpoint = await tx.scalar(
        select(Endpoint).where(Endpoint.id == claim.endpoint_id).with_for_update(key_share=True)
    )
    row = (
        await tx.execute(
            select(Delivery, Message.expires_at)
            .join(Message, Message.id == Delivery.message_id)
            .where(
                Delivery.id == claim.delivery_id,
                Delivery.token == claim.token,
                Delivery.status == "sending",
            )
            .with_for_update(of=Delivery)
        )
    ).first()
    return Held(row[0], endpoint, row[1]) if row and endpoint else None


async def database_now(tx: AsyncSession) -> datetime:
    """Return the database's clock: every due time is measured by it."""
    found: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    return found
