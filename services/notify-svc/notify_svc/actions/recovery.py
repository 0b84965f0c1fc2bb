"""recover, cancel: what a partner asks for. advance: what the keeper does about it."""

from datetime import datetime

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import wire
from svckit.errors import FieldError
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.telemetry import traceparent

from notify_svc.actions import hints
from notify_svc.actions.fanout import queue
from notify_svc.actions.hints import About
from notify_svc.domain.attempts import IN_TURN, EndpointDisabled, Status
from notify_svc.domain.feeds import FeedPositionExpired
from notify_svc.domain.recovery import PeriodRefused, Progress, RecoveryRunning
from notify_svc.domain.schedule import KEEP_DAYS
from notify_svc.domain.standing import State
from notify_svc.models import Delivery, Endpoint, Message, Recovery
from notify_svc.queries import endpoints, feed
from notify_svc.queries import recovery as queries
from notify_svc.queries.claims import database_now
from notify_svc.schemas.recoveries import RecoverIn

_AT_ONCE = 20
_WINDOW = 100
# What waits for a further attempt would overtake those before it: it now waits for its turn. What is
# sent in order anyhow keeps to that.
_PARK = text(
    """
    UPDATE delivery d SET next_at = now() + make_interval(days => :days), reason = :reason
    FROM recovery r JOIN feed_item i
      ON i.organisation_id = r.organisation_id AND i.seq > r.seq AND i.seq <= r.last_seq
    JOIN webhook_endpoint e ON e.id = r.endpoint_id AND e.ordering <> 'fifo'
    WHERE r.endpoint_id = ANY(:endpoints) AND r.progress = 'running'
      AND d.message_id = i.message_id AND d.endpoint_id = r.endpoint_id AND d.status = 'pending'
    """
)
_LET_GO = text(
    """
    UPDATE delivery SET next_at = now(), reason = NULL
    WHERE endpoint_id = :endpoint AND status = 'pending' AND reason = :reason
    """
)


async def recover(tx: AsyncSession, caller: Caller, endpoint_id: str, body: RecoverIn) -> Recovery:
    """Start to send again what the endpoint's organisation was told in a period, or only count it.

    Asked again for the same period while it is under way, it is the same recovery.
    Raises NotFound, EndpointDisabled, PeriodRefused, FeedPositionExpired, RecoveryRunning.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    at = await database_now(tx)
    until = min(body.until or at, at)
    await _check(tx, endpoint, body.since, until)
    running = None if body.dry_run else await queries.under_way(tx, endpoint.id)
    if running is not None:
        return _same(running, body)
    recovery = await _new(tx, endpoint, body, until, at)
    while body.dry_run and recovery.seq < recovery.last_seq:
        await _advance(tx, recovery, endpoint)
    if body.dry_run:
        recovery.progress, recovery.ended_at = Progress.DONE, at
    tx.add(recovery)
    await tx.flush()
    if not body.dry_run:
        await park(tx, [endpoint.id])
    await audit.record(tx, caller, action="webhook-endpoint.recover", resource=endpoint.id)
    hints.wake_after_commit(tx, About.ASKED)
    return recovery


async def _new(
    tx: AsyncSession, endpoint: Endpoint, body: RecoverIn, until: datetime, at: datetime
) -> Recovery:
    span = await queries.span(tx, endpoint.organisation_id, body.since, until)
    return Recovery(
        id=new_id("rcv"),
        organisation_id=endpoint.organisation_id,
        endpoint_id=endpoint.id,
        since=body.since,
        until=until,
        again=body.again,
        dry_run=body.dry_run,
        progress=Progress.RUNNING,
        seq=span.after,
        last_seq=span.last,
        counted=0,
        queued=0,
        skipped=0,
        created_at=at,
    )


async def park(tx: AsyncSession, endpoint_ids: list[str]) -> None:
    """Let what is still to come in these endpoints' recoveries wait for its turn."""
    given = {"endpoints": endpoint_ids, "reason": IN_TURN, "days": KEEP_DAYS}
    await tx.execute(_PARK, given)


async def _check(tx: AsyncSession, endpoint: Endpoint, since: datetime, until: datetime) -> None:
    if endpoint.state is State.DISABLED:
        raise EndpointDisabled("The endpoint is disabled; enable it to recover what it missed.")
    if since >= until:
        fault = FieldError("#/since", "not-before-until", "has to be before `until`, and past")
        raise PeriodRefused("The period is empty.", errors=[fault])
    kept_since = await queries.forgotten_until(tx, endpoint.organisation_id)
    if kept_since is not None and since <= kept_since:
        raise FeedPositionExpired(
            "What was told then is no longer kept.", extra={"kept_since": wire(kept_since)}
        )


def _same(running: Recovery, body: RecoverIn) -> Recovery:
    until = body.until or running.until
    if (running.since, running.until, running.again) == (body.since, until, body.again):
        return running
    raise RecoveryRunning(
        "The endpoint is being recovered for another period.", extra={"recovery_id": running.id}
    )


async def cancel(tx: AsyncSession, caller: Caller, endpoint_id: str, recovery_id: str) -> Recovery:
    """Queue nothing more of it; what is queued is sent. One that has ended stays as it is.

    Raises NotFound.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    recovery = await queries.get(tx, caller, endpoint.id, recovery_id, lock=True)
    if recovery.progress is Progress.RUNNING:
        await _finish(tx, recovery, Progress.CANCELLED)
        await audit.record(
            tx, caller, action="webhook-endpoint.cancel-recovery", resource=recovery.id
        )
    return recovery


async def _finish(tx: AsyncSession, recovery: Recovery, progress: Progress) -> None:
    recovery.progress, recovery.ended_at = progress, await database_now(tx)
    await tx.flush()
    await tx.execute(_LET_GO, {"endpoint": recovery.endpoint_id, "reason": IN_TURN})
    hints.wake_after_commit(tx)


async def advance(tx: AsyncSession) -> bool:
    """Let every recovery that may go on queue its next event; return whether there was one.

    Killed at any moment, it goes on from what was committed: the number it has reached and the
    delivery it waits for are written together.
    """
    running = await queries.movable(tx, _AT_ONCE)
    for recovery, endpoint in running:
        if endpoint.deleted_at is not None:
            await _finish(tx, recovery, Progress.CANCELLED)
        elif recovery.seq >= recovery.last_seq:
            await _finish(tx, recovery, Progress.DONE)
        else:
            await _advance(tx, recovery, endpoint)
    return bool(running)


async def _advance(tx: AsyncSession, recovery: Recovery, endpoint: Endpoint) -> None:
    """Look at the feed's next numbers, as far as one that is to be sent."""
    reader = await queries.reader_of(tx, recovery.organisation_id)
    window = await feed.window(
        tx, reader, after=recovery.seq, limit=_WINDOW, wanted=endpoint.filters
    )
    rows = [row for row in window.rows if row.seq <= recovery.last_seq]
    ids = [row.message_id for row in rows if row.visible]
    messages = await queries.messages(tx, ids)
    deliveries = await queries.deliveries(tx, endpoint.id, ids)
    for row in rows:
        recovery.seq = row.seq
        recovery.counted += 1
        message, delivery = messages.get(row.message_id), deliveries.get(row.message_id)
        arrived = delivery is not None and delivery.status is Status.DELIVERED
        if not row.visible or message is None or (arrived and not recovery.again):
            recovery.skipped += 1
            continue
        recovery.queued += 1
        if not recovery.dry_run:
            recovery.delivery_id = await _send(tx, endpoint, message, delivery)
            return
    if len(rows) < len(window.rows) or not window.is_full:
        recovery.seq = recovery.last_seq


async def _send(
    tx: AsyncSession, endpoint: Endpoint, message: Message, known: Delivery | None
) -> str:
    """Let the message be sent now; what is under way already only stops waiting."""
    if known is None:
        [delivery_id] = await queue(tx, message, [endpoint], parent=traceparent())
        return delivery_id
    delivery = await queries.lock(tx, known.id)
    if delivery.status is not Status.SENDING:
        delivery.status, delivery.reason, delivery.step = Status.PENDING, None, 0
        delivery.next_at, delivery.ended_at = func.now(), None
        await tx.flush()
        hints.wake_after_commit(tx)
    return delivery.id
