"""What the gateway does when the others tell it something: its own table of reactions.

person.registered                    note who knows the person
case.opened, sealed, unsealed        note whose case it is, and whether it is closed to others
case.changed, closed, reopened       note how confidential it is
care-team.joined, left               open, end the grants of a member
referral.requested                   open what is asked for
referral.accepted                    widen it, open the way back
referral.completed                   let it run out
referral.rejected, cancelled, failed, voided   end it at once
disclosure.made, disclosure.mailed   enter what webhooks and mails tell into the ledger
"""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.cloudevents import Received

from gateway import queries
from gateway.actions import grants
from gateway.domain import Basis
from gateway.ledger import webhooks
from gateway.queries import facts

TOPICS = ("case.v1", "referral.v1", "notify.v1")


async def person_registered(tx: AsyncSession, received: Received) -> None:
    await queries.put_person(tx, received.data["id"], received.data["custodian_id"])


async def case_opened(tx: AsyncSession, received: Received) -> None:
    data = received.data
    await facts.put_case(tx, data["id"], data["custodian_id"], data["person_id"])
    await case_told(tx, received)


async def case_told(tx: AsyncSession, received: Received) -> None:
    data = received.data
    await facts.protect_case(tx, data["id"], data.get("confidentiality", "N"))


async def case_sealed(tx: AsyncSession, received: Received) -> None:
    data = received.data
    whose = data["id"], data["custodian_id"], data["person_id"]
    await facts.seal_case(tx, *whose, received.time)


async def case_unsealed(tx: AsyncSession, received: Received) -> None:
    data = received.data
    await facts.seal_case(tx, data["id"], data["custodian_id"], data["person_id"], None)


async def care_team_joined(tx: AsyncSession, received: Received) -> None:
    data = received.data
    reason = grants.Reason(Basis.CARE_TEAM, data["id"], data["person_id"], data["case_id"])
    member = data["change"]["organisation_id"]
    await grants.open_under(tx, data["custodian_id"], member, None, reason, at=received.time)


async def care_team_left(tx: AsyncSession, received: Received) -> None:
    await grants.end(tx, Basis.CARE_TEAM, received.data["id"], at=received.time)


async def referral_requested(tx: AsyncSession, received: Received) -> None:
    await grants.referral_requested(tx, _referral(received), received.time)


async def referral_accepted(tx: AsyncSession, received: Received) -> None:
    await grants.referral_accepted(tx, _referral(received), received.time)


async def referral_completed(tx: AsyncSession, received: Received) -> None:
    await grants.referral_completed(tx, received.data["id"], received.time)


async def referral_over(tx: AsyncSession, received: Received) -> None:
    await grants.end(tx, Basis.REFERRAL, received.data["id"], at=received.time)


def _referral(received: Received) -> grants.Referral:
    data: dict[str, Any] = {**received.data, **received.data["change"]}
    return grants.Referral(
        id=received.data["id"],
        requester_id=data["requester_id"],
        recipient_id=data["recipient_id"],
        person_id=data["person_id"],
        case_id=data["case_id"],
    )


HANDLERS: dict[str, Callable[[AsyncSession, Received], Awaitable[None]]] = {
    "org.careloop.person.registered.v1": person_registered,
    "org.careloop.case.opened.v1": case_opened,
    **{f"org.careloop.case.{verb}.v1": case_told for verb in ("changed", "closed", "reopened")},
    "org.careloop.case.sealed.v1": case_sealed,
    "org.careloop.case.unsealed.v1": case_unsealed,
    "org.careloop.care-team.joined.v1": care_team_joined,
    "org.careloop.care-team.left.v1": care_team_left,
    "org.careloop.referral.requested.v1": referral_requested,
    "org.careloop.referral.accepted.v1": referral_accepted,
    "org.careloop.referral.completed.v1": referral_completed,
    "org.careloop.referral.rejected.v1": referral_over,
    "org.careloop.referral.cancelled.v1": referral_over,
    "org.careloop.referral.failed.v1": referral_over,
    "org.careloop.referral.voided.v1": referral_over,
    webhooks.KIND: webhooks.disclosure_made,
    webhooks.MAILED: webhooks.disclosure_made,
}
