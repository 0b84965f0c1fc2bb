"""Webhook endpoints: register, change, verify, remove, rotate_secret, ping. Own organisation only."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.telemetry import traceparent

from notify_svc.actions import notices, standing
from notify_svc.actions.fanout import queue
from notify_svc.actions.order import unpark
from notify_svc.actions.standing import cancel_removed
from notify_svc.actions.transport import reach, recheck, require_same_origin
from notify_svc.domain import signing
from notify_svc.domain.attempts import EndpointDisabled, TooManyEndpoints
from notify_svc.domain.kinds import PING, normalise
from notify_svc.domain.standing import State
from notify_svc.domain.targets import check
from notify_svc.models import Endpoint, Secret
from notify_svc.queries import deliveries, endpoints
from notify_svc.queries.claims import database_now
from notify_svc.queries.deliveries import Shown
from notify_svc.schemas.endpoints import EndpointIn, EndpointPatch
from notify_svc.settings import Settings


class WithSecret(NamedTuple):
    """An endpoint and its newest secret, in the one answer that shows it."""

    endpoint: Endpoint
    secret: str


async def register(
    tx: AsyncSession, caller: Caller, body: EndpointIn, settings: Settings
) -> WithSecret:
    """Raises TargetRefused, TransportRefused, TooManyEndpoints."""
    check(body.url, settings.targets())
    if await endpoints.count(tx, caller) >= settings.endpoints_per_organisation:
        raise TooManyEndpoints("The organisation has as many endpoints as it may have.")
    at = now()
    endpoint = Endpoint(
        id=new_id("whe"),
        organisation_id=caller.organisation_id,
        version=1,
        url=body.url,
        description=body.description,
        kinds=normalise(body.event_types),
        **body.filters.model_dump(),
        signature=body.signature,
        ordering=body.ordering,
        coalesces=body.coalesce,
        rate_per_s=body.rate_per_s,
        enabled=False,
        disabled_reason=standing.BY_OWNER,
        created_at=at,
        updated_at=at,
    )
    reach(endpoint, body.transport, settings)
    secret = _fresh(endpoint)
    tx.add(endpoint)
    await tx.flush()
    tx.add(_sealed(endpoint, secret, settings, at))
    if body.enabled:
        await standing.ask(tx, endpoint, await database_now(tx))
    await _audit(tx, caller, "register", endpoint)
    return WithSecret(endpoint, secret)


def _fresh(endpoint: Endpoint) -> str:
    """Return a new secret; what verifies it stays with the endpoint where that is none."""
    secret = signing.fresh(endpoint.signature)
    endpoint.public_key = signing.public_of(secret)
    return secret


def _sealed(endpoint: Endpoint, secret: str, settings: Settings, at: datetime) -> Secret:
    value = settings.sealer().seal(secret, endpoint.id)
    return Secret(endpoint_id=endpoint.id, value=value, created_at=at)


async def change(
    tx: AsyncSession,
    caller: Caller,
    endpoint_id: str,
    body: EndpointPatch,
    *,
    settings: Settings,
    expected: int,
) -> Endpoint:
    """Raises NotFound, PreconditionFailed, TargetRefused, TransportRefused."""
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    check_version(endpoint.version, expected)
    moves = body.url is not None and body.url != endpoint.url
    if body.url is not None:
        check(body.url, settings.targets())
        if "transport" not in body.model_fields_set:
            require_same_origin(endpoint, body.url)
        endpoint.url = body.url
    _tell_of(endpoint, body)
    await _pace(tx, endpoint, body)
    if "transport" in body.model_fields_set:
        reach(endpoint, body.transport, settings)
    recheck(endpoint)
    if moves:
        endpoint.verified_at = None
    if moves or body.enabled is not None:
        wanted = body.enabled
        if wanted is None:
            wanted = endpoint.state is not State.DISABLED
        await _stand(tx, endpoint, wanted=wanted, moves=moves)
    _touch(endpoint)
    await tx.flush()
    await _audit(tx, caller, "change", endpoint)
    return endpoint


async def _stand(tx: AsyncSession, endpoint: Endpoint, *, wanted: bool, moves: bool) -> None:
    """Disabled: what waits is held. Enabled: what was held goes out, once the address is verified."""
    at = await database_now(tx)
    if not wanted:
        if endpoint.state is not State.DISABLED:
            await standing.disable(tx, endpoint, standing.BY_OWNER, at)
    elif endpoint.verified_at is None and (moves or not endpoint.enabled):
        await standing.ask(tx, endpoint, at)
    elif not endpoint.enabled:
        await standing.enable(tx, endpoint, at)


async def verify(tx: AsyncSession, caller: Caller, endpoint_id: str) -> Endpoint:
    """Ask the receiver again whose it is; until it has answered, what waits is held.

    Raises NotFound.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    await standing.ask(tx, endpoint, await database_now(tx))
    await _audit(tx, caller, "verify", endpoint)
    return endpoint


def _tell_of(endpoint: Endpoint, body: EndpointPatch) -> None:
    if body.description is not None:
        endpoint.description = body.description
    if body.event_types is not None:
        endpoint.kinds = normalise(body.event_types)
    if body.filters is not None:
        for name, values in body.filters.model_dump().items():
            setattr(endpoint, name, values)


async def _pace(tx: AsyncSession, endpoint: Endpoint, body: EndpointPatch) -> None:
    if "rate_per_s" in body.model_fields_set:
        endpoint.rate_per_s, endpoint.paced_at = body.rate_per_s, None
    if body.coalesce is not None:
        endpoint.coalesces = body.coalesce
    if body.ordering is not None and body.ordering != endpoint.ordering:
        endpoint.ordering = body.ordering
        await unpark(tx, endpoint.id)


async def remove(tx: AsyncSession, caller: Caller, endpoint_id: str, expected: int) -> None:
    """Forget the endpoint and its secrets; what waited is cancelled, the log of it stays.

    Raises NotFound, PreconditionFailed.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    check_version(endpoint.version, expected)
    endpoint.enabled = False
    endpoint.verify_at = endpoint.verify_token = None
    endpoint.deleted_at = now()
    _touch(endpoint)
    await tx.flush()
    await tx.execute(delete(Secret).where(Secret.endpoint_id == endpoint.id))
    await cancel_removed(tx, [endpoint.id])
    await _audit(tx, caller, "remove", endpoint)


async def rotate_secret(
    tx: AsyncSession, caller: Caller, endpoint_id: str, settings: Settings, expected: int
) -> WithSecret:
    """Add a secret; those before it keep signing beside it for the overlap, then end.

    Raises NotFound, PreconditionFailed.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    check_version(endpoint.version, expected)
    at = now()
    await tx.execute(
        update(Secret)
        .where(Secret.endpoint_id == endpoint.id, Secret.not_after.is_(None))
        .values(not_after=at + timedelta(seconds=settings.rotation_overlap_s))
    )
    secret = _fresh(endpoint)
    tx.add(_sealed(endpoint, secret, settings, at))
    _touch(endpoint)
    await tx.flush()
    await _audit(tx, caller, "rotate-secret", endpoint)
    return WithSecret(endpoint, secret)


async def ping(tx: AsyncSession, caller: Caller, endpoint_id: str) -> Shown:
    """Queue a signed `webhook.ping` for one endpoint: it goes out once the endpoint is verified.

    Raises NotFound, EndpointDisabled.
    """
    endpoint = await endpoints.get_for_update(tx, caller, endpoint_id)
    if endpoint.state is State.DISABLED:
        raise EndpointDisabled("The endpoint is disabled; enable it to test it.")
    message = notices.about(endpoint, PING, now())
    tx.add(message)
    await tx.flush()
    [delivery_id] = await queue(tx, message, [endpoint], parent=traceparent())
    await _audit(tx, caller, "test", endpoint)
    return await deliveries.get(tx, caller, delivery_id)


def _touch(endpoint: Endpoint) -> None:
    endpoint.version += 1
    endpoint.updated_at = now()


async def _audit(tx: AsyncSession, caller: Caller, verb: str, endpoint: Endpoint) -> None:
    await audit.record(
        tx,
        caller,
        action=f"webhook-endpoint.{verb}",
        resource=endpoint.id,
        version=endpoint.version,
    )
