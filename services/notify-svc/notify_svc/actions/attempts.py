"""What the deliver loop does to the database: claim ahead, settle by token, sweep what is stuck."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sharing.model import Organisation
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.ids import new_id

from notify_svc import events
from notify_svc.actions import standing
from notify_svc.actions.fanout import DISABLED
from notify_svc.actions.standing import cancel_removed, hold, release
from notify_svc.domain.attempts import (
    ENDED,
    Answer,
    Outcome,
    Standing,
    Status,
    Verdict,
    judge,
)
from notify_svc.domain.readers import default_purpose
from notify_svc.models import Attempt, Delivery, Endpoint
from notify_svc.queries import claims
from notify_svc.queries.claims import Claim, Due
from notify_svc.settings import Settings

NO_LONGER_VISIBLE = "no-longer-visible"

_WRITE_AHEAD = text(
    """
    WITH taken AS (
        SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS text[])) AS t (id, token)
    ), sent AS (
        UPDATE delivery d
        SET status = 'sending', attempts = d.attempts + 1, token = t.token,
            next_at = clock_timestamp() + make_interval(secs => :lease_s)
        FROM taken t WHERE d.id = t.id
        RETURNING d.id, d.attempts, d.token, d.endpoint_id
    ), turned AS (
        UPDATE webhook_endpoint SET claimed_at = clock_timestamp()
        WHERE id IN (SELECT endpoint_id FROM sent)
    )
    INSERT INTO delivery_attempt (id, delivery_id, number, started_at, outcome)
    SELECT token, id, attempts, clock_timestamp(), 'unknown' FROM sent
    """
)


@dataclass(frozen=True)
class Claimed:
    """A batch to send; `slow` names the tokens of endpoints that do not keep up."""

    claims: list[Claim]
    slow: frozenset[str]
    at: datetime


async def claim(tx: AsyncSession, settings: Settings, *, healthy: int, slow: int) -> Claimed | None:
    """Take what is due: decide once more, cancel what may not be told, write the attempts ahead.

    After this commits, each attempt reads `unknown` until its result is written; when none comes,
    the delivery is due again at the end of the lease.
    """
    due = await claims.due(tx, healthy=healthy, slow=slow)
    if not due:
        return None
    may = await _decide(tx, due)
    await _cancel(tx, [item.delivery_id for item in due if item.delivery_id not in may])
    taken = [(new_id("att"), item) for item in due if item.delivery_id in may]
    tokens = [token for token, _ in taken]
    if taken:
        await _write_ahead(tx, taken, settings.lease_s)
        await _disclose(tx, tokens)
    return Claimed(
        claims=await claims.claims_of(tx, tokens) if tokens else [],
        slow=frozenset(token for token, item in taken if item.is_slow),
        at=await claims.database_now(tx),
    )


async def _decide(tx: AsyncSession, due: Sequence[Due]) -> set[str]:
    """One statement for each organisation that has something due."""
    by_reader: dict[Organisation, list[str]] = defaultdict(list)
    for item in due:
        reader = Organisation(item.organisation_id, item.kind, default_purpose(item.kind))
        by_reader[reader].append(item.delivery_id)
    may: set[str] = set()
    for reader, ids in by_reader.items():
        may |= await claims.visible_among(tx, reader, ids)
    return may


async def _cancel(tx: AsyncSession, ids: list[str]) -> None:
    if ids:
        await tx.execute(
            update(Delivery)
            .where(Delivery.id.in_(ids))
            .values(
                status=Status.CANCELLED,
                reason=NO_LONGER_VISIBLE,
                token=None,
                ended_at=func.now(),
            )
        )


async def _write_ahead(tx: AsyncSession, taken: Sequence[tuple[str, Due]], lease_s: float) -> None:
    given = {
        "tokens": [token for token, _ in taken],
        "ids": [item.delivery_id for _, item in taken],
        "lease_s": lease_s,
    }
    await tx.execute(_WRITE_AHEAD, given)


async def _disclose(tx: AsyncSession, tokens: Sequence[str]) -> None:
    """Tell the ledger what these attempts tell of whom, in the commit that lets them be sent."""
    told = await claims.tellings(tx, tokens)
    for custodian_id, group in groupby(told, key=lambda each: each.custodian_id):
        items = list(group)
        for start in range(0, len(items), events.TELLINGS):
            await events.disclosed(tx, custodian_id, items[start : start + events.TELLINGS])


async def settle(
    tx: AsyncSession, claim: Claim, answer: Answer, settings: Settings, chance: float
) -> Verdict | None:
    """Write what came of an attempt.

    The attempt always learns it; the delivery only while it is still this claim's. None otherwise:
    the lease ran out and someone else has it.
    """
    held = await claims.held(tx, claim)
    at = await claims.database_now(tx)
    verdict = None
    if held is not None:
        endpoint = held.endpoint
        standing = Standing(
            step=held.delivery.step,
            enabled=endpoint.enabled,
            expired=held.expires_at <= at,
            window=endpoint.window,
        )
        verdict = judge(answer, standing, settings.schedule_s, chance)
        _move(held.delivery, verdict, at)
        await tx.flush()
        await _learn(tx, endpoint, verdict, at)
    await tx.execute(
        update(Attempt)
        .where(Attempt.id == claim.token)
        .values(
            ended_at=at,
            outcome=_outcome(answer, verdict),
            response_status=answer.status,
            error=answer.error,
        )
    )
    return verdict


def _outcome(answer: Answer, verdict: Verdict | None) -> Outcome:
    if verdict is not None:
        return verdict.outcome
    return Outcome.DELIVERED if answer.is_success else Outcome.FAILED


def _move(delivery: Delivery, verdict: Verdict, at: datetime) -> None:
    delivery.status, delivery.step, delivery.token = verdict.status, verdict.step, None
    delivery.reason = DISABLED if verdict.status is Status.HELD else verdict.reason
    delivery.next_at = at + timedelta(seconds=verdict.wait_s)
    delivery.ended_at = at if verdict.status in ENDED else None


async def _learn(tx: AsyncSession, endpoint: Endpoint, verdict: Verdict, at: datetime) -> None:
    """Let the endpoint's window, and whether it is enabled at all, follow from what it answered."""
    endpoint.window = verdict.window
    if verdict.outcome is Outcome.DELIVERED:
        endpoint.failed_messages, endpoint.last_success_at = 0, at
        endpoint.warned_percent = 0
    elif verdict.outcome is Outcome.FAILED and verdict.step == 1:
        endpoint.failed_messages += 1
    if endpoint.enabled and verdict.disable:
        await standing.disable(tx, endpoint, verdict.disable, at)
    if endpoint.deleted_at is not None:
        await cancel_removed(tx, [endpoint.id])


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
