"""Rows to responses."""

from collections.abc import Sequence
from typing import Any

import orjson
from sharing import ALL
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.idempotency import Reply
from svckit.identity import Caller

from notify_svc.actions.endpoints import WithSecret
from notify_svc.domain import signing
from notify_svc.domain.attempts import EVENT_WAITS, IN_ORDER, OPEN
from notify_svc.models import Attempt, Delivery, Endpoint, Recovery
from notify_svc.queries import deliveries
from notify_svc.queries.attempts import Logged
from notify_svc.queries.deliveries import Shown
from notify_svc.queries.feed import FeedRow
from notify_svc.schemas.deliveries import AttemptOut, DeliveryOut
from notify_svc.schemas.endpoints import EndpointOut
from notify_svc.schemas.recoveries import RecoveryOut


def shown_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return EndpointOut.model_validate(endpoint).model_dump(mode="json")


async def endpoint(_: AsyncSession, __: Caller, found: Endpoint) -> Reply:
    return Reply(shown_endpoint(found), version=found.version)


async def endpoint_asked(_: AsyncSession, __: Caller, found: Endpoint) -> Reply:
    """Answer 202: the receiver is asked afterwards."""
    return Reply(shown_endpoint(found), 202, version=found.version)


async def endpoint_with_secret(_: AsyncSession, __: Caller, found: WithSecret) -> Reply:
    """Answer with the secret, or with the public key of a private one, which never leaves."""
    asymmetric = found.secret.startswith(signing.ASYMMETRIC)
    secret = signing.public_key(found.secret) if asymmetric else found.secret
    body = {**shown_endpoint(found.endpoint), "secret": secret}
    return Reply(body, version=found.endpoint.version)


async def registered(tx: AsyncSession, caller: Caller, found: WithSecret) -> Reply:
    answer = await endpoint_with_secret(tx, caller, found)
    location = f"/v1/webhook-endpoints/{found.endpoint.id}"
    return Reply(answer.body, 201, version=answer.version, location=location)


async def removed(_: AsyncSession, __: Caller, ___: None) -> Reply:
    return Reply(None, 204)


def shown_recovery(recovery: Recovery) -> dict[str, Any]:
    return RecoveryOut.model_validate(recovery).model_dump(mode="json")


async def recovery(_: AsyncSession, __: Caller, found: Recovery) -> Reply:
    return Reply(shown_recovery(found))


async def recovery_begun(_: AsyncSession, __: Caller, found: Recovery) -> Reply:
    location = f"/v1/webhook-endpoints/{found.endpoint_id}/recoveries/{found.id}"
    return Reply(shown_recovery(found), 202, location=location)


def shown_delivery(found: Shown) -> dict[str, Any]:
    delivery = found.delivery
    return DeliveryOut(
        id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.message_id,
        event_type=found.event_type,
        status=delivery.status,
        reason=delivery.reason,
        attempt_count=delivery.attempts,
        next_attempt_at=_next_attempt_at(delivery),
        created_at=delivery.created_at,
        ended_at=delivery.ended_at,
    ).model_dump(mode="json")


def _next_attempt_at(delivery: Delivery) -> Any:
    """When it is due; what waits for a predecessor or an operator has no time of its own."""
    has_time = delivery.status in OPEN and delivery.reason not in {IN_ORDER, EVENT_WAITS}
    return delivery.next_at if has_time else None


def shown_attempts(found: Sequence[Attempt]) -> list[dict[str, Any]]:
    return [AttemptOut.model_validate(attempt).model_dump(mode="json") for attempt in found]


def logged_attempt(found: Logged) -> dict[str, Any]:
    return {
        **AttemptOut.model_validate(found.attempt).model_dump(mode="json"),
        "delivery_id": found.attempt.delivery_id,
        "endpoint_id": found.endpoint_id,
        "event_id": found.event_id,
        "event_type": found.event_type,
    }


async def delivery(tx: AsyncSession, _: Caller, found: Shown) -> Reply:
    """Answer 202: the attempt follows."""
    attempts = shown_attempts(await deliveries.attempts_of(tx, found.delivery.id))
    body = {**shown_delivery(found), "attempts": attempts}
    return Reply(body, 202, location=f"/v1/deliveries/{found.delivery.id}")


def shown_event(row: FeedRow) -> dict[str, Any]:
    """Show an event of the feed, and note whose it is."""
    disclosure.note(
        kind="event",
        custodian_id=row.custodian_id,
        person_id=row.person_id,
        classes=int(ALL) & row.classes,
    )
    return {"seq": row.seq, "id": row.message_id, **orjson.loads(row.body)}
