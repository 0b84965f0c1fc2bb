"""What this service learns from others: cases and referrals to attach to, and who may see what."""

from collections.abc import Mapping

from sharing import replica
from sharing.model import Grant
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received

from document_svc import actions

# the moves after which a referral is no longer one that documents can be attached to
_ENDING = ("rejected", "cancelled", "failed", "voided")
_LIVING = ("drafted", "requested", "accepted", "started", "held", "resumed", "completed")


async def case_opened(tx: AsyncSession, event: Received) -> None:
    """Remember the case; a sealed one is told without its person and takes no documents."""
    await replica.protect(tx, event)
    if event.data["person_id"] is None:
        return
    await actions.know_case(
        tx,
        case_id=event.subject,
        custodian_id=event.data["custodian_id"],
        person_id=event.data["person_id"],
    )


async def referral_moved(tx: AsyncSession, event: Received) -> None:
    """Remember the referral as it now stands."""
    verb = event.type.split(".")[-2]
    await actions.know_referral(
        tx,
        event.subject,
        {
            "custodian_id": event.data["custodian_id"],
            "person_id": event.data["person_id"],
            "case_id": event.data["case_id"],
            "parties": event.data["parties"],
            "live": verb in _LIVING,
        },
    )


async def _granted(tx: AsyncSession, grant: Grant) -> None:
    await actions.know_readers(
        tx,
        custodian_id=grant.custodian_id,
        person_id=grant.person_id,
        recipient_id=grant.recipient_id,
    )


HANDLERS: Mapping[str, Handler] = {
    **replica.handlers(on_grant=_granted),
    "org.careloop.case.opened.v1": case_opened,
    **{f"org.careloop.referral.{verb}.v1": referral_moved for verb in (*_LIVING, *_ENDING)},
}
