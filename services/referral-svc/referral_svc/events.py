"""What this service tells the others; the shapes are contracts/events/*.v1.schema.json.

Data is thin: ids and codes. Both parties of a referral learn of it on their own standing; whoever
holds a grant needs the classes named, and may learn that a referral was completed with `outcome`.
"""

from typing import Any

from sharing.classes import names_of
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import outbox
from svckit.clock import wire
from svckit.identity import Caller
from svckit.outbox import Event

from referral_svc.domain.referral import Status
from referral_svc.models import Message, Referral, Service

PUBLISHES = (
    *("service.published", "service.changed", "message.sent", "referral.drafted"),
    *("referral.requested", "referral.accepted", "referral.rejected", "referral.cancelled"),
    *("referral.started", "referral.held", "referral.resumed", "referral.failed"),
    *("referral.completed", "referral.voided", "referral.changed"),
)

_PAST = {
    Status.DRAFT: "drafted",
    Status.REQUESTED: "requested",
    Status.ACCEPTED: "accepted",
    Status.REJECTED: "rejected",
    Status.CANCELLED: "cancelled",
    Status.IN_PROGRESS: "started",
    Status.ON_HOLD: "held",
    Status.FAILED: "failed",
    Status.COMPLETED: "completed",
    Status.ENTERED_IN_ERROR: "voided",
}


async def moved(tx: AsyncSession, caller: Caller, row: Referral, before: Status | None) -> None:
    """Tell of a move; back from on-hold it is `referral.resumed`."""
    resumed = row.status is Status.IN_PROGRESS and before is Status.ON_HOLD
    verb = "resumed" if resumed else _PAST[row.status]
    change: dict[str, Any] = {
        **_subject(row),
        "status": row.status.value,
        "previous_status": before.value if before else None,
    }
    if row.status is Status.COMPLETED:
        change["need_met"] = row.need_met.value if row.need_met else None
    await _record(tx, caller, row, verb, change)


async def changed(tx: AsyncSession, caller: Caller, row: Referral, fields: list[str]) -> None:
    await _record(tx, caller, row, "changed", {**_subject(row), "fields": fields})


def _subject(row: Referral) -> dict[str, Any]:
    return {
        "requester_id": row.requester_id,
        "recipient_id": row.owner_id,
        "person_id": row.person_id,
        "case_id": row.case_id,
        "service_id": row.service_id,
        "need_id": row.need_id,
        "need_category": row.need_category.value,
        "accept_by": wire(row.accept_by) if row.accept_by else None,
        "start_by": wire(row.start_by) if row.start_by else None,
        "contacting_subject_prohibited": row.contacting_subject_prohibited,
    }


def _parties(row: Referral) -> list[str]:
    """Return the organisations with standing of their own: of a draft, the requester alone."""
    return [row.requester_id] if row.requested_at is None else [row.requester_id, row.owner_id]


def _classes(row: Referral, name: str) -> list[str]:
    return [name, *names_of(row.required_classes)]


async def _record(
    tx: AsyncSession, caller: Caller, row: Referral, verb: str, change: dict[str, Any]
) -> None:
    data = {
        "id": row.id,
        "version": row.version,
        "custodian_id": row.custodian_id,
        "person_id": row.person_id,
        "case_id": row.case_id,
        "parties": _parties(row),
        "classes": _classes(row, "outcome" if verb == "completed" else "coordination"),
        "href": f"/v1/referrals/{row.id}",
        "change": change,
    }
    event = Event(
        type=f"org.careloop.referral.{verb}.v1",
        subject=row.id,
        version=row.version,
        key=row.id,
        data=data,
    )
    await outbox.record(tx, event, caller=caller)


async def message_sent(tx: AsyncSession, caller: Caller, row: Referral, message: Message) -> None:
    data = {
        "id": message.id,
        "version": message.version,
        "custodian_id": row.custodian_id,
        "person_id": row.person_id,
        "case_id": row.case_id,
        "parties": _parties(row),
        "classes": [*_classes(row, "coordination"), "notes"],
        "href": f"/v1/referrals/{row.id}/messages",
        "change": {"referral_id": row.id, "sender_id": message.sender_id},
    }
    event = Event(
        type="org.careloop.message.sent.v1",
        subject=message.id,
        version=message.version,
        key=row.id,
        data=data,
    )
    await outbox.record(tx, event, caller=caller)


async def service_told(tx: AsyncSession, caller: Caller, service: Service) -> None:
    """Tell that a directory service was published (its first version) or changed."""
    verb = "published" if service.version == 1 else "changed"
    data = {
        "id": service.id,
        "version": service.version,
        "custodian_id": service.organisation_id,
        "person_id": None,
        "case_id": None,
        "parties": [service.organisation_id],
        "classes": [],
        "href": f"/v1/directory/services/{service.id}",
        "change": {
            "organisation_id": service.organisation_id,
            "status": service.status,
            "need_categories": service.need_categories,
            "capacity_status": service.capacity_status.value if service.capacity_status else None,
        },
    }
    event = Event(
        type=f"org.careloop.service.{verb}.v1",
        subject=service.id,
        version=service.version,
        key=service.id,
        data=data,
    )
    await outbox.record(tx, event, caller=caller)
