"""What the deliver loop does to the database: claim ahead, and sweep what is stuck."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.ids import new_id

from notify_svc import events
from notify_svc.actions import kept_back, order
from notify_svc.actions.standing import cancel_removed, hold, release
from notify_svc.domain.attempts import NO_LONGER_VISIBLE, SUPERSEDED, TOO_OLD, Status
from notify_svc.domain.readers import default_purpose
from notify_svc.models import Delivery
from notify_svc.queries import claims
from notify_svc.queries.claims import Claim, Due, Ready, Superseded, Telling
from notify_svc.settings import Settings

# One statement: who may send what from now on, the pace it uses up, the probe of a breaker that is
# not closed, the attempts ahead of their requests, and what the requests tell.
_WRITE_AHEAD = text(
    """
    WITH taken AS (
        SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS text[])) AS t (id, token)
    ), sent AS (
        UPDATE delivery d
        SET status = 'sending', attempts = d.attempts + 1, token = t.token,
            next_at = clock_timestamp() + make_interval(secs => :lease_s)
        FROM taken t WHERE d.id = t.id
        RETURNING d.id, d.organisation_id, d.attempts, d.token, d.endpoint_id, d.message_id,
            d.traceparent
    ), turned AS (
        UPDATE webhook_endpoint e
        SET claimed_at = clock_timestamp(),
            paced_at = CASE WHEN e.rate_per_s IS NOT NULL THEN
                greatest(e.paced_at, now()) + make_interval(secs => n.many / e.rate_per_s) END,
            breaker = CASE WHEN e.breaker = 'closed' THEN 'closed' ELSE 'half-open' END,
            breaker_until = CASE WHEN e.breaker <> 'closed' THEN
                clock_timestamp() + make_interval(secs => :lease_s) END
        FROM (SELECT endpoint_id, count(*) AS many FROM sent GROUP BY endpoint_id) n
        WHERE e.id = n.endpoint_id
    ), written AS (
        INSERT INTO delivery_attempt
            (id, delivery_id, organisation_id, number, started_at, outcome)
        SELECT token, id, organisation_id, attempts, clock_timestamp(), 'unknown' FROM sent
    )
    SELECT s.token, s.id AS delivery_id, s.endpoint_id, m.id AS message_id, m.body, s.traceparent,
           m.custodian_id, m.person_id, m.classes, clock_timestamp() AS at
    FROM sent s JOIN message m ON m.id = s.message_id
    """
)
# once for each endpoint, however much goes to it; the caller has it locked
_REACHED = text(
    """
    SELECT e.id, e.url, e.transport, e.sealed, e.organisation_id, coalesce(o.kind, '') AS kind,
           ARRAY(SELECT k.value FROM webhook_secret k
                 WHERE k.endpoint_id = e.id AND (k.not_after IS NULL OR k.not_after > now())
                 ORDER BY k.id DESC) AS secrets
    FROM webhook_endpoint e LEFT JOIN sharing_organisation o ON o.id = e.organisation_id
    WHERE e.id = ANY(:endpoints)
    """
)


@dataclass(frozen=True)
class Claimed:
    """A batch to send; `slow` names the tokens of endpoints that do not keep up."""

    claims: list[Claim]
    slow: frozenset[str]
    at: datetime


class _Decidable(Protocol):
    @property
    def kind(self) -> str: ...


async def claim(tx: AsyncSession, settings: Settings, *, healthy: int, slow: int) -> Claimed | None:
    """Take what is due: decide once more, end what may not be told, write the attempts ahead.

    After this commits, each attempt reads `unknown` until its result is written; when none comes,
    the delivery is due again at the end of the lease. None: nothing is due.
    """
    ready = await claims.ready(tx, healthy=healthy, slow=slow)
    if not ready:
        return None
    await _supersede(tx, ready)
    parked = await order.park(tx, [each.endpoint_id for each in ready if each.is_ordered])
    due = await claims.due(tx, [each.endpoint_id for each in ready], healthy=healthy, slow=slow)
    may = await _decide(tx, [(item, item.delivery_id) for item in due if not item.is_own])
    may |= {item.delivery_id for item in due if item.is_own}
    hidden = [item for item in due if item.delivery_id not in may]
    if hidden:
        waiting = await kept_back.put_off(tx, [item.delivery_id for item in hidden])
        hidden = [item for item in hidden if item.delivery_id not in waiting]
    too_old = [item for item in due if item.delivery_id in may and item.is_too_old]
    await _end(tx, hidden, Status.CANCELLED, NO_LONGER_VISIBLE)
    await _end(tx, too_old, Status.EXPIRED, TOO_OLD)
    taken = [
        (new_id("att"), item) for item in due if item.delivery_id in may and not item.is_too_old
    ]
    if not taken:
        return Claimed([], frozenset(), now()) if due or parked else None
    return await _write_ahead(tx, taken, settings.lease_s)


async def _decide(tx: AsyncSession, items: Iterable[tuple[_Decidable, str]]) -> set[str]:
    """One statement for each kind of organisation that has something due."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for item, delivery_id in items:
        by_kind[item.kind].append(delivery_id)
    may: set[str] = set()
    for kind, ids in by_kind.items():
        may |= await claims.visible_among(tx, kind, default_purpose(kind), ids)
    return may


async def _supersede(tx: AsyncSession, ready: Sequence[Ready]) -> None:
    """End what a newer message of the same subject makes needless, if that one may be told."""
    coalescing = [each.endpoint_id for each in ready if each.coalesces]
    found = await claims.superseded(tx, coalescing) if coalescing else []
    newest = {item.newest_id: item for item in found}
    may = await _decide(tx, [(item, newest_id) for newest_id, item in newest.items()])
    needless = [item for item in found if item.newest_id in may]
    await _end(tx, needless, Status.CANCELLED, SUPERSEDED)


async def _end(
    tx: AsyncSession, items: Sequence[Due | Superseded], status: Status, reason: str
) -> None:
    if not items:
        return
    await tx.execute(
        update(Delivery)
        .where(Delivery.id.in_([item.delivery_id for item in items]))
        .values(status=status, reason=reason, token=None, ended_at=func.now())
        .execution_options(synchronize_session=False)
    )
    await order.bring_back(tx, [(item.endpoint_id, item.order_key) for item in items])


async def _write_ahead(
    tx: AsyncSession, taken: Sequence[tuple[str, Due]], lease_s: float
) -> Claimed:
    given = {
        "tokens": [token for token, _ in taken],
        "ids": [item.delivery_id for _, item in taken],
        "lease_s": lease_s,
    }
    rows = (await tx.execute(_WRITE_AHEAD, given)).all()
    endpoints = sorted({item.endpoint_id for _, item in taken})
    found = await tx.execute(_REACHED, {"endpoints": endpoints})
    reached = {endpoint.id: endpoint for endpoint in found}
    met = [(row, reached[row.endpoint_id]) for row in rows]
    told = [_telling(row, to) for row, to in met if row.custodian_id != to.organisation_id]
    await _disclose(tx, told)
    return Claimed(
        claims=[_claim(row, to) for row, to in met],
        slow=frozenset(token for token, item in taken if item.is_slow),
        at=rows[0].at,
    )


def _claim(row: Any, to: Any) -> Claim:
    return Claim(
        token=row.token,
        delivery_id=row.delivery_id,
        endpoint_id=to.id,
        message_id=row.message_id,
        url=to.url,
        body=bytes(row.body),
        secrets=tuple(to.secrets),
        traceparent=row.traceparent,
        transport=to.transport,
        sealed=to.sealed,
    )


def _telling(row: Any, to: Any) -> Telling:
    return Telling(
        token=row.token,
        delivery_id=row.delivery_id,
        endpoint_id=to.id,
        organisation_id=to.organisation_id,
        kind=to.kind,
        custodian_id=row.custodian_id,
        person_id=row.person_id,
        classes=row.classes,
    )


async def _disclose(tx: AsyncSession, told: list[Telling]) -> None:
    """Tell the ledger what these attempts tell of whom, in the commit that lets them be sent."""
    told.sort(key=lambda each: (each.custodian_id, each.token))
    for custodian_id, group in groupby(told, key=lambda each: each.custodian_id):
        items = list(group)
        for start in range(0, len(items), events.TELLINGS):
            await events.disclosed(tx, custodian_id, items[start : start + events.TELLINGS])


async def sweep(tx: AsyncSession) -> None:
    """Bring to rest what no claim will ever touch.

    A change of an endpoint may have crossed a fan-out, or the sender of a disabled endpoint's
    delivery may be gone. One statement when there is nothing to do; endpoints are locked first, as
    everywhere.
    """
    unsettled = await claims.unsettled(tx)
    await cancel_removed(tx, unsettled.removed)
    await hold(tx, unsettled.disabled)
    await release(tx, unsettled.enabled)
