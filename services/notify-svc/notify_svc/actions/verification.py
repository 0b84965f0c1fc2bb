"""take, settle: what the keeper does to the database when it asks whose an endpoint is."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.ids import new_id

from notify_svc import events
from notify_svc.actions import standing
from notify_svc.domain import signing
from notify_svc.domain.schedule import wait_s
from notify_svc.domain.verification import UNVERIFIED, Finding, Verdict, new_challenge
from notify_svc.queries import verification
from notify_svc.queries.claims import Claim, database_now
from notify_svc.queries.verification import Asked
from notify_svc.settings import Settings


@dataclass(frozen=True)
class Challenge:
    """Two requests: the one to be answered with the challenge, the other to be refused."""

    token: str
    challenge: str
    genuine: Claim
    forged: Claim
    at: datetime


async def take(tx: AsyncSession, settings: Settings, room: int) -> list[Challenge]:
    """Take endpoints to be asked; after this commits they are nobody else's until the lease ends."""
    # one request after the other
    lease_s = settings.total_timeout_s + settings.lease_s
    asked = await verification.take(tx, room=room, lease_s=lease_s)
    at = await database_now(tx) if asked else None
    return [_challenge(each, at) for each in asked] if at else []


def _challenge(asked: Asked, at: datetime) -> Challenge:
    endpoint, challenge = asked.endpoint, new_challenge()
    genuine = Claim(
        token=asked.token,
        delivery_id="",
        endpoint_id=endpoint.id,
        message_id=new_id("evt"),
        url=endpoint.url,
        body=events.challenge(endpoint.id, endpoint.version, at, challenge),
        secrets=asked.secrets,
        traceparent="",
        transport=endpoint.transport,
        sealed=endpoint.sealed,
    )
    forged = replace(
        genuine,
        message_id=new_id("evt"),
        body=events.challenge(endpoint.id, endpoint.version, at, new_challenge()),
        secrets=(signing.fresh(endpoint.signature),),
    )
    return Challenge(asked.token, challenge, genuine, forged, at)


async def settle(
    tx: AsyncSession, token: str, finding: Finding, settings: Settings, chance: float
) -> bool:
    """Write what came of asking; False when someone else asks by now, or the address has changed."""
    endpoint = await verification.held(tx, token)
    if endpoint is None:
        return False
    at = await database_now(tx)
    endpoint.verification_result, endpoint.verification_checked_at = finding.result, at
    endpoint.verify_token = None
    step = endpoint.verify_step + 1
    wait = wait_s(settings.verify_schedule_s, step, chance)
    if finding.verdict is Verdict.VERIFIED:
        endpoint.verified_at = at
        await standing.enable(tx, endpoint, at)
    elif finding.verdict is Verdict.REFUSED:
        await standing.disable(tx, endpoint, finding.result, at)
    elif wait is None:
        await standing.disable(tx, endpoint, UNVERIFIED, at)
    else:
        endpoint.verify_step, endpoint.verify_at = step, at + timedelta(seconds=wait)
    return True
