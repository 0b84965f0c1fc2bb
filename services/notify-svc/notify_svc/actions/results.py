"""Writes what came of attempts, and what it says about their endpoints."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.actions import order, standing
from notify_svc.actions.fanout import DISABLED
from notify_svc.actions.standing import cancel_removed
from notify_svc.domain import health
from notify_svc.domain.attempts import (
    ENDED,
    FIFO,
    WINDOW,
    Answer,
    Outcome,
    Standing,
    Status,
    Verdict,
    judge,
)
from notify_svc.domain.health import Breaker, Health
from notify_svc.queries import claims
from notify_svc.queries.claims import Claim, Held, Receiving
from notify_svc.settings import Settings

_WRITE = text(
    """
    WITH result AS (
        SELECT * FROM unnest(
            CAST(:tokens AS text[]), CAST(:outcomes AS text[]), CAST(:responses AS int[]),
            CAST(:errors AS text[])
        ) AS r (token, outcome, response, error)
    ), verdict AS (
        SELECT * FROM unnest(
            CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:steps AS int[]),
            CAST(:reasons AS text[]), CAST(:waits AS float8[]), CAST(:ended AS boolean[])
        ) AS v (id, status, step, reason, wait_s, ended)
    ), moved AS (
        UPDATE delivery d
        SET status = v.status, step = v.step, reason = v.reason, token = NULL,
            next_at = CAST(:at AS timestamptz) + make_interval(secs => v.wait_s),
            ended_at = CASE WHEN v.ended THEN CAST(:at AS timestamptz) END
        FROM verdict v WHERE d.id = v.id
    ), learnt AS (
        UPDATE webhook_endpoint e
        SET "window" = n."window", slow = n.slow, breaker = n.breaker, breaker_until = n.until,
            breaker_failures = n.failures, breaker_opened = n.opened,
            recent_ms = CAST(n.recent AS int[]), failed_messages = n.failed,
            warned_percent = n.warned, last_success_at = n.success
        FROM unnest(
            CAST(:endpoints AS text[]), CAST(:windows AS int[]), CAST(:slow AS boolean[]),
            CAST(:breakers AS text[]), CAST(:untils AS timestamptz[]), CAST(:failures AS int[]),
            CAST(:opened AS int[]), CAST(:recent AS text[]), CAST(:failed AS int[]),
            CAST(:warned AS int[]), CAST(:successes AS timestamptz[])
        ) AS n (id, "window", slow, breaker, until, failures, opened, recent, failed, warned,
            success)
        WHERE e.id = n.id
    )
    UPDATE delivery_attempt a
    SET ended_at = CAST(:at AS timestamptz), outcome = r.outcome, response_status = r.response,
        error = r.error
    FROM result r WHERE a.id = r.token
    """
)


@dataclass(frozen=True)
class Result:
    """What came of a claim, after how long; `chance` in [0, 1) spreads the next attempt."""

    claim: Claim
    answer: Answer
    took_s: float
    chance: float


_Told = tuple[Result, Verdict]


async def settle(
    tx: AsyncSession, results: Sequence[Result], settings: Settings
) -> list[Verdict | None]:
    """Write what came of attempts, of any number in as many statements as of one.

    An attempt always learns it; the delivery only while it is still that claim's. None otherwise:
    the lease ran out and someone else has it.
    """
    held = await claims.held(tx, [result.claim for result in results])
    verdicts = [_judged(result, held, settings) for result in results]
    ended: list[order.Key] = []
    told: dict[str, list[_Told]] = defaultdict(list)
    for result, verdict in zip(results, verdicts, strict=True):
        if verdict is None:
            continue
        endpoint = held.endpoints[result.claim.endpoint_id]
        told[endpoint.id].append((result, verdict))
        if endpoint.ordering == FIFO and verdict.status in ENDED:
            ended.append((endpoint.id, held.deliveries[result.claim.token].order_key))
    for endpoint_id, each in told.items():
        _learn(held.endpoints[endpoint_id], each, settings, held.at)
    learnt = [held.endpoints[endpoint_id] for endpoint_id in told]
    await tx.execute(_WRITE, {**_written(results, verdicts, held), **_learnt(learnt)})
    await _follow(tx, held, told)
    await order.bring_back(tx, ended)
    return verdicts


def _judged(result: Result, held: Held, settings: Settings) -> Verdict | None:
    """Return the verdict, and let the endpoint's window follow at once: the next is judged by it."""
    sent = held.deliveries.get(result.claim.token)
    if sent is None:
        return None
    endpoint = held.endpoints[result.claim.endpoint_id]
    stands = Standing(
        step=sent.step,
        enabled=endpoint.enabled,
        expired=sent.expires_at <= held.at,
        window=endpoint.window,
    )
    verdict = judge(result.answer, stands, settings.schedule_s, result.chance)
    endpoint.window = verdict.window
    return verdict


def _written(
    results: Sequence[Result], verdicts: Sequence[Verdict | None], held: Held
) -> dict[str, object]:
    met = list(zip(results, verdicts, strict=True))
    moved = [(result.claim.delivery_id, verdict) for result, verdict in met if verdict]
    return {
        "tokens": [result.claim.token for result in results],
        "outcomes": [_outcome(result.answer, verdict) for result, verdict in met],
        "responses": [result.answer.status for result in results],
        "errors": [result.answer.error for result in results],
        "ids": [delivery_id for delivery_id, _ in moved],
        "statuses": [verdict.status for _, verdict in moved],
        "steps": [verdict.step for _, verdict in moved],
        "reasons": [
            DISABLED if verdict.status is Status.HELD else verdict.reason for _, verdict in moved
        ],
        "waits": [float(verdict.wait_s) for _, verdict in moved],
        "ended": [verdict.status in ENDED for _, verdict in moved],
        "at": held.at,
    }


def _outcome(answer: Answer, verdict: Verdict | None) -> Outcome:
    if verdict is not None:
        return verdict.outcome
    return Outcome.DELIVERED if answer.is_success else Outcome.FAILED


def _learn(endpoint: Receiving, told: Sequence[_Told], settings: Settings, at: datetime) -> None:
    """Let the endpoint's health follow from what it answered."""
    told = [(result, verdict) for result, verdict in told if not result.answer.is_ours]
    if not told:
        return
    _examine(endpoint, [result for result, _ in told], settings, at)
    for _, verdict in told:
        if verdict.outcome is Outcome.DELIVERED:
            endpoint.failed_messages = endpoint.warned_percent = 0
            endpoint.last_success_at = at
        elif verdict.outcome is Outcome.FAILED and verdict.step == 1:
            endpoint.failed_messages += 1


def _learnt(endpoints: Sequence[Receiving]) -> dict[str, object]:
    return {
        "endpoints": [each.id for each in endpoints],
        "windows": [each.window for each in endpoints],
        "slow": [each.slow for each in endpoints],
        "breakers": [each.breaker for each in endpoints],
        "untils": [each.breaker_until for each in endpoints],
        "failures": [each.breaker_failures for each in endpoints],
        "opened": [each.breaker_opened for each in endpoints],
        # arrays of several lengths are no array
        "recent": [f"{{{','.join(map(str, each.recent_ms))}}}" for each in endpoints],
        "failed": [each.failed_messages for each in endpoints],
        "warned": [each.warned_percent for each in endpoints],
        "successes": [each.last_success_at for each in endpoints],
    }


async def _follow(tx: AsyncSession, held: Held, told: Mapping[str, Sequence[_Told]]) -> None:
    """Disable who answered that it is gone, and cancel what waits for who is removed."""
    for endpoint_id, each in told.items():
        known = held.endpoints[endpoint_id]
        why = next((verdict.disable for _, verdict in each if verdict.disable), None)
        if known.enabled and why:
            await standing.disable(tx, await claims.endpoint(tx, endpoint_id), why, held.at)
            await tx.flush()
    if removed := [each for each in told if held.endpoints[each].deleted_at is not None]:
        await cancel_removed(tx, removed)


def _examine(
    endpoint: Receiving, results: Sequence[Result], settings: Settings, at: datetime
) -> None:
    found = Health(
        Breaker(endpoint.breaker),
        endpoint.breaker_failures,
        endpoint.breaker_opened,
        tuple(endpoint.recent_ms),
    )
    until = endpoint.breaker_until
    for result in results:
        before = found
        found = health.after(
            before, result.answer, result.took_s, opens_after=settings.breaker_opens_after
        )
        if found.opened > before.opened:
            until = at + timedelta(seconds=health.pause_s(settings.schedule_s, found.opened))
        elif found.breaker is Breaker.CLOSED:
            until = None
    endpoint.breaker, endpoint.breaker_failures = found.breaker, found.failures
    endpoint.breaker_opened, endpoint.breaker_until = found.opened, until
    endpoint.recent_ms = found.recent_ms
    endpoint.slow = found.is_slow or endpoint.window < WINDOW
