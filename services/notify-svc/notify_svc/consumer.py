"""What reaches this service: everything that is told onward, and who may see what."""

from collections.abc import Mapping

from sharing import policy, replica
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received

from notify_svc.actions import fanout
from notify_svc.domain.kinds import TOLD, full
from notify_svc.queries import audience

TOPICS = tuple(TOLD)


async def tell(tx: AsyncSession, event: Received) -> None:
    """Tell everyone who may learn of it."""
    await fanout.tell(tx, event)


_REPLICA = replica.handlers(on_grant=fanout.tell_missed)
CONSENT = "org.careloop.consent.recorded.v1"
AGREEMENT = "org.careloop.agreement.published.v1"
POLICY = "org.careloop.policy.published.v1"


async def consent_recorded(tx: AsyncSession, event: Received) -> None:
    """A permit lets grants show more: tell what they show now."""
    await _REPLICA[CONSENT](tx, event)
    for grant in await audience.grants_of(tx, person_id=event.data["person_id"]):
        await fanout.tell_missed(tx, grant)


async def agreement_published(tx: AsyncSession, event: Received) -> None:
    """A grant may have come before the agreement that it rests on."""
    await _REPLICA[AGREEMENT](tx, event)
    for grant in await audience.grants_of(tx, agreement_id=event.data["id"]):
        await fanout.tell_missed(tx, grant)


async def policy_published(tx: AsyncSession, event: Received) -> None:
    """What happened under the policy may have come before it."""
    await _REPLICA[POLICY](tx, event)
    if policy.in_force().policy is not None:
        await fanout.tell_since(tx, event.time)


def _keep_and_tell(kind: str) -> Handler:
    async def apply(tx: AsyncSession, event: Received) -> None:
        await _REPLICA[kind](tx, event)
        await fanout.tell(tx, event)

    return apply


HANDLERS: Mapping[str, Handler] = {
    **_REPLICA,
    CONSENT: consent_recorded,
    AGREEMENT: agreement_published,
    POLICY: policy_published,
    **{full(kind): tell for kinds in TOLD.values() for kind in kinds},
    **{kind: _keep_and_tell(kind) for kind in replica.OF_CASES},
}
