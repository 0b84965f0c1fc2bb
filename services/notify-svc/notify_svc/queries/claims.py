"""What is due, and everything that its result needs.

Endpoints are claimed, not rows: each has a window of attempts in flight, a pace and a breaker, so
that a slow one holds up nobody else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple, cast

from sharing.kept import given, kept
from sharing.model import Organisation, Reader
from sqlalchemy import Select, Text, any_, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.attempts import IN_TURN, WINDOW
from notify_svc.models import Delivery, Endpoint, Message
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
    """One attempt to send: written in the database already, under `token`.

    `secrets` and `sealed` are as they lie in the database.
    """

    token: str
    delivery_id: str
    endpoint_id: str
    message_id: str
    url: str
    body: bytes
    secrets: tuple[str, ...]
    traceparent: str
    transport: Mapping[str, object] | None = None
    sealed: str | None = None


class Ready(NamedTuple):
    """An endpoint that has something due and may be sent something; locked."""

    endpoint_id: str
    is_ordered: bool
    coalesces: bool


class Due(NamedTuple):
    """A delivery that may be attempted now; its row is locked by the transaction that asked."""

    delivery_id: str
    endpoint_id: str
    organisation_id: str
    kind: str
    order_key: str
    is_slow: bool
    is_ordered: bool
    is_too_old: bool
    # what happened at the organisation itself, it may always be told: see `visible`
    is_own: bool


class Superseded(NamedTuple):
    """A delivery and the newer one of the same subject that waits for the same endpoint."""

    delivery_id: str
    newest_id: str
    organisation_id: str
    kind: str
    endpoint_id: str
    order_key: str


class Sent(NamedTuple):
    """A delivery that is still its sender's when the result arrives."""

    delivery_id: str
    step: int
    order_key: str
    expires_at: datetime


@dataclass
class Receiving:
    """What of an endpoint its answers decide, or follows from them; its row is locked."""

    id: str
    enabled: bool
    deleted_at: datetime | None
    ordering: str
    window: int
    slow: bool
    breaker: str
    breaker_until: datetime | None
    breaker_failures: int
    breaker_opened: int
    recent_ms: Sequence[int]
    failed_messages: int
    warned_percent: int
    last_success_at: datetime | None


class Held(NamedTuple):
    """Where endpoints and deliveries stand when results arrive; deliveries by token."""

    at: datetime
    endpoints: dict[str, Receiving]
    deliveries: dict[str, Sent]


_SLOW = 'e.slow OR e."window" < :full'
# What of the pace is not used up: up to a second's worth at once, and one at least (GCRA: one
# instant for each endpoint, advanced in the claim, so that any number of senders share it).
_PACE = """
    CASE WHEN e.rate_per_s IS NULL THEN e."window" ELSE floor(0.000001 + e.rate_per_s * (
        greatest(1, 1 / e.rate_per_s)
        - extract(epoch FROM greatest(e.paced_at, now()) - now())::float8)) END
"""
# A probe goes out beside what was under way when the breaker opened. In order and no further than
# the window: that way PostgreSQL walks ix_delivery_in_flight, and past what was sent in the minutes
# before only once; a bitmap of it would be made of all that again for every claim.
_SLOTS = f"""
    least({_PACE}, CASE WHEN e.breaker <> 'closed' THEN 1 ELSE e."window" - (
        SELECT count(*) FROM (
            SELECT FROM delivery b
            WHERE b.endpoint_id = e.id AND b.status = 'sending' AND b.next_at > now()
            ORDER BY b.next_at LIMIT e."window") AS busy) END)
"""  # noqa: S608  # constants of ours
# An endpoint locked by someone else is skipped: its window is being counted there. The probe is
# one look into ix_delivery_due for each endpoint, however much it has waiting (an EXISTS is made a
# join, and with a long queue a scan of all of it). Two lanes, so that
# endpoints that do not keep up cannot fill the list before those that do.
_LANE = f"""
    SELECT e.id, e.ordering, e.coalesces FROM webhook_endpoint e
    WHERE e.enabled AND e.deleted_at IS NULL AND ({_SLOW}) = {{slow}}
      AND (e.breaker = 'closed' OR e.breaker_until <= now())
      AND (SELECT d.next_at FROM delivery d
           WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'sending')
           ORDER BY d.next_at LIMIT 1) <= now()
      AND {_SLOTS} > 0
    ORDER BY e.claimed_at NULLS FIRST LIMIT :{{slots}}
    FOR NO KEY UPDATE OF e SKIP LOCKED
"""  # noqa: S608  # constants of ours
_READY = text(
    f"WITH healthy AS ({_LANE.format(slow='false', slots='healthy')}), "  # noqa: S608  # ours
    f"slow AS ({_LANE.format(slow='true', slots='slow')}) "
    "SELECT id, ordering = 'fifo', coalesces FROM (TABLE healthy UNION ALL TABLE slow) AS ready"
)
# what a key's next message waits for: one look into ix_delivery_order; what waits for a recovery
# to reach it (one begun before order was asked for) holds up nobody
PREDECESSOR = f"""
    SELECT 1 FROM delivery p
    WHERE p.endpoint_id = d.endpoint_id AND p.order_key = d.order_key
      AND p.status IN ('pending', 'sending') AND (p.seq, p.id) < (d.seq, d.id)
      AND p.reason IS DISTINCT FROM '{IN_TURN}'
"""  # noqa: S608  # constants of ours
# A second statement, so that it sees what the holder of the lock before us has claimed. By `next_at`
# alone what is due is read from its index as far as there are slots, however much waits behind it;
# locked is what was chosen. (`= ANY` of one: looked up by key, whatever the planner expects.)
_PICK = text(
    f"""
    SELECT p.id, p.endpoint_id, p.organisation_id, coalesce(o.kind, ''), p.order_key, p.slow,
           p.ordered, m.expires_at <= now(), m.custodian_id = p.organisation_id
    FROM (
        SELECT d.*, e.organisation_id, ({_SLOW}) AS slow, e.ordering = 'fifo' AS ordered,
               row_number() OVER (PARTITION BY {_SLOW} ORDER BY d.place, d.next_at) AS turn
        FROM webhook_endpoint e
        CROSS JOIN LATERAL (
            SELECT due.*, row_number() OVER (ORDER BY due.next_at, due.seq, due.id) AS place
            FROM (
                SELECT d.id, d.endpoint_id, d.message_id, d.order_key, d.next_at, d.seq
                FROM delivery d
                WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'sending')
                  AND d.next_at <= now()
                  AND (e.ordering <> 'fifo' OR NOT EXISTS ({PREDECESSOR}))
                ORDER BY d.next_at
                LIMIT greatest({_SLOTS}, 0)::bigint
            ) due
        ) d
        WHERE e.id = ANY(:endpoints)
    ) p
    JOIN delivery d ON d.id = ANY(ARRAY[p.id]) AND d.status IN ('pending', 'sending')
                   AND d.next_at <= now()
    JOIN message m ON m.id = ANY(ARRAY[p.message_id])
    LEFT JOIN sharing_organisation o ON o.id = p.organisation_id
    WHERE p.turn <= CASE WHEN p.slow THEN CAST(:slow AS bigint) ELSE CAST(:healthy AS bigint) END
    FOR UPDATE OF d SKIP LOCKED
    """  # noqa: S608  # constants of ours
)
# of what is due now, everything that waits for the same subject, whether due or not
_SUPERSEDED = text(
    """
    SELECT w.id, w.newest, w.organisation_id, coalesce(o.kind, ''), w.endpoint_id, w.order_key
    FROM (
        SELECT d.id, d.organisation_id, d.endpoint_id, d.order_key,
               first_value(d.id) OVER (PARTITION BY d.endpoint_id, m.subject
                                       ORDER BY m.version DESC, d.seq DESC, d.id DESC) AS newest
        FROM (
            SELECT DISTINCT due.endpoint_id, due.order_key
            FROM (
                SELECT d.endpoint_id, d.order_key FROM delivery d
                WHERE d.endpoint_id = ANY(:endpoints) AND d.status IN ('pending', 'sending')
                  AND d.next_at <= now()
                ORDER BY d.next_at LIMIT :most
            ) due
        ) k
        JOIN delivery d ON d.endpoint_id = k.endpoint_id AND d.order_key = k.order_key
        JOIN message m ON m.id = d.message_id
        WHERE d.status = 'pending'
    ) w
    LEFT JOIN sharing_organisation o ON o.id = w.organisation_id
    WHERE w.id <> w.newest
    """
)
_MOST = 1000


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


async def ready(tx: AsyncSession, *, healthy: int, slow: int) -> list[Ready]:
    """Lock and return endpoints that have something due: those that keep up, and those that do not."""
    found = await tx.execute(_READY, {"healthy": healthy, "slow": slow, "full": WINDOW})
    return [Ready(*row) for row in found]


async def due(
    tx: AsyncSession, endpoint_ids: Sequence[str], *, healthy: int, slow: int
) -> list[Due]:
    """Lock and return what is due: at most `healthy` for endpoints that keep up, `slow` for others.

    Endpoints take turns: every endpoint's first before any one's second.
    """
    limits = {"healthy": healthy, "slow": slow, "full": WINDOW}
    found = await tx.execute(_PICK, {**limits, "endpoints": list(endpoint_ids)})
    return [Due(*row) for row in found]


async def superseded(tx: AsyncSession, endpoint_ids: Sequence[str]) -> list[Superseded]:
    """Return what a newer version of the same subject waits beside, of coalescing endpoints."""
    found = await tx.execute(_SUPERSEDED, {"endpoints": list(endpoint_ids), "most": _MOST})
    return [Superseded(*row) for row in found]


async def visible_among(
    tx: AsyncSession, kind: str, purpose: str, delivery_ids: Collection[str]
) -> set[str]:
    """Return those of the deliveries to organisations of a kind that each may still learn of."""
    which = {"delivery_ids": list(delivery_ids)}
    found = await _visible_among.rows(tx, Organisation("", kind, purpose), which)
    return {delivery_id for (delivery_id,) in found}


@kept
def _visible_among(reader: Reader) -> Select[Any]:
    """Each is decided for the organisation that it is for: to begin costs more than a hundred rows."""
    these = given("delivery_ids", ARRAY(Text))
    delivery = Delivery.__table__.c
    # by a filter that matched nobody learns of what it is no longer shown
    needed = CLASSES.op("|")(delivery.asked_classes)
    recipient = Organisation(cast("str", delivery.organisation_id), reader.kind, reader.purpose)
    return (
        select(Delivery.id)
        .join(Message, Message.id == Delivery.message_id)
        .where(Delivery.id == any_(these), visible(recipient, needed))
    )


_ANSWERING = text(
    f"""
    SELECT clock_timestamp(), {", ".join(f'"{field.name}"' for field in fields(Receiving))}
    FROM webhook_endpoint WHERE id = ANY(:endpoints) ORDER BY id FOR NO KEY UPDATE
    """  # noqa: S608  # names of ours
)
_STILL_OURS = text(
    """
    SELECT d.token, d.id, d.step, d.order_key, m.expires_at
    FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS text[])) AS u (id, token)
    JOIN delivery d ON d.id = u.id AND d.token = u.token AND d.status = 'sending'
    JOIN message m ON m.id = d.message_id
    ORDER BY d.id FOR UPDATE OF d
    """
)


async def held(tx: AsyncSession, claims: Sequence[Claim]) -> Held:
    """Return what is still these claims', locked after its endpoints, and those in one order."""
    endpoints = {"endpoints": sorted({claim.endpoint_id for claim in claims})}
    locked = (await tx.execute(_ANSWERING, endpoints)).all()
    given = {
        "ids": [claim.delivery_id for claim in claims],
        "tokens": [claim.token for claim in claims],
    }
    sent = {token: Sent(*stands) for token, *stands in await tx.execute(_STILL_OURS, given)}
    return Held(
        at=max(at for at, *_ in locked),
        endpoints={endpoint.id: Receiving(*endpoint[1:]) for endpoint in locked},
        deliveries=sent,
    )


async def endpoint(tx: AsyncSession, endpoint_id: str) -> Endpoint:
    """Return an endpoint as it stands by now; the caller has locked it."""
    return await tx.get_one(Endpoint, endpoint_id, populate_existing=True)


async def database_now(tx: AsyncSession) -> datetime:
    """Return the database's clock: every due time is measured by it."""
    found: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    return found
